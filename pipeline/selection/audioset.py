"""AudioSet's segments CSV in, rows out: `ytid, start_s, end_s, mids`. PURE.

The form is Google's: three `#` lines, then `YTID, start_seconds, end_seconds, "mid,mid,..."`,
spaces after commas. Files of two million rows are read as Arrow columns, never row by row.
"""

from __future__ import annotations

from collections.abc import Collection
from typing import BinaryIO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import csv

from pipeline.errors import TableError, UsageError

EXPECTED = (
    'YTID, start_seconds, end_seconds, "mid,mid,..." (an id of letters, digits, - and _; times in '
    "seconds, end after start)"
)
_ROW = (
    r"^(?P<ytid>[A-Za-z0-9_-]+)\s*,\s*(?P<start_s>\d{1,7}(?:\.\d{1,9})?)\s*,"
    r"\s*(?P<end_s>\d{1,7}(?:\.\d{1,9})?)\s*,"
    r'\s*(?:"(?P<mids>[!#-~ ]+)"|(?P<mid>[!#-+.-~-]+))\s*$'
)
_ONE_COLUMN = csv.ParseOptions(delimiter="\x1f", quote_char=False, ignore_empty_lines=False)


def read_segments(stream: BinaryIO, *, name: str, known_mids: Collection[str]) -> pa.Table:
    """Return the rows of one segments CSV: ytid, start_s, end_s, mids (list of str).

    Raises TableError with file, line and what was expected for a malformed row or an unknown id.
    """
    lines = _lines(stream, name)
    texts = pc.fill_null(lines, b"")
    is_row = pc.invert(
        pc.or_(pc.starts_with(texts, pattern="#"), pc.match_substring_regex(texts, r"^\s*$"))
    )
    line_numbers = np.flatnonzero(is_row.to_numpy()) + 1
    texts = texts.filter(is_row).combine_chunks()
    fields = pc.extract_regex(texts, pattern=_ROW)
    _require(pc.is_valid(fields), line_numbers, texts, name)
    rows = _columns(fields)
    _require(pc.less(rows["start_s"], rows["end_s"]), line_numbers, texts, name)
    _require_known(rows["mids"], line_numbers, name, known_mids)
    return rows


def _lines(stream: BinaryIO, name: str) -> pa.ChunkedArray:
    try:
        table = csv.read_csv(
            stream,
            read_options=csv.ReadOptions(column_names=["line"]),
            parse_options=_ONE_COLUMN,
            convert_options=csv.ConvertOptions(column_types={"line": pa.binary()}),
        )
    except pa.ArrowInvalid as error:
        raise UsageError(f"{name}: not a segments CSV ({error}); expected {EXPECTED}") from error
    return table.column("line")


def _columns(fields: pa.StructArray) -> pa.Table:
    text = {
        field: pc.cast(pc.struct_field(fields, field), pa.string())
        for field in ("ytid", "start_s", "end_s", "mids", "mid")
    }
    quoted = pc.not_equal(text["mids"], "")
    mids = pc.replace_substring_regex(pc.if_else(quoted, text["mids"], text["mid"]), r"\s+", "")
    return pa.table(
        {
            "ytid": text["ytid"],
            "start_s": pc.cast(text["start_s"], pa.float64()),
            "end_s": pc.cast(text["end_s"], pa.float64()),
            "mids": pc.split_pattern(mids, ","),
        }
    )


def _require(
    good: pa.Array | pa.ChunkedArray, line_numbers: np.ndarray, texts: pa.Array, name: str
) -> None:
    bad = np.flatnonzero(~good.to_numpy(zero_copy_only=False))
    if len(bad):
        found = texts[int(bad[0])].as_py().decode("utf-8", "backslashreplace")
        raise TableError(name, int(line_numbers[bad[0]]), repr(found[:120]), EXPECTED)


def _require_known(
    mids: pa.ChunkedArray, line_numbers: np.ndarray, name: str, known_mids: Collection[str]
) -> None:
    lists = mids.combine_chunks()
    known = pc.is_in(lists.flatten(), value_set=pa.array(sorted(known_mids), pa.string()))
    unknown = np.flatnonzero(~known.to_numpy(zero_copy_only=False))
    if len(unknown):
        row = int(np.searchsorted(lists.offsets.to_numpy(), unknown[0], side="right")) - 1
        mid = lists.flatten()[int(unknown[0])].as_py()
        raise TableError(
            name, int(line_numbers[row]), f"unknown id {mid!r}", "one of AudioSet's 527 label ids"
        )
