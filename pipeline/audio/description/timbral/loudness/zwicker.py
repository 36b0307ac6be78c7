"""Windows of samples in, specific loudness on the Bark scale out: ISO 532 B, free field.

Each window by itself, all windows at once. The scale has 240 points, 0.1 to 24 Bark.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from pipeline.arrays import Bools, Float64, Int64
from pipeline.audio.description.timbral.loudness.third_octaves import third_octave_levels
from pipeline.audio.description.timbral.loudness.zwicker_tables import (
    BANDWIDTH_DB,
    EAR_TRANSMISSION_DB,
    LOW_LEVELS_DB,
    LOW_REDUCTIONS_DB,
    SLOPE_LEVELS,
    SLOPES,
    THRESHOLDS_DB,
    UPPER_LIMITS_BARK,
)

N_POINTS = 240
"""Points of the Bark scale, every 0.1 Bark."""
_N_LOW = LOW_REDUCTIONS_DB.shape[1]
_LOW_BANDS = (slice(0, 6), slice(6, 9), slice(9, 11))  # 25 to 80, 100 to 160, 200 and 250 Hz
_LAST_SLOPE = len(SLOPE_LEVELS) - 1


@dataclass(frozen=True)
class SpecificLoudness:
    """What ISO 532 B says of each window."""

    pattern: Float64
    """Specific loudness in sone/Bark at 0.1, 0.2 ... 24 Bark, `[n_windows, 240]`."""
    is_audible: Bools
    """Whether the loudness, in steps of 0.001 sone, is more than 0, `[n_windows]`."""


def specific_loudness(windows: Float64, sample_rate_hz: int) -> SpecificLoudness:
    """Return the specific loudness of windows, `[n_windows, n_samples]`.

    References
    ----------
    Zwicker et al., J. Acoust. Soc. Jpn. (E) 12, 1991 (ISO 532 B, DIN 45631); where its program
    leaves a choice, as in timbral_models 0.4.0.
    """
    return masked(main_loudness(third_octave_levels(windows, sample_rate_hz)))


def main_loudness(levels_db: Float64) -> Float64:
    """Return the specific loudness at the core of each band, in sone/Bark, `[n_windows, 21]`.

    Of third-octave levels `[n_windows, 28]`. The last column is 0: the end of the scale.
    """
    bands_db = np.hstack([_low_bands_db(levels_db[:, :_N_LOW]), levels_db[:, _N_LOW:]])
    heard_db = bands_db - EAR_TRANSMISSION_DB - BANDWIDTH_DB
    excess = np.where(bands_db > THRESHOLDS_DB, heard_db - THRESHOLDS_DB, -np.inf)
    core = (
        0.0635 * 10 ** (0.025 * THRESHOLDS_DB) * ((0.75 + 0.25 * 10 ** (0.1 * excess)) ** 0.25 - 1)
    )
    core = np.maximum(core, 0)
    core[:, 0] *= np.minimum(0.4 + 0.32 * core[:, 0] ** 0.2, 1)
    return np.pad(core, ((0, 0), (0, 1)))


def _low_bands_db(levels_db: Float64) -> Float64:
    """Return the levels of the three lowest critical bands, `[n_windows, 3]`; 0 dB for nothing."""
    limits_db = (LOW_LEVELS_DB[:, np.newaxis] - LOW_REDUCTIONS_DB)[:-1]
    ranges = (levels_db[:, np.newaxis] > limits_db).sum(axis=1)
    power = 10 ** ((levels_db + LOW_REDUCTIONS_DB[ranges, np.arange(_N_LOW)]) / 10)
    sums = np.stack([power[:, band].sum(axis=1) for band in _LOW_BANDS], axis=1)
    return 10 * np.log10(np.where(sums > 0, sums, 1.0))


@dataclass
class _Walk:
    """Where each window stands on its way up the Bark scale, and the pieces it has passed.

    A piece is a stretch of the pattern that is flat (in the core of a band) or falls (masking).
    """

    core: Float64
    band: Int64 = field(init=False)
    point: Int64 = field(init=False)
    at_bark: Float64 = field(init=False)
    level: Float64 = field(init=False)
    slope_row: Int64 = field(init=False)
    total: Float64 = field(init=False)

    def __post_init__(self) -> None:
        n = len(self.core)
        self.band, self.point, self.slope_row = (np.full(n, k) for k in (0, 0, _LAST_SLOPE))
        self.at_bark, self.level, self.total = np.zeros(n), np.zeros(n), np.zeros(n)
        self.piece_level = np.zeros((n, N_POINTS))
        self.piece_slope = np.zeros((n, N_POINTS))
        self.piece_bark = np.zeros((n, N_POINTS))
        self.begins = np.zeros((n, N_POINTS), bool)

    def step(self, rows: Int64) -> None:
        """Pass one piece in each of the windows `rows`."""
        band, at_bark, level = self.band[rows], self.at_bark[rows], self.level[rows]
        core, limit_bark = self.core[rows, band], UPPER_LIMITS_BARK[band]
        slope_row = np.where(level < core, _slope_rows(core), self.slope_row[rows])
        is_flat = level <= core
        slope = SLOPES[slope_row, np.clip(band - 1, 0, 7)]
        to_bark, to_level = _fall(at_bark, level, core, slope_row, slope, limit_bark)
        to_bark, to_level = (
            np.where(is_flat, limit_bark, to_bark),
            np.where(is_flat, core, to_level),
        )
        first_level = np.where(is_flat, core, level)
        self.total[rows] += (to_bark - at_bark) * (first_level + to_level) / 2
        self._record(rows, first_level, np.where(is_flat, 0, slope))
        passed = to_level == SLOPE_LEVELS[slope_row]
        self.slope_row[rows] = np.minimum(slope_row + passed, _LAST_SLOPE)
        self.level[rows] = to_level
        self.at_bark[rows] = np.rint(to_bark * 10) * 0.1
        self.band[rows] = band + (self.at_bark[rows] >= limit_bark)

    def _record(self, rows: Int64, level: Float64, slope: Float64) -> None:
        point = np.rint(self.at_bark[rows] * 10).astype(int) - 1
        self.point[rows] = point = np.maximum(point, self.point[rows])
        self.begins[rows, point] = True
        self.piece_level[rows, point] = level
        self.piece_slope[rows, point] = slope
        self.piece_bark[rows, point] = self.at_bark[rows]

    def pattern(self) -> Float64:
        """Return the value of the last piece that has begun at each point, `[n_windows, 240]`."""
        points = np.arange(N_POINTS)
        last = np.maximum.accumulate(np.where(self.begins, points, 0), axis=1)
        level, slope, bark = (
            np.take_along_axis(values, last, axis=1)
            for values in (self.piece_level, self.piece_slope, self.piece_bark)
        )
        return np.asarray(level - ((points + 1) * 0.1 - bark) * slope)


def masked(core: Float64) -> SpecificLoudness:
    """Return the specific loudness with the masking that falls from each band to those above it.

    Of main loudness, `[n_windows, 21]`.
    """
    walk = _Walk(core)
    while len(rows := np.flatnonzero(walk.band < core.shape[1])):
        walk.step(rows)
    return SpecificLoudness(walk.pattern(), np.floor(walk.total * 1000 + 0.5) > 0)


def _slope_rows(core: Float64) -> Int64:
    """Return the first row of `SLOPES` that begins at or below each loudness."""
    return np.asarray((core[:, np.newaxis] < SLOPE_LEVELS).sum(axis=1))


def _fall(
    at_bark: Float64,
    level: Float64,
    core: Float64,
    slope_row: Int64,
    slope: Float64,
    limit_bark: Float64,
) -> tuple[Float64, Float64]:
    """Return where a falling piece ends, in Bark, and at which loudness.

    It ends where the next slope or the core of the band takes over, in steps of 0.1 Bark, or at the
    end of the band. A piece that was cut below its slope's loudness is followed by one that goes
    back 0.1 Bark: a quirk of the program of 1991, which the points that are passed do not see.
    """
    to_level = np.maximum(SLOPE_LEVELS[slope_row], core)
    n_steps = np.rint((level - to_level) / slope * 10)
    length = np.where(n_steps == 0, 1, n_steps) * 0.1
    is_cut = at_bark + length > limit_bark
    cut_level = level - (limit_bark - at_bark) * slope
    return (
        np.where(is_cut, limit_bark, at_bark + length),
        np.where(is_cut, cut_level, to_level),
    )
