"""Which tracks are gone: what a run does with one part of TAGS when all is tagged, a step each.

    update_part_presence:  known tracks that the catalogue speaks for and has not → GONE; those
                           that are back → out of it; what a manifest says → CATALOGUE
    prune_part:            rows of tracks that are gone → deleted, with all that stands beside them

A step is a plain function of a part, as those of `part_steps`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from logging import WARNING

import numpy as np

from pipeline.arrays import Hashes
from pipeline.runs.logs import say
from pipeline.store.reach import Reach
from pipeline.store.tags.known import Totals, are_in, each_once, no_hashes
from pipeline.store.tags.tagpart import TagPart
from pipeline.store.tags.track_facts.catalogue_table import CATALOGUE_TABLE, named_before, named_now
from pipeline.store.tags.track_facts.gone import GONE_TABLE, Presence, gone_now, rows_of_gone
from pipeline.store.tags.work.listing import URI_HASH, Listing
from pipeline.sums import Sums
from pipeline.tagging.part_steps import Finished, PartSteps


@dataclass(frozen=True)
class Pruned(Sums):
    """What was deleted, in one part or in all."""

    n_tracks: int = 0
    """Tracks whose rows were deleted."""
    kept: Totals = field(default_factory=Totals)
    """What the rows that are left add up to."""


@dataclass(frozen=True)
class PresenceResult:
    """What a run found of the tracks that are gone, and what it pruned."""

    n_gone: int
    """Tracks with a row that are gone."""
    n_returned: int
    """Tracks that were gone and are back."""
    n_pruned: int
    """Tracks whose rows were deleted."""
    totals: Totals
    """What all rows add up to now."""


def update_presence(
    steps: PartSteps, finished: Finished, reach: Reach, which: str, *, catalog: str, at: datetime
) -> PresenceResult:
    """Write which tracks are gone, and prune what is asked for: `which`, or none.

    Where more tracks have gone since the last run than the catalogue has, a disk may be missing:
    nothing is pruned then, and a line says so. The next run with the flag prunes them.
    """
    step = partial(update_part_presence, listing=steps.listing, reach=reach, catalog=catalog, at=at)
    presence = sum(steps.each(step, steps.parts), Presence())
    for table in (GONE_TABLE, CATALOGUE_TABLE):
        table.delete_other_cuts(steps.parts[0].folder, steps.parts)
    is_doubtful = which == "gone" and presence.n_new > steps.planned.n_tracks
    if is_doubtful:
        text = f"{presence.n_new:,} tracks have gone from {catalog} since the last run, more than "
        text += "are left there: nothing is pruned; if no disk is missing, run the command again"
        say("not_pruned", level=WARNING, text=f"warning: {text}")
    if which == "none" or is_doubtful:
        return PresenceResult(presence.n_gone, presence.n_returned, 0, finished.totals)
    prune = partial(prune_part, listing=steps.listing, which=which)
    pruned = sum(steps.each(prune, steps.parts), Pruned())
    return PresenceResult(0, presence.n_returned, pruned.n_tracks, pruned.kept)


def update_part_presence(
    part: TagPart, *, listing: Listing, reach: Reach, catalog: str, at: datetime
) -> Presence:
    """Write which tracks of a part are gone; its index must be whole."""
    before, listed, known = GONE_TABLE.read(part), _listed(part, listing), part.indexed().uris
    named = now = CATALOGUE_TABLE.read(part)
    is_missing = ~are_in(known, listed) & ~are_in(known, before.hashes)
    if reach.manifest:
        is_missing &= are_in(known, named_before(named, reach.manifest))
    uris = part.uris_of(known[is_missing])
    is_mine = [True] * len(uris) if reach.manifest else reach.chosen(uris)
    chosen = [uri for uri, mine in zip(uris, is_mine, strict=True) if mine]
    missing = rows_of_gone(chosen, catalog, at)
    rows, presence = gone_now(before, missing, listed=listed, known=known)
    GONE_TABLE.write(part, rows, before)
    if reach.manifest:  # at last: until then the next run sees what this one saw
        tables = list(listing.part(part.number, part.n_parts))
        now = named_now(named, tables, reach.manifest, known)
    CATALOGUE_TABLE.write(part, now, named)
    return presence


def prune_part(part: TagPart, *, listing: Listing, which: str) -> Pruned:
    """Delete the rows of a part's tracks that are gone, or that the catalogue has not."""
    gone, known = GONE_TABLE.read(part), part.indexed().uris
    is_unlisted = which == "unlisted"
    kept = part.forget(
        known[~are_in(known, _listed(part, listing))] if is_unlisted else gone.hashes
    )
    GONE_TABLE.write(part, gone.kept(np.zeros(len(gone.hashes), bool)), gone)
    named = CATALOGUE_TABLE.read(part)
    CATALOGUE_TABLE.write(part, named.kept(are_in(named.hashes, kept.rows.uris)), named)
    return Pruned(len(known) - len(kept.rows), kept.totals)


def _listed(part: TagPart, listing: Listing) -> Hashes:
    """Return the hashes of the uris that the catalogue has of a part, sorted, each once."""
    batches = listing.part(part.number, part.n_parts)
    return each_once(np.concatenate([no_hashes(), *(one[URI_HASH].to_numpy() for one in batches)]))
