"""TAGS as a csv: one row per track, failed ones too.

Text cells are quoted, which keeps commas, quotes and line breaks whole. Quotes do not keep a
spreadsheet from running a cell as a formula, so a cell that begins like one gets an apostrophe in
front; so does a cell that begins with an apostrophe. Whoever takes one leading apostrophe off has
every uri back exactly, and a uri of a usual catalogue (`/...`, `s3://...`) stays as it is.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from pipeline.exports.task import Export, Task
from pipeline.exports.texts import PEOPLE, Row, TagSource, number, own_value, time_text

_FORMULA = tuple("=+-@\t\r\n＝＋－＠")  # the wide ones count in East Asian spreadsheets  # noqa: RUF001


def is_formula(text: str) -> bool:
    """Say whether a csv cell gets an apostrophe in front, see above."""
    return text.startswith((*_FORMULA, "'"))


def csv_header(
    codes: Sequence[str], attributes: Sequence[str] = (), own: Sequence[str] = ()
) -> str:
    """Return the first line of the csv; what came later is behind: columns keep their places."""
    scores = [f"score_{code}" for code in codes]  # a class may be called as a column is
    columns = ["uri", "status", "reason", "duration_s", "labels", *scores, "model_id", "tagged_at"]
    return ",".join(map(_quoted, [*columns, *attributes, "label_names", *PEOPLE, *own])) + "\r\n"


def csv_lines(rows: Iterable[Row], codes: Sequence[str], origin: TagSource) -> str:
    """Return lines of RFC 4180; what a failed track lacks is empty."""
    cells = (
        [*_csv_cells(row, codes, origin), *(_own_cell(row.get(name)) for name in origin.own)]
        for row in rows
    )
    return "".join(",".join(one) + "\r\n" for one in cells)


def _own_cell(value: Any) -> str:
    """Return what a manifest says as a cell: numbers as they are, all else in quotes."""
    if value is None:
        return ""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    return str(value) if is_number else _quoted(str(own_value(value)))


def _csv_cells(row: Row, codes: Sequence[str], origin: TagSource) -> list[str]:
    scores = row["scores"] or {}
    texts = [row[key] for key in ("uri", "status", "reason")]
    return [
        *map(_quoted, texts),
        _six(row["duration_s"]),
        _quoted("+".join(row["labels"] or ())),
        *(_six(scores.get(code)) for code in codes),
        _quoted(row["model_id"]),
        time_text(row["tagged_at"]) or "",
        *(_six(row.get(name)) for name in origin.attributes),
        _quoted("; ".join(map(origin.name, row["labels"] or ()))),
        *(_quoted("+".join(row.get(key) or ())) for key in PEOPLE),
    ]


def _quoted(text: str | None) -> str:
    if text is None:
        return ""
    safe = f"'{text}" if is_formula(text) else text
    return '"' + safe.replace('"', '""') + '"'


def _six(value: float | None) -> str:
    rounded = number(value)
    return "" if rounded is None else f"{rounded:.6f}"


def _write(task: Task) -> str:
    origin, codes, n_rows = task.source.origin, task.source.codes, 0
    with task.writing("tags.csv") as write:
        write(csv_header(codes, origin.attributes, origin.own))
        for _, rows, _ in task.batches():
            write(csv_lines(rows, codes, origin))
            n_rows += len(rows)
            n_formulas = sum(is_formula(row["uri"]) for row in rows)
            task.counts[
                "uris begin as a formula does: in the csv they have an apostrophe in front"
            ] += n_formulas
    return f"tags.csv: {n_rows:,d} rows, failed tracks too"


EXPORT = Export("csv", _write)
