"""A part of a catalogue and what is known of it in; what is left to do out. PURE.

    uri of the catalogue's row ──hash──→ among the known uris?
        no  ───────────────────────────────────────────────────────→ left: new
        yes, its hash of size and time differs ────────────────────→ left: changed
        yes, it failed, and may succeed now (or --retry asks) ─────→ left: tried again
        yes, but not described as it is asked for ─────────────────→ left: undescribed
        yes, otherwise ────────────────────────────────────────────→ done: unchanged

The known hashes are sorted, so a batch is looked up by binary search, all its rows at once. What is
left is read and hashed before it is decoded: where the content is known by another name, its row is
copied and no audio is decoded.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.arrays import Hashes
from pipeline.store.catalogue import TRACKS
from pipeline.store.tags.known import (
    IS_OK,
    MAY_PASS,
    Known,
    Totals,
    are_in,
    each_once,
    states_of,
    text_hashes,
)
from pipeline.store.tags.work.listing import URI_HASH
from pipeline.sums import Sums

WORK = TRACKS.append(pa.field("attempts", pa.int32()))
"""A track that is to be done: `attempts` are those so far."""

_RAW_BYTES_A_S, _LOSSY_BYTES_A_S = 130_000, 24_000  # CD in wav or flac; 192 kbit/s
_NO_HASHES = np.zeros(0, np.uint64)


@dataclass(frozen=True)
class WorkList:
    """A catalogue, counted, and what of it is left."""

    left: pa.Table
    """Rows of WORK, each uri once."""
    uris: Hashes
    """Of the whole catalogue, sorted, each once."""
    n_changed: int
    """Of those left: known, but with another size or time."""
    n_retried: int
    """Of those left: failed before, and asked for again or by a fault that may have passed."""
    n_undescribed: int
    """Of those left: tagged, but without the attributes that are asked for."""
    n_removed: int
    """Known, but not in the catalogue any more."""

    @property
    def n_tracks(self) -> int:
        """How many tracks the catalogue has."""
        return len(self.uris)

    @property
    def n_unchanged(self) -> int:
        """How many tracks need nothing."""
        return self.n_tracks - int(self.left.num_rows)


def plan_work(
    catalogue: Iterable[pa.Table],
    known: Known,
    *,
    retry_failed: bool,
    attributes: Sequence[str] = (),
) -> WorkList:
    """Return what is new, changed or to be tried again in batches of TRACKS.

    Faults of the line and of buckets are always tried again, others with `retry_failed`; so are
    tracks that were tagged without the `attributes`, which are names of attribute sets.
    """
    every, left, left_uris = [_NO_HASHES], [WORK.empty_table()], [_NO_HASHES]
    kinds = [np.zeros((0, 3), bool)]
    rows = known.rows
    failed = ~rows.has(IS_OK) if retry_failed else rows.has(MAY_PASS)
    undescribed = rows.has(IS_OK) & ~rows.are_described(attributes)
    for batch in catalogue:
        uris = _uri_hashes(batch)
        at, is_there = known.find(uris)
        kind = np.zeros((len(uris), 3), bool)
        changed = rows.states[at[is_there]] != states_of(batch)[is_there]
        due = [failed[at[is_there]], undescribed[at[is_there]]]
        kind[is_there] = np.stack([changed, *(one & ~changed for one in due)], axis=1)
        attempts = np.zeros(len(uris), np.int32)
        same = kind[:, 1:].any(axis=1)  # another file's attempts are not this one's
        attempts[same] = rows.attempts[at[same]]
        chosen = ~is_there | kind.any(axis=1)
        every.append(uris)
        left_uris.append(uris[chosen])
        kinds.append(kind[chosen])
        tracks = batch.select(TRACKS.names).append_column("attempts", pa.array(attempts))
        left.append(tracks.cast(WORK).filter(pa.array(chosen)))
    catalogue_uris = each_once(np.concatenate(every))
    table, kind = pa.concat_tables(left), np.concatenate(kinds)
    _, firsts = np.unique(np.concatenate(left_uris), return_index=True)
    if len(firsts) < table.num_rows:  # a manifest may name a track twice
        firsts.sort()
        table, kind = table.take(pa.array(firsts)), kind[firsts]
    n_removed = int((~are_in(rows.uris, catalogue_uris)).sum())
    n_changed, n_retried, n_undescribed = kind.sum(axis=0).tolist()
    return WorkList(table, catalogue_uris, n_changed, n_retried, n_undescribed, n_removed)


@dataclass(frozen=True)
class Sizes(Sums):
    """How much audio some tracks are, as far as their catalogue says it."""

    n_bytes: int = 0
    """Of the tracks whose sizes are known."""
    n_raw_bytes: int = 0
    """Of those, the ones whose names end as those of wav, aiff or flac files do."""
    n_unsized: int = 0
    """How many tracks have no size, as on most web servers."""

    @classmethod
    def of(cls, tracks: pa.Table) -> Sizes:
        """Return the sizes of rows of TRACKS."""
        sizes = tracks["size_bytes"]
        is_raw = pc.match_substring_regex(tracks["uri"], r"(?i)\.(wav|aiff?|flac)$")
        n_bytes, n_raw = (pc.sum(one).as_py() or 0 for one in (sizes, sizes.filter(is_raw)))
        return cls(n_bytes, n_raw, sizes.null_count)

    def audio_s(self, known: Totals) -> float:
        """Guess how long the tracks are, by what is known of others, in seconds."""
        if known.n_bytes and known.duration_s:
            return self.n_bytes * known.duration_s / known.n_bytes
        n_lossy_bytes = self.n_bytes - self.n_raw_bytes
        return self.n_raw_bytes / _RAW_BYTES_A_S + n_lossy_bytes / _LOSSY_BYTES_A_S


def _uri_hashes(batch: pa.Table) -> Hashes:
    """Return the hashes of a batch's uris, which a listing has with them."""
    if URI_HASH in batch.column_names:
        return np.asarray(batch[URI_HASH].to_numpy())
    return text_hashes(batch["uri"])
