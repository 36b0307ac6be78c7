"""A JAMS file for every track that is ok, with intervals where they were kept."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from pipeline.exports.task import Export, Task, file_each
from pipeline.exports.texts import (
    PEOPLE,
    Row,
    Span,
    TagSource,
    number,
    numbers,
    own_value,
    time_text,
    title_of,
    to_json,
)


def jams_text(row: Row, found: Iterable[Span], origin: TagSource) -> str:
    """Return a JAMS file with one annotation; the track's scores and attributes are its sandbox."""
    duration_s = number(row["duration_s"]) or 0.0
    about = {
        "annotator": {"model_id": origin.model_id, "aggregation": origin.aggregation},
        "version": origin.version,
        "annotation_tools": "timbre",
        "data_source": "automatic",
    }
    of_track = {
        "labels": row["labels"] or [],
        **{key: row.get(key) or [] for key in PEOPLE},
        "scores": numbers(row["scores"]),
        "tagged_at": time_text(row["tagged_at"]),
        **{name: number(row.get(name)) for name in origin.attributes},
        **{name: own_value(row.get(name)) for name in origin.own},
    }
    annotation = {
        "namespace": "tag_open",
        "time": 0.0,
        "duration": duration_s,
        "annotation_metadata": about,
        "data": [_observation(span, origin) for span in found],
        "sandbox": of_track,
    }
    file = {
        "title": title_of(row["uri"]),
        "duration": duration_s,
        "identifiers": {"uri": row["uri"], "fingerprint": row["fingerprint"]},
        "jams_version": "0.3.5",
    }
    return to_json({"file_metadata": file, "annotations": [annotation], "sandbox": {}}) + "\n"


def _observation(span: Span, origin: TagSource) -> dict[str, Any]:
    return {
        "time": number(span.start_s),
        "duration": number(max(0.0, span.end_s - span.start_s)),
        "value": origin.name(span.code),
        "confidence": span.score,
    }


def _write(task: Task) -> str:
    return file_each(task, "jams", jams_text)


EXPORT = Export("jams", _write, takes=("beside",))
