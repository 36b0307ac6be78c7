"""A CSV or JSON-lines file in, its rows with their lines out; errors name file and line."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, BinaryIO

from pipeline.errors import TableError, UsageError
from pipeline.store.folder import read_input

Row = dict[str, Any]

STATED = ("size_bytes", "modified_ns")
"""Columns of a manifest by which its tracks are not looked at."""
_INT64 = range(-(1 << 63), 1 << 63)


def read_csv(uri: str, columns: Sequence[str]) -> list[tuple[int, dict[str, str]]]:
    """Return line and values of a CSV file's rows; TableError for a missing column or value."""
    text = io.TextIOWrapper(io.BytesIO(read_input(uri)), "utf-8-sig", newline="")
    return list(_rows_of_csv(text, uri, columns))


def csv_rows(file: BinaryIO, uri: str) -> Iterator[tuple[int, Row]]:
    """Yield line and values of a CSV manifest's rows; an empty value is None."""
    text = io.TextIOWrapper(file, "utf-8-sig", newline="")
    for line, row in _rows_of_csv(text, uri, ["uri"]):
        yield line, {key: value or None for key, value in row.items() if isinstance(key, str)}


def json_rows(file: BinaryIO, uri: str) -> Iterator[tuple[int, Row]]:
    """Yield line and object of a manifest of JSON lines; TableError where a line is no object."""
    for line, data in enumerate(file, 1):
        try:
            text = data.decode("utf-8-sig")
            if not text.strip():
                continue
            row = json.loads(text)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            found = data.decode("utf-8-sig", "backslashreplace").strip()[:60]
            raise TableError(uri, line, repr(found), "a JSON object")
        yield line, row


def checked_row(row: Mapping[str, Any], uri: str, line: int) -> Row:
    """Return a manifest's row; TableError where uri, size or time are something else."""
    track = row.get("uri")
    if not isinstance(track, str) or not track:
        raise TableError(uri, line, "an empty value" if not track else repr(track), "a uri")
    stated: Row = {**row, "uri": track}
    for key in STATED:
        value = row.get(key)
        try:
            stated[key] = None if value is None else int(value)
        except (TypeError, ValueError, OverflowError):
            raise TableError(uri, line, f"{key} {value!r}", "a whole number") from None
        if value is not None and stated[key] not in _INT64:
            raise TableError(uri, line, f"{key} {value!r}", "a whole number of 64 bits")
    return stated


def _rows_of_csv(
    file: Iterable[str], name: str, columns: Sequence[str]
) -> Iterator[tuple[int, dict[str, str]]]:
    """Yield line and values of each row; the first of `columns` must not be empty."""
    try:
        reader = csv.DictReader(file)
        header = list(reader.fieldnames or [])
        if missing := [column for column in columns if column not in header]:
            raise TableError(name, 1, f"columns {header}", f"a column {missing[0]!r}")
        for row in reader:
            if not row[columns[0]]:
                raise TableError(name, reader.line_num, "an empty value", f"a {columns[0]}")
            yield reader.line_num, row
    except (UnicodeDecodeError, csv.Error) as error:
        raise UsageError(f"{name}: not a CSV file in UTF-8: {error}") from error
