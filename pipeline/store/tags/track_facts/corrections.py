"""What people said of the tags of a folder: added a file at a time, read as what is in force.

    corrections/{hash}.parquet

A correction is of a content: it holds for the track under whatever name, and not for another
recording that has come under the old name. Where one of both hashes is of a file's bytes and the
other of its audio packets, they say nothing of one another, and the name decides.
"""

from __future__ import annotations

import math
import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import cached_property
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import StoreError, UsageError
from pipeline.store.folder import Folder
from schemas.corrections import ABSENT, CORRECTIONS, PRESENT, VERDICTS, WITHDRAWN

PLACE = "corrections"
_KEY = ["uri", "fingerprint", "code", "start_s", "end_s"]
_MANY_FILES = 64
"""From here on a folder's files are joined."""
_TRIES = 5

CONFIRMED = pa.field(
    "confirmed", pa.list_(pa.string()), metadata={"meaning": "labels that a person has given"}
)
REJECTED = pa.field(
    "rejected", pa.list_(pa.string()), metadata={"meaning": "classes that a person has denied"}
)

Row = Mapping[str, Any]


@dataclass(frozen=True)
class TrackCorrections:
    """What is said of one track as a whole."""

    present: tuple[str, ...] = ()
    """Codes, sorted; a class that is heard in a span is heard in the track."""
    absent: tuple[str, ...] = ()
    """Codes, sorted: of the whole track."""

    def labels(self, of_model: Iterable[str] | None) -> list[str]:
        """Return the labels of a track as they are corrected: the model's first, in their order."""
        kept = [code for code in of_model or () if code not in self.absent]
        return [*kept, *(code for code in self.present if code not in kept)]


