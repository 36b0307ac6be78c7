"""TAGS as JSON lines: an object a track, failed ones too."""

from __future__ import annotations

from pipeline.exports import texts
from pipeline.exports.task import Export, Task


def _write(task: Task) -> str:
    origin, n_rows = task.source.origin, 0
    with task.writing("tags.jsonl") as write:
        for _, rows, _ in task.batches():
            write(texts.json_lines(rows, origin.attributes, origin.own))
            n_rows += len(rows)
    return f"tags.jsonl: {n_rows:,d} objects, failed tracks too"


EXPORT = Export("jsonl", _write)
