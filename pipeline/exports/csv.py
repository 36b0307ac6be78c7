"""TAGS as a csv: one row per track, failed ones too."""

from __future__ import annotations

from pipeline.exports import texts
from pipeline.exports.task import Export, Task


def _write(task: Task) -> str:
    origin, codes, n_rows = task.source.origin, task.source.codes, 0
    with task.writing("tags.csv") as write:
        write(texts.csv_header(codes, origin.attributes, origin.own))
        for _, rows, _ in task.batches():
            write(texts.csv_lines(rows, codes, origin))
            n_rows += len(rows)
            n_formulas = sum(texts.is_formula(row["uri"]) for row in rows)
            task.counts[
                "uris begin as a formula does: in the csv they have an apostrophe in front"
            ] += n_formulas
    return f"tags.csv: {n_rows:,d} rows, failed tracks too"


EXPORT = Export("csv", _write)
