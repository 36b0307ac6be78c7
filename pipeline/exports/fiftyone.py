"""A file for FiftyOne and a script that loads it: tracks with instruments, without their sound."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.arrays import Float32
from pipeline.exports import texts
from pipeline.exports.programs import source_of
from pipeline.exports.task import Export, Task
from pipeline.exports.texts import Row, TagSource
from pipeline.exports.tracks.embeddings import Embeddings

LOADER = "fiftyone_load.py"


def sample_of(row: Row, embedding: Float32 | None, origin: TagSource) -> dict[str, Any]:
    """Return a track's sample: its labels as classifications, and its other fields."""
    scores = row["scores"] or {}
    found = [
        {"label": origin.name(code), "confidence": texts.number(scores.get(code))}
        for code in row["labels"] or ()
    ]
    fields = {
        "uri": row["uri"],
        "duration_s": texts.number(row["duration_s"]),
        "model_id": origin.model_id,
        **{name: texts.number(row.get(name)) for name in origin.attributes},
        "embedding": None if embedding is None else np.round(embedding.astype(float), 6).tolist(),
    }
    return {"instruments": found, "fields": fields}


def _write(task: Task) -> str:
    embeddings, n_samples = Embeddings(task.source), 0
    with task.writing("fiftyone.jsonl") as write:
        for name, _, ok in task.batches():
            for row, vector in zip(ok, embeddings.of(name, ok), strict=True):
                write(texts.to_json(sample_of(row, vector, task.source.origin)) + "\n")
            n_samples += len(ok)
    task.out.write_bytes(LOADER, source_of(LOADER))
    return (
        f"fiftyone.jsonl: {n_samples:,d} samples; load them with: "
        f"python {task.out.uri_of(LOADER)}\n"
        "  FiftyOne does not play audio: it filters, sorts and plots the tracks"
    )


EXPORT = Export("fiftyone", _write)
