"""One part of a model's TAGS in; what a run does with it before and after the tagging, a step each.

    plan_part:    the catalogue's tracks of the part, what is known → what is left to tag
    copy_part:    tracks of known content → rows of TAGS, copied without decoding
    finish_part:  files in order, the index written; every track of the catalogue has its row

Each is a plain function of a part and opens no more than that: `PartSteps` calls it for all parts,
in this process or on a cluster (`flows/tagging/part_tasks.py`). What comes back are counts, and
what grows with the catalogue stays in files.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.arrays import Hashes
from pipeline.store.tags.copies import copy_rows
from pipeline.store.tags.known import (
    IS_OK,
    Known,
    Totals,
    are_in,
    content_hashes,
    each_once,
    text_hashes,
)
from pipeline.store.tags.parts import part_numbers
from pipeline.store.tags.tagpart import TagPart
from pipeline.store.tags.tagstore import TagStore
from pipeline.store.tags.work.listing import URI_HASH, Listing
from pipeline.store.tags.work.work_table import LEFT_PLACE, SAME_PLACE, WorkTable
from pipeline.store.tags.work.worklist import WORK, Sizes, plan_work
from pipeline.sums import Sums
from schemas.attributes import sets_of

_COPIED_AT_ONCE = 1 << 17
Each = Callable[[Callable[[Any], Any], Sequence[Any]], Iterable[Any]]
"""`map`, or what does the same with a task an item."""


@dataclass(frozen=True)
class Planned(Sums):
    """What there is to do, in one part or in all."""

    n_tracks: int = 0
    """How many tracks the catalogue has."""
    n_left: int = 0
    """Of these: to be tagged."""
    n_changed: int = 0
    """Of those left: known, but with another size or time."""
    n_retried: int = 0
    """Of those left: failed before, and asked for again or by a fault that may have passed."""
    n_undescribed: int = 0
    """Of those left: tagged, but without the attributes that are asked for."""
    n_removed: int = 0
    """Known, but not in the catalogue any more."""
    sizes: Sizes = field(default_factory=Sizes)
    """How much audio is left."""
    known: Totals = field(default_factory=Totals)
    """What the rows that are there add up to."""

    @property
    def n_unchanged(self) -> int:
        """How many tracks need nothing."""
        return self.n_tracks - self.n_left


@dataclass(frozen=True)
class Finished(Sums):
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
    left: WorkTable
    """The tracks to tag: rows of WORK; none in a dry run."""


def plan_part(
    part: TagPart,
    listing: Listing,
    *,
    retry_failed: bool,
    tables: Sequence[str] = (),
    attributes: Sequence[str] = (),
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
    attributes
        The attribute sets that are asked for: tracks that lack one are tagged again.
    writes
        Whether to put in order first what a killed run has left, and to write the index.
    """
    known = part.compact().known if writes else part.known()
    tracks = listing.part(part.number, part.n_parts)
    work = plan_work(tracks, known, retry_failed=retry_failed, attributes=attributes)
    counts = Planned(
        n_tracks=work.n_tracks,
        n_left=work.left.num_rows,
        n_changed=work.n_changed,
        n_retried=work.n_retried,
        n_undescribed=work.n_undescribed,
        n_removed=work.n_removed,
        sizes=Sizes.of(work.left),
        known=known.totals,
    )
    as_it_is = _finished(part, known, work.uris, tables)
    left = work.left if writes else WORK.empty_table()  # a dry run asks for counts alone
    return PartPlan(counts, as_it_is, _kept(left, part))


def _kept(left: pa.Table, part: TagPart) -> WorkTable:
    """Keep what is left of a part: in memory where it is the only one, else in a file."""
    if part.n_parts == 1 or not left.num_rows:
        return WorkTable.in_memory(left)
    return WorkTable.in_file(left, part.folder, f"{LEFT_PLACE}/{part.name}.parquet")


def copy_part(part: TagPart, same: Sequence[WorkTable], *, date: str, schema: pa.Schema) -> int:
    """Write the rows of tracks whose content the part knows; return how many have a row there.

    `same` are tables of tracks of all parts, with what `copy_rows` takes. They are read one after
    the other; of each those tracks are kept whose content the part has, and many are copied at
    once, as each copying opens the files that have one of their contents. Counted are tracks that
    the part itself has a row of: their content is as it was.
    """
    store, n_renamed = TagStore(part.folder), 0
    known = part.indexed()
    contents = known.known_contents(sets_of(schema))
    waiting: list[pa.Table] = []
    for number, one in enumerate(same, start=1):
        tracks = one.read()
        uris = text_hashes(tracks["uri"])
        mine = uris[part_numbers(uris, part.n_parts) == part.number]
        n_renamed += int(are_in(mine, known.uris).sum())
        is_known = contents.may_have(content_hashes(tracks["known_as"]))
        waiting.append(tracks.filter(pa.array(is_known)))
        if number == len(same) or sum(map(len, waiting)) >= _COPIED_AT_ONCE:
            copy_rows(store, part, pa.concat_tables(waiting), date=date, schema=schema)
            waiting = []
    return n_renamed


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


class PartSteps:
    """The steps of all parts: in this process one after the other, or each part by a task."""

    def __init__(
        self,
        parts: Sequence[TagPart],
        listing: Listing,
        *,
        retry_failed: bool,
        tables: Sequence[str] = (),
        attributes: Sequence[str] = (),
        writes: bool = True,
        each: Each = map,
    ) -> None:
        """Plan; `each` does a step of all parts, and the rest is as `plan_part` takes it."""
        self.listing, self.each, self._tables = listing, each, tables
        self.parts = parts
        plan = partial(
            plan_part,
            listing=listing,
            retry_failed=retry_failed,
            tables=tables,
            attributes=attributes,
            writes=writes,
        )
        self.planned = Planned()
        self.before = Finished()
        """What TAGS held before anything was done."""
        self.knowing: list[TagPart] = []
        """The parts that have rows."""
        self.left: list[WorkTable] = []
        """Rows of WORK, those of a part together."""
        self._untouched = Finished()
        self._with_left: list[TagPart] = []
        for part, planned in zip(parts, each(plan, parts), strict=True):
            self.planned += planned.counts
            self.before += planned.as_it_is
            if planned.counts.known.n_rows:
                self.knowing.append(part)
            if planned.left.n_rows:
                self.left.append(planned.left)
                self._with_left.append(part)
            else:
                self._untouched += planned.as_it_is

    def delete(self) -> None:
        """Delete what was written for the run alone."""
        folder = self.parts[0].folder
        for place in (LEFT_PLACE, SAME_PLACE):  # those of a run that was killed, too
            for name in folder.names(place):
                folder.delete(name)

    def finish(
        self, same: Sequence[WorkTable], *, date: str, schema: pa.Schema
    ) -> tuple[int, Finished]:
        """Copy rows for the `same` tracks, put in order the parts that have new ones."""
        n_renamed = 0
        if same:
            copy = partial(copy_part, same=same, date=date, schema=schema)
            n_renamed = sum(self.each(copy, self.parts))
        finish = partial(finish_part, listing=self.listing, tables=self._tables)
        return n_renamed, sum(self.each(finish, self._with_left), self._untouched)
