"""Several front ends as one: their matrices one below another, on the same columns.

So a model that holds several pretrained networks (a probe on several encoders, an ensemble) has one
input like any other, and a track is decoded once for all of them. PURE.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property
from typing import Any

import numpy as np

from pipeline.arrays import Float32
from pipeline.audio.decoding.resample import resampled
from pipeline.audio.spectra.input_spec import InputSpec, context_columns, stretch_columns
from pipeline.errors import UsageError


@dataclass(frozen=True)
class StackedInput:
    """The InputSpec (front end) of several InputSpecs, whose hops are the same in seconds.

    Column t of each part begins (or is centred) at the same instant, `t * hop`. There are as many
    columns as the part with the most has; where another part has fewer, its silence stands. So the
    first `part.n_frames(...)` columns of a part's rows are what that front end gives by itself.

    UsageError where hops differ, or where a part takes each window at its own level: that needs
    columns of its own.
    """

    parts: tuple[InputSpec, ...]
    """From the top row down."""
    dtype = "<f4"

    def __post_init__(self) -> None:
        if not self.parts:
            raise UsageError("a stack of front ends has no parts: give it one at least")
        hops = [Fraction(part.hop, part.sample_rate_hz) for part in self.parts]
        if len(set(hops)) > 1:
            said = ", ".join(f"{1000 * float(hop):g} ms" for hop in hops)
            raise UsageError(f"front ends with hops of {said} have no columns in common")
        if any(getattr(part, "level", "recorded") != "recorded" for part in self.parts):
            raise UsageError("a front end that takes each window at its own level stands alone")

    @property
    def _widest(self) -> InputSpec:
        return max(self.parts, key=lambda part: part.sample_rate_hz)

    @property
    def sample_rate_hz(self) -> int:
        """The highest of the parts."""
        return self._widest.sample_rate_hz

    @property
    def hop(self) -> int:
        """Samples from one column to the next, at that rate."""
        return self._widest.hop

    @property
    def n_rows(self) -> int:
        """How many rows all parts have together."""
        return sum(part.n_rows for part in self.parts)

    @property
    def rows_of_parts(self) -> tuple[slice, ...]:
        """The rows of each part."""
        ends = np.cumsum([part.n_rows for part in self.parts]).tolist()
        return tuple(map(slice, [0, *ends[:-1]], ends))

    @cached_property
    def silence(self) -> Float32:
        """What stands beyond the end of a clip: each part's silence in its rows, `[n_rows, 1]`."""
        columns = [_column(part, part.silence) for part in self.parts]
        return np.concatenate(columns)

    @property
    def db_per_unit(self) -> float | None:
        """Decibels in one unit, where that is the same in all parts."""
        units = {part.db_per_unit for part in self.parts}
        return units.pop() if len(units) == 1 else None

    @property
    def scaling(self) -> tuple[float, float] | None:
        """Mean and deviation, where all parts have the same; `row_scaling` has each row's."""
        scalings = {part.scaling for part in self.parts}
        return scalings.pop() if len(scalings) == 1 else None

    @property
    def row_scaling(self) -> tuple[Float32, Float32]:
        """Mean and deviation of each row, `[n_rows]`; NaN where the data says them."""
        of_parts = [row_scaling(part) for part in self.parts]
        return np.concatenate([m for m, _ in of_parts]), np.concatenate([d for _, d in of_parts])

    def n_frames(self, n_samples: int) -> int:
        """Return the columns of the part that has most."""
        return max(self.n_frames_of_parts(n_samples))

    @property
    def n_context_columns(self) -> int | None:
        """Columns that reach beyond the edges of samples; None where parts are resampled."""
        contexts = [context_columns(part) for part in self.parts]
        known = [context for context in contexts if context is not None]
        is_of_one_rate = len({part.sample_rate_hz for part in self.parts}) == 1
        return max(known) if is_of_one_rate and len(known) == len(contexts) else None

    @property
    def stretch_columns(self) -> int:
        """Columns at a multiple of which a track is cut in stretches: as the parts need it."""
        return max(stretch_columns(part) for part in self.parts)

    def n_frames_of_parts(self, n_samples: int) -> tuple[int, ...]:
        """Return how many columns each part has of its own; silence stands behind them."""
        rate_hz = self.sample_rate_hz
        return tuple(
            part.n_frames(round(Fraction(n_samples * part.sample_rate_hz, rate_hz)))
            for part in self.parts
        )

    def matrix(self, samples: Float32) -> Float32:
        """Return the parts' matrices one below another, each of samples at its own rate."""
        n_columns = self.n_frames(len(samples))
        rates_hz = {part.sample_rate_hz for part in self.parts}
        at_rate = {rate_hz: _at_rate(samples, self.sample_rate_hz, rate_hz) for rate_hz in rates_hz}
        stacked = np.empty((self.n_rows, n_columns), np.float32)
        for part, rows in zip(self.parts, self.rows_of_parts, strict=True):
            matrix = part.matrix(at_rate[part.sample_rate_hz])[:, :n_columns]
            stacked[rows, : matrix.shape[1]] = matrix
            stacked[rows, matrix.shape[1] :] = part.silence
        return stacked

    def to_dict(self) -> dict[str, Any]:
        """Return plain values: those of each part."""
        return {"kind": "stacked", "parts": [part.to_dict() for part in self.parts]}


def row_scaling(input_spec: InputSpec) -> tuple[Float32, Float32]:
    """Return mean and deviation of each row of any input, `[n_rows]`; NaN where the data says them.

    A scaling that is part of a pretrained front end is known; that of one's own features is
    measured on the training set.
    """
    if isinstance(input_spec, StackedInput):
        return input_spec.row_scaling
    mean, deviation = input_spec.scaling or (np.nan, np.nan)
    return _column(input_spec, mean)[:, 0], _column(input_spec, deviation)[:, 0]


def _column(part: InputSpec, values: float | Float32) -> Float32:
    """Return one value per row, `[n_rows, 1]`."""
    return np.full((part.n_rows, 1), values, np.float32)


def _at_rate(samples: Float32, rate_in_hz: int, rate_out_hz: int) -> Float32:
    """Return samples at another rate, by the resampler that decoding takes."""
    if not len(samples):
        return samples
    return np.concatenate(list(resampled([samples], rate_in_hz, rate_out_hz)))
