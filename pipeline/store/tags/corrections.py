"""What people said of the tags of a folder: added a file at a time, read as what is in force.

    corrections/{hash}.parquet

A correction is of a content: it holds for the track under whatever name, and not for another
recording that has come under the old name. Where one of both hashes is of a file's bytes and the
other of its audio packets, they say nothing of one another, and the name decides.
"""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
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
"""From here on a folder's files are joined before another is added."""

CONFIRMED = pa.field(
    "confirmed", pa.list_(pa.string()), metadata={"meaning": "labels that a person has given"}
)
REJECTED = pa.field(
    "rejected", pa.list_(pa.string()), metadata={"meaning": "classes that a person has denied"}
)

Row = Mapping[str, Any]


@dataclass(frozen=True)
class Said:
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
    """The corrections of a folder that are in force."""

    rows: pa.Table
    """CORRECTIONS: the last one of each uri, code and span, without those that were withdrawn."""
    _by_uri: Mapping[str, list[Row]] = field(init=False, repr=False)
    _by_content: Mapping[str, list[Row]] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        by_uri, by_content = defaultdict(list), defaultdict(list)
        for row in self.rows.to_pylist():
            by_uri[row["uri"]].append(row)
            if row["fingerprint"]:
                by_content[row["fingerprint"]].append(row)
        object.__setattr__(self, "_by_uri", by_uri)
        object.__setattr__(self, "_by_content", by_content)

    def __bool__(self) -> bool:
        return bool(self.rows.num_rows)

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
        return list(last.values())

    def said(self, uri: str, fingerprint: str | None) -> Said:
        """Return what is said of a track as a whole."""
        rows = self.of_track(uri, fingerprint)
        absent = {r["code"] for r in rows if r["verdict"] == ABSENT and r["start_s"] is None}
        present = {r["code"] for r in rows if r["verdict"] == PRESENT} - absent
        return Said(tuple(sorted(present)), tuple(sorted(absent)))

    def concern(self, tags: pa.Table) -> np.ndarray:
        """Return which rows of TAGS something may have been said of."""
        if not self:
            return np.zeros(tags.num_rows, bool)
        by_uri = pc.is_in(tags["uri"], value_set=self.rows["uri"].combine_chunks())
        contents = self.rows["fingerprint"].drop_null().combine_chunks()
        by_content = pc.is_in(tags["fingerprint"], value_set=contents)
        return np.asarray(pc.or_(by_uri, pc.fill_null(by_content, False)))

    @property
    def n_of(self) -> Mapping[str, int]:
        """How many there are of each verdict."""
        verdicts = self.rows["verdict"].to_pylist()
        return {one: verdicts.count(one) for one in (PRESENT, ABSENT)}


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
    """Return the corrections in force of a tagging folder; none where there are no files."""
    rows = _read(folder)
    return Corrections(in_force(rows)) if rows.num_rows else NONE


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
        if (start is None) != (end is None) or (start is not None and not 0 <= start < end):
            raise UsageError(f"a span from {start} to {end}: expected two times, the later last")
    if rows:
        table = pa.Table.from_pylist([_stamped(row) for row in rows], CORRECTIONS)
        _join_many(folder)
        folder.write_table(f"{PLACE}/{uuid.uuid4().hex}.parquet", table, compression="zstd")


def withdrawn(rows: Iterable[Row]) -> list[Row]:
    """Return the corrections that take some back."""
    return [{**row, "verdict": WITHDRAWN, "said_at": None} for row in rows]


def in_force(rows: pa.Table) -> pa.Table:
    """Return of each uri, code and span what was said last, if it was not withdrawn."""
    rows = rows.sort_by([("said_at", "ascending")])
    last = {tuple(row[key] for key in _KEY): k for k, row in enumerate(rows.to_pylist())}
    kept = rows.take(pa.array(sorted(last.values()), pa.int64()))
    return kept.filter(pc.not_equal(kept["verdict"], WITHDRAWN))


def people_of(tracks: pa.Table, corrections: Corrections) -> pa.Table:
    """Return `confirmed` and `rejected` of tracks, beside their uri and fingerprint."""
    rows = tracks.select(["uri", "fingerprint"])
    said = [corrections.said(row["uri"], row["fingerprint"]) for row in rows.to_pylist()]
    for field_, lists in (
        (CONFIRMED, [list(one.present) for one in said]),
        (REJECTED, [list(one.absent) for one in said]),
    ):
        rows = rows.append_column(field_, pa.array(lists, field_.type))
    return rows


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
    """Read all files; once more where another process has joined some of them meanwhile."""
    try:
        return folder.read_tables(folder.names(PLACE), CORRECTIONS)
    except StoreError:
        return folder.read_tables(folder.names(PLACE), CORRECTIONS)


def _join_many(folder: Folder) -> None:
    """Join the files of a folder where they are many: the new one is there before they go.

    A kill in between leaves rows twice, which count once.
    """
    names = folder.names(PLACE)
    if len(names) < _MANY_FILES:
        return
    rows = folder.read_tables(names, CORRECTIONS)
    folder.write_table(f"{PLACE}/{uuid.uuid4().hex}.parquet", rows, compression="zstd")
    for name in names:
        folder.delete(name)


def _stamped(row: Row) -> dict[str, Any]:
    """Return a row with a time, and null where it lacks a column."""
    whole = {key: row.get(key) for key in CORRECTIONS.names}
    return {**whole, "said_at": whole["said_at"] or datetime.now(UTC)}
