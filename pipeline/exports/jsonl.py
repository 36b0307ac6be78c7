"""TAGS as JSON lines: an object a track, failed ones too."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pipeline.exports.task import Export, Task
from pipeline.exports.texts import PEOPLE, Row, number, numbers, own_value, time_text, to_json


def json_lines(rows: Iterable[Row], attributes: Sequence[str] = (), own: Sequence[str] = ()) -> str:
    """Return an object a line, a track each."""
    objects = (
        json_row(row, attributes) | {name: own_value(row.get(name)) for name in own} for row in rows
    )
    return "".join(to_json(one) + "\n" for one in objects)


def json_row(row: Row, attributes: Sequence[str]) -> dict[str, Any]:
    """Return a track's object of tags.jsonl."""
    as_it_is = ("uri", "fingerprint", "status", "reason", "detail")
    return {
        **{key: row.get(key) for key in as_it_is},
        "duration_s": number(row["duration_s"]),
        "labels": row["labels"] or [],
        **{key: row.get(key) or [] for key in PEOPLE},
        "scores": numbers(row["scores"]),
        "peaks": numbers(row.get("peaks")),  # runs of earlier versions have none
        "model_id": row["model_id"],
        "tagged_at": time_text(row["tagged_at"]),
        **{name: number(row.get(name)) for name in attributes},
    }


def _write(task: Task) -> str:
    origin, n_rows = task.source.origin, 0
    with task.writing("tags.jsonl") as write:
        for _, rows, _ in task.batches():
            write(json_lines(rows, origin.attributes, origin.own))
            n_rows += len(rows)
    return f"tags.jsonl: {n_rows:,d} objects, failed tracks too"


EXPORT = Export("jsonl", _write)
