"""Rows of TAGS in; what a run has to know of their tracks, as arrays of hashes, out. PURE.

A known track costs 36 bytes, whatever its uri: hashes of its uri, of its size and time, and of its
content stand for them. A track is taken for known only where the 128 bits of the first two agree.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.arrays import Bools, Hashes
from pipeline.errors import OUTCOME_OF, Outcome
from pipeline.store.catalogue import TRACKS
from pipeline.store.tags.attribute_flags import bits_of, bits_of_rows
from schemas.columns import CODES
from schemas.tags import BYTE_HASH

KNOWN = pa.schema(
    [
        *TRACKS,
        ("fingerprint", pa.string()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("attempts", pa.int32()),
        ("duration_s", pa.float64()),
        ("labels", CODES),
        ("attributes", CODES),
        ("tagged_at", pa.timestamp("ms", "UTC")),
    ]
)
"""The columns of TAGS from which it is told what is known."""

IS_OK, MAY_PASS, HAS_CONTENT = np.uint8(1), np.uint8(2), np.uint8(4)
_MAX_ATTEMPTS = (1 << 16) - 1
_PASSING = pa.array([r for r, outcome in OUTCOME_OF.items() if outcome is Outcome.NETWORK])


class Fingerprints:
    """A set of contents, 16 bytes each: fit to be shared between processes."""

    def __init__(self, fingerprints: Hashes, *, has_byte_hashes: bool = False) -> None:
        """Take what `content_hashes` gave, `[n, 2]`."""
        self._table = fingerprints[np.argsort(fingerprints[:, 0], kind="stable")]
        self.has_byte_hashes = has_byte_hashes
        """Whether there may be hashes of files' bytes among them, as older versions made."""

    def __len__(self) -> int:
        return len(self._table)

    def __contains__(self, fingerprint: str) -> bool:
        """Say whether a content is in the set."""
        return fingerprint in KnownContents([self])

    def has(self, high: np.uint64, low: np.uint64) -> bool:
        """Say whether the set has a content, by the two halves of its 128 bits."""
        first = np.searchsorted(self._table[:, 0], high, side="left")
        last = np.searchsorted(self._table[:, 0], high, side="right")
        return bool((self._table[first:last, 1] == low).any())

    def may_have(self, fingerprints: Hashes) -> Bools:
        """Return which of some contents, `[n, 2]`, may be in the set: by half of their bits."""
        return are_in(fingerprints[:, 0], self._table[:, 0])


@dataclass(frozen=True)
class KnownContents:
    """The contents whose tags need no model: a set for each part of TAGS."""

    sets: Sequence[Fingerprints] = ()

    def __contains__(self, fingerprint: str) -> bool:
        """Say whether a content is in one of the sets."""
        high, low = content_hashes(pa.array([fingerprint]))[0]
        return any(one.has(high, low) for one in self.sets)

    @property
    def has_byte_hashes(self) -> bool:
        """Whether a content may be known by the hash of its file's bytes."""
        return any(one.has_byte_hashes for one in self.sets)


NO_CONTENTS = KnownContents()
"""Of a folder without any row: every track is decoded."""


@dataclass(frozen=True)
class TrackRows:
    """What is known of tracks, an array a column; all are of one length."""

    uris: Hashes
    """64-bit hashes of their uris."""
    states: Hashes
    """64-bit hashes of their sizes and modification times."""
    contents: Hashes
    """`[n, 2]`: the 128 bits of their fingerprints; 0 where there is none."""
    flags: npt.NDArray[np.uint8]
    """Sums of IS_OK, MAY_PASS (the line or a bucket failed, not the track), HAS_CONTENT, and of the
    bits of the attribute sets that they were described by (`attribute_flags`)."""
    attempts: npt.NDArray[np.uint16]
    """How often each was tried, as far as 16 bits go."""

    @classmethod
    def of(cls, batch: pa.Table) -> Self:
        """Return what rows of KNOWN say."""
        is_ok = pc.fill_null(pc.equal(batch["status"], "ok"), False).to_numpy().astype(bool)
        may_pass = pc.is_in(batch["reason"], value_set=_PASSING).to_numpy().astype(bool)
        has_content = is_ok & pc.is_valid(batch["fingerprint"]).to_numpy().astype(bool)
        contents = np.zeros((batch.num_rows, 2), np.uint64)
        contents[has_content] = content_hashes(batch["fingerprint"].filter(pa.array(has_content)))
        attempts = pc.fill_null(batch["attempts"], 1).to_numpy()
        ended = is_ok * IS_OK | may_pass * MAY_PASS | has_content * HAS_CONTENT
        return cls(
            text_hashes(batch["uri"]),
            states_of(batch),
            contents,
            ended | bits_of_rows(batch["attributes"]),
            attempts.clip(0, _MAX_ATTEMPTS).astype(np.uint16),
        )

    @classmethod
    def concat(cls, parts: Sequence[TrackRows]) -> Self:
        """Return several as one, in their order."""
        return cls(*(np.concatenate([vars(part)[key] for part in parts]) for key in _COLUMNS))

    @classmethod
    def none(cls) -> Self:
        """Return rows of no track at all."""
        return cls.of(KNOWN.empty_table())

    def take(self, which: npt.NDArray[Any]) -> TrackRows:
        """Return some rows, by a mask or by their places."""
        return TrackRows(*(vars(self)[key][which] for key in _COLUMNS))

    def __len__(self) -> int:
        return len(self.uris)

    def has(self, flag: np.uint8) -> Bools:
        """Return which rows have a flag."""
        return np.asarray(self.flags & flag, bool)

    def are_described(self, attributes: Sequence[str]) -> Bools:
        """Return which rows were described by all of some attribute sets."""
        bits = bits_of(attributes)
        return np.asarray((self.flags & bits) == bits, bool)

    def known_contents(
        self, attributes: Sequence[str] = (), *, has_byte_hashes: bool = False
    ) -> Fingerprints:
        """Return the contents of the rows that have one, and some attribute sets."""
        chosen = self.has(HAS_CONTENT) & self.are_described(attributes)
        return Fingerprints(self.contents[chosen], has_byte_hashes=has_byte_hashes)


