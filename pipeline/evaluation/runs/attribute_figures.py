"""Rows of TAGS in; how each attribute is distributed, and its extreme tracks, out. PURE.

Rows come a batch at a time, and nothing is kept that grows with the catalogue.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.arrays import Float64
from schemas.attributes import range_of

N_BINS = 25
N_TRACKS = 3
"""Tracks that are named at each end of an attribute."""

Track = tuple[float, str]
"""A value, and the uri of the track that has it."""


@dataclass(frozen=True)
class AttributeFigures:
    """One attribute over the tracks of a catalogue."""

    name: str
    """Name of the attribute's column in TAGS."""
    meaning: str
    """What a larger value means."""
    n_tracks: int
    """Tracks that have a value."""
    mean: float
    """Mean of the values; NaN of none."""
    deviation: float
    """Their standard deviation; NaN of none."""
    range: tuple[float, float]
    """Where values usually lie: the outer edges of the bins."""
    counts: list[int]
    """Tracks in 25 equal bins of the range; what lies beyond is in the first or the last."""
    lowest: list[Track]
    """The tracks with the lowest values, the lowest first."""
    highest: list[Track]
    """The tracks with the highest values, the highest first."""


class AttributeSummary:
    """The figures of some attributes over all rows that have been added."""

    def __init__(self, columns: Sequence[pa.Field]) -> None:
        """Prepare; `columns` are attributes of TAGS."""
        self._all = [_Column(field) for field in columns]

    def add(self, tags: pa.Table) -> None:
        """Look at rows of TAGS: `uri` and the columns; null and NaN do not count."""
        for one in self._all:
            one.add(tags)

    def figures(self) -> list[AttributeFigures]:
        """Return the figures of each attribute."""
        return [one.figures() for one in self._all]


class _Column:
    """What has been seen of one attribute."""

    def __init__(self, field: pa.Field) -> None:
        self._field, self._range = field, range_of(field)
        self._counts = np.zeros(N_BINS, np.int64)
        self._n, self._sum, self._squares = 0, 0.0, 0.0
        self._lowest: list[Track] = []
        self._highest: list[Track] = []

    def add(self, tags: pa.Table) -> None:
        values = np.asarray(tags[self._field.name].to_numpy(), np.float64)
        rows = np.flatnonzero(np.isfinite(values))
        values = values[rows]
        self._counts += np.histogram(values.clip(*self._range), N_BINS, self._range)[0]
        self._n += len(values)
        self._sum += float(values.sum())
        self._squares += float(np.square(values).sum())
        order = np.argsort(values, kind="stable")
        for chosen in (order[:N_TRACKS], order[-N_TRACKS:]):
            self._offer(values[chosen], tags["uri"].take(pa.array(rows[chosen])).to_pylist())

    def _offer(self, values: Float64, uris: Sequence[str]) -> None:
        found = list(zip(values.tolist(), uris, strict=True))
        self._lowest = sorted({*self._lowest, *found})[:N_TRACKS]
        self._highest = sorted({*self._highest, *found}, key=lambda track: (-track[0], track[1]))[
            :N_TRACKS
        ]

    def figures(self) -> AttributeFigures:
        mean, variance = float("nan"), float("nan")
        if self._n:
            mean = self._sum / self._n
            variance = max(0.0, self._squares / self._n - mean**2)
        return AttributeFigures(
            *(self._field.name, self._field.metadata[b"meaning"].decode(), self._n),
            *(mean, variance**0.5, self._range),
            *(self._counts.tolist(), self._lowest, self._highest),
        )
