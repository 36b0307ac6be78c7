"""One part of a model's TAGS in; what a run does with it before and after the tagging, a step each.

    plan_part:    the catalogue's tracks of the part, what is known → what is left to tag
    copy_part:    tracks of known content → rows of TAGS, copied without decoding
    finish_part:  files in order, the index written; every track of the catalogue has its row

Each is a plain function of a part and opens no more than that: in this process, or as a task on
Ray, a part a task. What comes back are counts, and what grows with the catalogue stays in files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.arrays import Hashes
from pipeline.store.tags.known import (
    IS_OK,
    Fingerprints,
    Known,
    Totals,
    are_in,
    each_once,
    text_hashes,
)
from pipeline.store.tags.listing import URI_HASH, Listing
from pipeline.store.tags.parts import part_numbers
from pipeline.store.tags.tagpart import TagPart
from pipeline.store.tags.tagstore import TagStore
from pipeline.store.tags.worklist import plan_work


class _Sums:
    """Base of dataclasses of counts: what is of several parts is their sum, field by field."""

    def __add__(self, other: Self) -> Self:
        """Return the sum of both."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return type(self)(*(one + two for one, two in pairs))


@dataclass(frozen=True)
class Planned(_Sums):
    """What there is to do, in one part or in all."""

    n_tracks: int = 0
    """How many tracks the catalogue has."""
    n_left: int = 0
    """Of these: to be tagged."""
    n_changed: int = 0
    """Of those left: known, but with another size or time."""
    n_retried: int = 0
    """Of those left: failed before, and asked for again or by a fault that may have passed."""
    n_removed: int = 0
    """Known, but not in the catalogue any more."""
    n_bytes: int = 0
    """Of those left, as far as their sizes are known."""
    known: Totals = field(default_factory=Totals)
    """What the rows that are there add up to."""

    @property
    def n_unchanged(self) -> int:
        """How many tracks need nothing."""
        return self.n_tracks - self.n_left


@dataclass(frozen=True)
class Finished(_Sums):
    """What TAGS hold of the catalogue, in one part or in all."""

    totals: Totals = field(default_factory=Totals)
    """What all rows add up to."""
    n_missing: int = 0
    """Tracks of the catalogue that have no row."""
    n_too_many: int = 0
    """Rows of tracks that have another one."""
    n_failed: int = 0
    """Tracks of the catalogue whose row says that they failed."""
    missing_tables: Counter[str] = field(default_factory=Counter)
    """Files that lack a table that was asked for, by table."""


@dataclass(frozen=True)
class PartPlan:
    """What there is to do in one part."""

    counts: Planned
    """What there is to do, in numbers."""
    as_it_is: Finished
    """What the part holds before anything is done."""
    left: pa.Table
    """The tracks to tag: rows of WORK."""
    contents: Fingerprints
    """Of the part's tracks that are ok."""


def plan_part(
    part: TagPart,
    listing: Listing,
    *,
    retry_failed: bool,
    tables: Sequence[str] = (),
    writes: bool = True,
) -> PartPlan:
    """Return what is left to tag of a part.

    Parameters
    ----------
    part
        Of a model's TAGS.
    listing
        The whole catalogue.
    retry_failed
        Whether tracks that failed are tried again, whatever their fault.
    tables
        What is asked for beside TAGS.
    writes
        Whether to put in order first what a killed run has left, and to write the index.
    """
    known = part.compact().known if writes else part.known()
    tracks = listing.part(part.number, part.n_parts)
    work = plan_work(tracks, known, retry_failed=retry_failed)
    counts = Planned(
        n_tracks=work.n_tracks,
        n_left=work.left.num_rows,
        n_changed=work.n_changed,
        n_retried=work.n_retried,
        n_removed=work.n_removed,
        n_bytes=pc.sum(work.left["size_bytes"]).as_py() or 0,
        known=known.totals,
    )
    as_it_is = _finished(part, known, work.uris, tables)
    return PartPlan(counts, as_it_is, work.left, Fingerprints(known.contents))


def copy_part(part: TagPart, same: Sequence[pa.Table], *, date: str, schema: pa.Schema) -> int:
    """Write the rows of tracks whose content the part knows; return how many have a row there.

    `same` are rows of uri, fingerprint, size_bytes, modified_ns, attempts and tagged_at, of tracks
    of all parts. Counted are those that the part itself has a row of: their content is as it was.
    """
    own = [text_hashes(rows["uri"]) for rows in same]
    mine = [hashes[part_numbers(hashes, part.n_parts) == part.number] for hashes in own]
    known = part.indexed_uris()
    TagStore(part.folder).copy(part, same, date=date, schema=schema)
    return sum(int(are_in(hashes, known).sum()) for hashes in mine)


def finish_part(part: TagPart, listing: Listing, tables: Sequence[str]) -> Finished:
    """Put the files of a part in order and write its index; hold its rows against the catalogue."""
    known = part.compact().known
    none = np.zeros(0, np.uint64)
    batches = listing.part(part.number, part.n_parts)
    uris = np.concatenate([none, *(batch[URI_HASH].to_numpy() for batch in batches)])
    return _finished(part, known, each_once(uris), tables)


def _finished(part: TagPart, known: Known, catalogue: Hashes, tables: Sequence[str]) -> Finished:
    """Hold what is known against the hashes of the catalogue's uris, each once."""
    failed = known.rows.uris[~known.rows.has(IS_OK)]
    return Finished(
        totals=known.totals,
        n_missing=int((~are_in(catalogue, known.rows.uris)).sum()),
        n_too_many=known.totals.n_rows - len(known.rows),
        n_failed=int(are_in(failed, catalogue).sum()),
        missing_tables=part.missing_tables(tables),
    )


class PartsHere:
    """The steps of all parts, one after the other in this process."""

    def __init__(
        self,
        parts: Sequence[TagPart],
        listing: Listing,
        *,
        retry_failed: bool,
        tables: Sequence[str] = (),
        writes: bool = True,
    ) -> None:
        self._parts, self._listing, self._tables = parts, listing, tables
        self.n_parts = len(parts)
        plans = [
            plan_part(part, listing, retry_failed=retry_failed, tables=tables, writes=writes)
            for part in parts
        ]
        self.planned = sum((plan.counts for plan in plans), Planned())
        self.left = [plan.left for plan in plans if plan.left.num_rows]
        """Rows of WORK, a table a part."""
        self.contents = [plan.contents for plan in plans if len(plan.contents)]
        """What is known already, a set a part."""
        self._as_they_are = [plan.as_it_is for plan in plans]
        self._has_left = [plan.left.num_rows > 0 for plan in plans]

    def finished_before(self) -> Finished:
        """Return what TAGS held before anything was done."""
        return sum(self._as_they_are, Finished())

    def finish(
        self, same: Sequence[pa.Table], *, date: str, schema: pa.Schema
    ) -> tuple[int, Finished]:
        """Copy rows for the `same` tracks, put in order the parts that have new ones."""
        n_renamed = 0
        if same:
            n_renamed = sum(copy_part(one, same, date=date, schema=schema) for one in self._parts)
        finished = Finished()
        for part, had_left, before in zip(
            self._parts, self._has_left, self._as_they_are, strict=True
        ):
            finished += finish_part(part, self._listing, self._tables) if had_left else before
        return n_renamed, finished
