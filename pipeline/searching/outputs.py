"""Rows that a search has found in, the text of a table, csv, JSON lines or playlist out.

Uris come from the outside world: what csv and playlist do with the worst of them is said in
`pipeline.exports.csv` and `m3u`. A table shows control characters, and what else a terminal would
obey by its escape.
"""

from __future__ import annotations

import csv
import io
import json
import unicodedata
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import pyarrow as pa

from pipeline.errors import UsageError
from pipeline.exports import texts
from pipeline.exports.csv import is_formula
from pipeline.exports.m3u import playlist_head, playlist_lines
from pipeline.store.folder import Folder
from pipeline.store.uris import split_uri, without_options

Rows = Sequence[Mapping[str, Any]]
_WIDEST = 80
"""Characters of a cell of a table; of a longer uri its end is shown, which tells tracks apart."""


def table_text(found: pa.Table) -> str:
    """Return a table for a terminal; nothing where no row was found."""
    rows = [[_cell(value) for value in row.values()] for row in found.to_pylist()]
    if not rows:
        return ""
    heads = [name.removesuffix("_s") + " s" * name.endswith("_s") for name in found.column_names]
    is_number = [
        pa.types.is_floating(one.type) or pa.types.is_integer(one.type) for one in found.schema
    ]
    widths = [max(map(_width, column)) for column in zip(heads, *rows, strict=True)]
    lines = []
    for row in [heads, *rows]:
        cells = zip(row, widths, is_number, strict=True)
        lines.append("  ".join(_padded(*cell) for cell in cells).rstrip())
    return "\n".join(lines) + "\n"


def csv_text(found: pa.Table) -> str:
    """Return a csv of RFC 4180; lists have a + between, and a struct is a column a field."""
    flat = _flat(found)
    file = io.StringIO()
    writer = csv.writer(file, quoting=csv.QUOTE_NONNUMERIC)
    writer.writerow(flat.column_names)
    for row in flat.to_pylist():
        writer.writerow([_csv_cell(value) for value in row.values()])
    return file.getvalue()


def json_lines_text(found: pa.Table) -> str:
    """Return an object a line, a row each."""
    lines = [json.dumps(_plain(row), allow_nan=False) + "\n" for row in found.to_pylist()]
    return "".join(lines)


def playlist_text(found: pa.Table) -> str:
    """Return an extended m3u in UTF-8, the tracks in the order in which they were found."""
    once: dict[str, Mapping[str, Any]] = {}
    for row in found.to_pylist():
        once.setdefault(row["uri"], row)  # windows of a track are one entry
    return playlist_head("search") + playlist_lines(once.values())


TEXTS: Mapping[str, Callable[[pa.Table], str]] = {
    "table": table_text,
    "csv": csv_text,
    "jsonl": json_lines_text,
    "m3u": playlist_text,
}
"""What writes each format of text, by its name."""
_SUFFIXES: Mapping[str, tuple[str, ...]] = {
    "table": (".txt",),
    "csv": (".csv",),
    "jsonl": (".jsonl", ".ndjson"),
    "m3u": (".m3u", ".m3u8"),
    "parquet": (".parquet",),
}


def check_file(out: str | None, format: str) -> None:
    """Raise UsageError where a file's name does not say its format: it may be a track's."""
    if out is None and format == "parquet":
        raise UsageError("--format parquet: give --out FILE, too")
    if out is not None and not without_options(out)[0].endswith(_SUFFIXES[format]):
        wanted = " or ".join(_SUFFIXES[format])
        raise UsageError(f"--out {out}: with --format {format} expected a name with {wanted}")


def to_bytes(found: pa.Table, format: str) -> bytes:
    """Return rows as a file of text in UTF-8."""
    return texts.to_bytes(TEXTS[format](found))


def write(out: str, found: pa.Table, format: str) -> None:
    """Write rows to a file, whole or not at all; a file of that name is replaced."""
    place, name = split_uri(out)
    folder = Folder(place)
    if format == "parquet":
        folder.write_table(name, found, compression="zstd")
    else:
        folder.write_bytes(name, to_bytes(found, format))


def visible(text: str) -> str:
    r"""Return a text that a terminal shows and does not obey.

    >>> print(visible("a\x1b[2Jb\n\u202ec"))
    a\x1b[2Jb\n\u202ec
    """
    return "".join(c if _is_shown(c) else ascii(c)[1:-1] for c in text)


def _is_shown(character: str) -> bool:
    return character == " " or unicodedata.category(character)[0] not in "CZ"


def _cell(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.1f}" if abs(value) >= 10 else f"{value:.3f}"
    if isinstance(value, list):
        value = " ".join(value)
    text = "" if value is None else visible(str(value))
    return text if len(text) <= _WIDEST else f"…{text[1 - _WIDEST :]}"


def _width(text: str) -> int:
    """Return how many places of a terminal a text takes: two a wide character, none a mark."""
    return sum(
        0 if unicodedata.combining(c) else 1 + (unicodedata.east_asian_width(c) in "WF")
        for c in text
    )


def _padded(text: str, width: int, is_number: bool) -> str:
    space = " " * (width - _width(text))
    return space + text if is_number else text + space


def _flat(found: pa.Table) -> pa.Table:
    """Return a table whose structs are columns: `scores.cel` becomes `score_cel`."""
    names = []
    for one in found.schema:
        is_struct = pa.types.is_struct(one.type)
        stem = one.name.removesuffix("s")
        names += [f"{stem}_{field.name}" for field in one.type] if is_struct else [one.name]
    return found.flatten().rename_columns(names)


def _csv_cell(value: Any) -> Any:
    value = _plain(value)
    if isinstance(value, list):
        value = "+".join(value)
    if value is None:
        return ""
    return f"'{value}" if isinstance(value, str) and is_formula(value) else value


def _plain(value: Any) -> Any:
    """Return a value that JSON has; floats without the digits that a float32 does not have."""
    if isinstance(value, dict):
        return {key: _plain(one) for key, one in value.items()}
    if isinstance(value, float):
        return round(value, 6) if value == value and abs(value) != float("inf") else None
    return value.isoformat(timespec="milliseconds") if isinstance(value, datetime) else value