_COLUMNS = ("uris", "states", "contents", "flags", "attempts")


@dataclass(frozen=True)
class Totals:
    """What rows of TAGS add up to."""

    n_rows: int = 0
    """How many rows there are in all."""
    n_bytes: int = 0
    """Of the tracks whose `duration_s` is known."""
    duration_s: float = 0.0
    """Of all tracks that could be read."""
    labels: Counter[str] = field(default_factory=Counter)
    """How many tracks have each label, by code."""
    latest: datetime | None = None
    """When the newest row was made."""
    n_byte_hashes: int = 0
    """Rows that are ok and known by the hash of their file's bytes, as older versions made it."""

    @classmethod
    def of(cls, batch: pa.Table) -> Self:
        """Return the sums over rows of KNOWN."""
        sizes = batch["size_bytes"].filter(pc.is_valid(batch["duration_s"]))
        counts = pc.value_counts(pc.list_flatten(batch["labels"])).to_pylist()
        contents = batch["fingerprint"].filter(pc.equal(batch["status"], "ok"))
        return cls(
            batch.num_rows,
            pc.sum(sizes).as_py() or 0,
            pc.sum(batch["duration_s"]).as_py() or 0.0,
            Counter({one["values"]: one["counts"] for one in counts}),
            pc.max(batch["tagged_at"]).as_py(),
            pc.sum(pc.starts_with(contents, BYTE_HASH)).as_py() or 0,
        )

    def __add__(self, other: Totals) -> Totals:
        """Return the sums over both."""
        times = [one for one in (self.latest, other.latest) if one is not None]
        return Totals(
            self.n_rows + other.n_rows,
            self.n_bytes + other.n_bytes,
            self.duration_s + other.duration_s,
            self.labels + other.labels,
            max(times, default=None),
            self.n_byte_hashes + other.n_byte_hashes,
        )


@dataclass(frozen=True)
class Known:
    """What one model has said of which tracks."""

    rows: TrackRows
    """Sorted by `uris`, each once."""
    totals: Totals
    """What their rows add up to."""

    @classmethod
    def of(cls, batches: Iterable[pa.Table]) -> Self:
        """Return what rows of KNOWN say, each track once."""
        parts, totals = [TrackRows.none()], Totals()
        for batch in batches:
            parts.append(TrackRows.of(batch))
            totals += Totals.of(batch)
        return cls.sorted(TrackRows.concat(parts), totals)

    @classmethod
    def sorted(cls, rows: TrackRows, totals: Totals) -> Self:
        """Return rows in whatever order as what is known."""
        return cls(rows.take(np.argsort(rows.uris, kind="stable")), totals)

    def find(self, uris: Hashes) -> tuple[npt.NDArray[np.intp], Bools]:
        """Return where each uri stands, and whether it does."""
        return find_in(uris, self.rows.uris)


def no_hashes() -> Hashes:
    """Return an array of hashes without any, `[0]`."""
    return np.zeros(0, np.uint64)


def each_once(hashes: Hashes) -> Hashes:
    """Return hashes sorted, each once: by sorting, 50 times as fast as numpy's hash table is.

    >>> each_once(np.array([2, 1, 2], np.uint64)).tolist()
    [1, 2]
    """
    ordered = np.sort(hashes)
    is_first = np.ones(len(ordered), bool)
    is_first[1:] = ordered[1:] != ordered[:-1]
    return ordered[is_first]


def find_in(hashes: Hashes, ordered: Hashes) -> tuple[npt.NDArray[np.intp], Bools]:
    """Return where hashes stand among some that are sorted, `[n]`, and whether they do."""
    if not len(ordered):
        return np.zeros(len(hashes), np.intp), np.zeros(len(hashes), bool)
    at = np.minimum(np.searchsorted(ordered, hashes), len(ordered) - 1)
    return at, np.asarray(ordered[at] == hashes, bool)


def are_in(hashes: Hashes, ordered: Hashes) -> Bools:
    """Return which hashes are among some that are sorted, `[n]`.

    >>> are_in(np.array([1, 5], np.uint64), np.array([1, 2], np.uint64)).tolist()
    [True, False]
    """
    return find_in(hashes, ordered)[1]


def text_hashes(texts: pa.ChunkedArray | pa.Array) -> Hashes:
    """Return a 64-bit hash of each text; the same on every machine."""
    values = np.asarray(texts.to_pandas(), dtype=object)
    return np.asarray(pd.util.hash_array(values, categorize=False), np.uint64)


def states_of(batch: pa.Table) -> Hashes:
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
