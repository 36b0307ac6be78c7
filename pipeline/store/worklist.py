"""Batches of a catalogue and what is known of it in; what is left to do out. PURE.

A known track costs 36 bytes, whatever its uri: hashes of its uri, of its size and time, and of its
content stand for them. A track is taken for known only where the 128 bits of the first two agree.

    uri of the catalogue's row ──hash──→ among the known uris?
        no  ───────────────────────────────────────────────────────→ left: new
        yes, its hash of size and time differs ────────────────────→ left: changed
        yes, it failed, and may succeed now (or --retry asks) ─────→ left: tried again
        yes, otherwise ────────────────────────────────────────────→ done: unchanged

The known hashes are sorted, so a batch is looked up by binary search, all its rows at once. What is
left is read and hashed before it is decoded: where the content is known by another name, its row is
copied and no audio is decoded.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.arrays import Bools
from pipeline.errors import OUTCOME_OF, Outcome
from pipeline.store.catalogue import TRACKS
from schemas.columns import CODES

Hashes = npt.NDArray[np.uint64]

KNOWN = pa.schema(
    [
        *TRACKS,
        ("fingerprint", pa.string()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("attempts", pa.int32()),
        ("duration_s", pa.float64()),
        ("labels", CODES),
        ("tagged_at", pa.timestamp("ms", "UTC")),
    ]
)
"""The columns of TAGS from which it is told what is known."""
WORK = TRACKS.append(pa.field("attempts", pa.int32()))
"""A track that is to be done: `attempts` are those so far."""

_RAW_BYTES_A_S, _LOSSY_BYTES_A_S = 130_000, 24_000  # CD in wav or flac; 192 kbit/s
_NO_HASHES = np.zeros(0, np.uint64)
_PASSING = pa.array([r for r, outcome in OUTCOME_OF.items() if outcome is Outcome.NETWORK])


class Fingerprints:
    """A set of contents, 16 bytes each: fit to be shared between processes."""

    def __init__(self, fingerprints: Hashes) -> None:
        """Take what `content_hashes` gave, `[n, 2]`."""
        self._table = fingerprints[np.argsort(fingerprints[:, 0], kind="stable")]

    def __len__(self) -> int:
        return len(self._table)

    def __contains__(self, fingerprint: str) -> bool:
        """Say whether a content is in the set."""
        high, low = content_hashes(pa.array([fingerprint]))[0]
        first = np.searchsorted(self._table[:, 0], high, side="left")
        last = np.searchsorted(self._table[:, 0], high, side="right")
        return bool((self._table[first:last, 1] == low).any())


@dataclass(frozen=True)
class Known:
    """What one model has said of which tracks, sorted by `uris`, each once."""

    uris: Hashes
    states: Hashes
    """Of size and modification time."""
    is_ok: Bools
    may_pass: Bools
    """Of those that are not: the line or a bucket failed, not the track."""
    attempts: npt.NDArray[np.int32]
    contents: Fingerprints
    """Of the tracks that are ok."""
    n_bytes: int
    """Of the tracks that are ok, as `duration_s`."""
    duration_s: float
    labels: Counter[str]
    """How many tracks have each label, by code."""
    latest: datetime | None
    """When the newest row was made."""

    @classmethod
    def of(cls, batches: Iterable[pa.Table]) -> Known:
        """Return what rows of KNOWN say, as arrays of hashes."""
        parts, n_bytes, duration_s, labels = [], 0, 0.0, Counter[str]()
        times: list[datetime] = []
        for batch in batches:
            parts.append(_hashed(batch))
            n_bytes += (
                pc.sum(batch["size_bytes"].filter(pc.is_valid(batch["duration_s"]))).as_py() or 0
            )
            duration_s += pc.sum(batch["duration_s"]).as_py() or 0.0
            counts = pc.value_counts(pc.list_flatten(batch["labels"]))
            labels.update({one["values"]: one["counts"] for one in counts.to_pylist()})
            if (newest := pc.max(batch["tagged_at"]).as_py()) is not None:
                times.append(newest)
        if not parts:
            none = np.zeros((0, 2), np.uint64)
            flags = np.zeros(0, bool)
            parts = [(_NO_HASHES, _NO_HASHES, flags, flags, np.zeros(0, np.int32), none)]
        columns: list[Any] = list(zip(*parts, strict=True))
        del parts  # a column at a time: of 100 million tracks there is no room for two of each
        contents = Fingerprints(np.concatenate(columns.pop()))
        uris = np.concatenate(columns.pop(0))
        order = np.argsort(uris, kind="stable")
        uris = uris[order]
        states, is_ok, may_pass, attempts = (
            np.concatenate(columns.pop(0))[order] for _ in range(4)
        )
        latest = max(times, default=None)
        return cls(
            uris, states, is_ok, may_pass, attempts, contents, n_bytes, duration_s, labels, latest
        )

    def find(self, uris: Hashes) -> tuple[npt.NDArray[np.intp], Bools]:
        """Return where each uri stands, and whether it does."""
        if not len(self.uris):
            return np.zeros(len(uris), np.intp), np.zeros(len(uris), bool)
        at = np.minimum(np.searchsorted(self.uris, uris), len(self.uris) - 1)
        return at, self.uris[at] == uris


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


def plan_work(catalogue: Iterable[pa.Table], known: Known, *, retry_failed: bool) -> WorkList:
    """Return what is new, changed or to be tried again in batches of TRACKS.

    Faults of the line and of buckets are always tried again, others with `retry_failed`.
    """
    every, left, left_uris = [_NO_HASHES], [WORK.empty_table()], [_NO_HASHES]
    kinds = [np.zeros((0, 2), bool)]
    for batch in catalogue:
        uris = text_hashes(batch["uri"])
        at, is_there = known.find(uris)
        changed, again = np.zeros(len(uris), bool), np.zeros(len(uris), bool)
        changed[is_there] = known.states[at[is_there]] != _states(batch)[is_there]
        due = ~known.is_ok if retry_failed else known.may_pass
        again[is_there] = due[at[is_there]]
        attempts = np.zeros(len(uris), np.int32)
        same = is_there & again & ~changed  # another file's attempts are not this one's
        attempts[same] = known.attempts[at[same]]
        chosen = ~is_there | changed | again
        every.append(uris)
        left_uris.append(uris[chosen])
        kinds.append(np.stack([changed, again & ~changed], axis=1)[chosen])
        rows = batch.append_column("attempts", pa.array(attempts)).cast(WORK)
        left.append(rows.filter(pa.array(chosen)))
    catalogue_uris = np.unique(np.concatenate(every))
    table, kind = pa.concat_tables(left), np.concatenate(kinds)
    _, firsts = np.unique(np.concatenate(left_uris), return_index=True)
    if len(firsts) < table.num_rows:  # a manifest may name a track twice
        firsts.sort()
        table, kind = table.take(pa.array(firsts)), kind[firsts]
    n_removed = (
        int(np.isin(known.uris, catalogue_uris, invert=True).sum()) if len(known.uris) else 0
    )
    return WorkList(table, catalogue_uris, int(kind[:, 0].sum()), int(kind[:, 1].sum()), n_removed)


def audio_s_of(tracks: pa.Table, known: Known) -> float:
    """Guess how long tracks are, from their sizes and from what is known; in seconds."""
    if known.n_bytes and known.duration_s:
        return float(pc.sum(tracks["size_bytes"]).as_py() or 0) * known.duration_s / known.n_bytes
    is_raw = pc.match_substring_regex(tracks["uri"], r"(?i)\.(wav|aiff?|flac)$")
    sizes = pc.fill_null(tracks["size_bytes"], 0)
    raw, rest = (pc.sum(sizes.filter(kind)).as_py() or 0 for kind in (is_raw, pc.invert(is_raw)))
    return float(raw / _RAW_BYTES_A_S + rest / _LOSSY_BYTES_A_S)


def _hashed(batch: pa.Table) -> tuple[Hashes, Hashes, Bools, Bools, npt.NDArray[np.int32], Hashes]:
    is_ok = pc.equal(batch["status"], "ok")
    has_content = pc.and_(is_ok, pc.is_valid(batch["fingerprint"]))
    attempts = pc.fill_null(batch["attempts"], 1)
    return (
        text_hashes(batch["uri"]),
        _states(batch),
        pc.fill_null(is_ok, False).to_numpy().astype(bool),
        pc.is_in(batch["reason"], value_set=_PASSING).to_numpy().astype(bool),
        attempts.to_numpy().astype(np.int32),
        content_hashes(batch["fingerprint"].filter(has_content)),
    )


def text_hashes(texts: pa.ChunkedArray | pa.Array) -> Hashes:
    """Return a 64-bit hash of each text; the same on every machine."""
    values = np.asarray(texts.to_pandas(), dtype=object)
    return np.asarray(pd.util.hash_array(values, categorize=False), np.uint64)


def _states(batch: pa.Table) -> Hashes:
    """Return a 64-bit hash of size and time; what is not known counts as a value of its own."""
    size, modified = (
        pc.fill_null(batch[key], -1).to_numpy().astype(np.int64)
        for key in ("size_bytes", "modified_ns")
    )
    mixed = np.asarray(pd.util.hash_array(size), np.uint64)
    return np.asarray(pd.util.hash_array(modified), np.uint64) ^ np.bitwise_left_shift(
        mixed, np.uint64(1)
    )


def content_hashes(fingerprints: pa.ChunkedArray | pa.Array) -> Hashes:
    """Return the 128 bits of fingerprints, `[n, 2]`."""
    digits = [text.rpartition(":")[2] for text in fingerprints.to_pylist()]
    data = bytes.fromhex("".join(digits))
    return np.frombuffer(data, ">u8").astype(np.uint64).reshape(-1, 2)