@dataclass(frozen=True)
class Corrections:
    """What people said of the tracks of a folder, as far as it counts."""

    last: pa.Table
    """CORRECTIONS: the last word on each uri, content, code and span, withdrawn ones, too: they
    count against what was said of a copy, or of the same file by another kind of hash."""
    _by_uri: Mapping[str, list[Row]] = field(init=False, repr=False)
    _by_content: Mapping[str, list[Row]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        by_uri, by_content = defaultdict(list), defaultdict(list)
        for row in self.last.to_pylist():
            by_uri[row["uri"]].append(row)
            if row["fingerprint"]:
                by_content[row["fingerprint"]].append(row)
        object.__setattr__(self, "_by_uri", by_uri)
        object.__setattr__(self, "_by_content", by_content)

    def __bool__(self) -> bool:
        return bool(self.rows.num_rows)

    @cached_property
    def rows(self) -> pa.Table:
        """CORRECTIONS that are in force: each the last word on its own track, not withdrawn."""
        every = self.last.to_pylist()
        kept = [row in self.of_track(row["uri"], row["fingerprint"]) for row in every]
        return self.last.filter(pa.array(kept, pa.bool_()))

    def of_track(self, uri: str, fingerprint: str | None) -> list[Row]:
        """Return what is said of a track and its spans, in the order in which it was said.

        Of one class and span the last word counts, also where it was said of a copy.
        """
        own = [row for row in self._by_uri.get(uri, ()) if _may_be(row["fingerprint"], fingerprint)]
        found = own + [
            row for row in self._by_content.get(fingerprint or "", ()) if row["uri"] != uri
        ]
        last: dict[tuple[Any, ...], Row] = {}
        for row in sorted(found, key=lambda row: row["said_at"]):
            key = row["code"], row["start_s"], row["end_s"]
            last.pop(key, None)
            last[key] = row
        return [row for row in last.values() if row["verdict"] != WITHDRAWN]

    def said(self, uri: str, fingerprint: str | None) -> TrackCorrections:
        """Return what is said of a track as a whole."""
        rows = self.of_track(uri, fingerprint)
        absent = {r["code"] for r in rows if r["verdict"] == ABSENT and r["start_s"] is None}
        present = {r["code"] for r in rows if r["verdict"] == PRESENT} - absent
        return TrackCorrections(tuple(sorted(present)), tuple(sorted(absent)))

    def concern(self, tags: pa.Table) -> np.ndarray:
        """Return which rows of TAGS something may have been said of."""
        if not self:
            return np.zeros(tags.num_rows, bool)
        by_uri = pc.is_in(tags["uri"], value_set=self.last["uri"].combine_chunks())
        contents = self.last["fingerprint"].drop_null().combine_chunks()
        by_content = pc.is_in(tags["fingerprint"], value_set=contents)
        return np.asarray(pc.or_(by_uri, pc.fill_null(by_content, False)))


def _may_be(one: str | None, other: str | None) -> bool:
    """Say whether two hashes may be of one content: they are alike, or of different kinds.

    >>> _may_be("blake2b:1", "blake2b:2"), _may_be("blake2b:1", "packets:2")
    (False, True)
    """
    if not one or not other or one == other:
        return True
    return one.partition(":")[0] != other.partition(":")[0]


NONE = Corrections(CORRECTIONS.empty_table())


def read_corrections(folder: Folder) -> Corrections:
    """Return the corrections of a tagging folder; none where there are no files."""
    rows = _read(folder)
    return Corrections(last_words(rows)) if rows.num_rows else NONE


def copy_corrections(source: Folder, out: Folder) -> None:
    """Copy all that was said of the tags of a folder into another one."""
    rows = _read(source)
    if rows.num_rows:
        out.write_table(f"{PLACE}/copied.parquet", rows, compression="zstd")


def add_corrections(folder: Folder, rows: Sequence[Row]) -> None:
    """Add corrections to a folder, all of them or none.

    Raises
    ------
    UsageError
        A verdict that there is not, or half a span.
    """
    for row in rows:
        if row["verdict"] not in VERDICTS:
            raise UsageError(f"verdict {row['verdict']!r}: expected one of {', '.join(VERDICTS)}")
        start, end = row.get("start_s"), row.get("end_s")
        is_span = start is not None and end is not None and 0 <= start < end < math.inf
        if not is_span and (start is not None or end is not None):
            raise UsageError(f"a span from {start} to {end}: expected two times, the later last")
    if rows:
        table = pa.Table.from_pylist([_stamped(row) for row in rows], CORRECTIONS)
        folder.write_table(_new_name(), table, compression="zstd")
        _join_many(folder)


def taken_back(row: Row, before: Row | None) -> Row:
    """Return what takes a correction back: what was said before it, again, or that it is none."""
    again = {**row, "verdict": WITHDRAWN} if before is None else before
    return {**again, "said_at": None}


def last_words(rows: pa.Table) -> pa.Table:
    """Return of each uri, content, code and span what was said last."""
    rows = rows.sort_by([("said_at", "ascending")])
    last = {tuple(row[key] for key in _KEY): k for k, row in enumerate(rows.to_pylist())}
    return rows.take(pa.array(sorted(last.values()), pa.int64()))


def corrected(tags: pa.Table, corrections: Corrections) -> pa.Table:
    """Return rows of TAGS with their labels as people have corrected them.

    There are two columns more, `confirmed` and `rejected`: codes that a person has said are there,
    and are not; null where nobody said anything.
    """
    concerned = np.flatnonzero(corrections.concern(tags))
    some = tags.take(pa.array(concerned)).select(["uri", "fingerprint", "labels"]).to_pylist()
    said = [corrections.said(row["uri"], row["fingerprint"]) for row in some]
    labels = [one.labels(row["labels"]) for one, row in zip(said, some, strict=True)]
    at = tags.schema.get_field_index("labels")
    field_ = tags.schema.field(at)
    tags = tags.set_column(at, field_, _replaced(tags["labels"], concerned, labels))
    nothing = pa.chunked_array([pa.nulls(tags.num_rows, CONFIRMED.type)])
    for one, lists in (
        (CONFIRMED, [list(each.present) for each in said]),
        (REJECTED, [list(each.absent) for each in said]),
    ):
        tags = tags.append_column(one, _replaced(nothing, concerned, lists))
    return tags


def _replaced(column: pa.ChunkedArray, at: np.ndarray, values: list[list[str]]) -> pa.ChunkedArray:
    """Return a column of lists with other values in some rows."""
    if not len(at):
        return column
    order = np.arange(len(column))
    order[at] = len(column) + np.arange(len(at))
    both = pa.chunked_array([*column.chunks, pa.array(values, column.type)])
    return both.take(pa.array(order))


def corrected_spans(intervals: Iterable[Row], said: Iterable[Row]) -> list[Row]:
    """Return the stretches in which classes are heard, as people have corrected them.

    What was said last is applied last: an absent span cuts its class's stretches, a present one is
    a stretch of its own. What is absent from the whole track leaves none.

    Parameters
    ----------
    intervals
        Rows with code, start_s, end_s and score.
    said
        Rows of CORRECTIONS of this track (`Corrections.of_track`).
    """
    found = [dict(one) for one in intervals]
    for row in said:
        start, end = _span(row)
        if row["verdict"] == PRESENT and row["start_s"] is None:
            continue
        others = [one for one in found if one["code"] != row["code"]]
        own = [
            piece for one in found if one["code"] == row["code"] for piece in _cut(one, start, end)
        ]
        if row["verdict"] == PRESENT:
            own.append({"code": row["code"], "start_s": start, "end_s": end, "score": None})
        found = others + own
    return sorted(found, key=lambda one: (one["start_s"], one["end_s"], one["code"]))


def _span(row: Row) -> tuple[float, float]:
    whole = row["start_s"] is None
    return (0.0, float("inf")) if whole else (row["start_s"], row["end_s"])


def _cut(interval: dict[str, Any], start: float, end: float) -> list[dict[str, Any]]:
    """Return what is left of a stretch outside a span."""
    before = {**interval, "end_s": min(interval["end_s"], start)}
    after = {**interval, "start_s": max(interval["start_s"], end)}
    return [one for one in (before, after) if one["start_s"] < one["end_s"]]


def _read(folder: Folder) -> pa.Table:
    """Read all files; again where another process has joined some of them meanwhile."""
    for _ in range(_TRIES - 1):
        try:
            return folder.read_tables(folder.names(PLACE), CORRECTIONS)
        except StoreError:
            continue
    return folder.read_tables(folder.names(PLACE), CORRECTIONS)


def _join_many(folder: Folder) -> None:
    """Join the files of a folder where they are many: the new one is there before they go.

    One process at a time; another goes on without. A kill in between leaves rows twice, of which
    the next join keeps one.
    """
    if len(folder.names(PLACE)) < _MANY_FILES:
        return
    with suppress(UsageError, StoreError), Folder(folder.uri_of(PLACE)).claimed():
        names = folder.names(PLACE)
        rows = folder.read_tables(names, CORRECTIONS)
        each_once = rows.group_by(CORRECTIONS.names).aggregate([]).cast(CORRECTIONS)
        folder.write_table(_new_name(), each_once, compression="zstd")
        for name in names:
            folder.delete(name)


def _new_name() -> str:
    return f"{PLACE}/{uuid.uuid4().hex}.parquet"


def _stamped(row: Row) -> dict[str, Any]:
    """Return a row with a time, and null where it lacks a column."""
    whole = {key: row.get(key) for key in CORRECTIONS.names}
    return {**whole, "said_at": whole["said_at"] or datetime.now(UTC)}
