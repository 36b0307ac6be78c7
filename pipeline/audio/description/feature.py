"""What a feature is: its rows, unit, source and settings, and the function that computes it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipeline.audio.description.analysis import Analysis, FrameSpec, Matrix

Rows = Callable[[FrameSpec], tuple[str, ...]]


@dataclass(frozen=True)
class Feature:
    """One entry of the catalogue."""

    name: str
    """What it is asked for by."""
    rows: Rows
    """The names of its rows, given the frames."""
    unit: str
    """Unit of the values; of each block of rows where they differ."""
    source: str
    """Who computes it, and the paper."""
    compute: Callable[[Analysis], Matrix]
    """The matrix, one row per name."""
    columns: str = "frames"
    """What a column is: frames, or components."""
    settings: Mapping[str, Any] = field(default_factory=dict)
    """What it was made with beside the frames: plain values."""
    parts: tuple[Feature, ...] = ()
    """The features that its rows are taken from, one below the other; none for most."""

    def row_units(self, spec: FrameSpec) -> tuple[str, ...]:
        """Return the unit of each row; `unit` names one for all rows, or one for each."""
        if self.parts:
            return tuple(unit for part in self.parts for unit in part.row_units(spec))
        units, n_rows = tuple(self.unit.split(", ")), len(self.rows(spec))
        return units if len(units) == n_rows else (self.unit,) * n_rows


def named(*names: str) -> Rows:
    """Return rows that have the same names whatever the frames are."""
    return lambda _spec: names


def numbered(prefix: str, n_rows: int) -> Rows:
    """Return rows that are called by one word and a number from 0: `mfcc_0`, `mfcc_1`."""
    return named(*(f"{prefix}_{i}" for i in range(n_rows)))
