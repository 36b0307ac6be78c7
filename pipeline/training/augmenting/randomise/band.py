"""Band limits: old recordings, telephones, small loudspeakers, low sample rates."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.arrays import Float32
from pipeline.training.augmenting.randomise.base import Transform, log_uniform
from pipeline.training.augmenting.randomise.spectrum import filtered, n_padded, octaves


@dataclass(frozen=True)
class LowPass(Transform):
    """A straight fall, in dB per octave, above a cutoff frequency that is drawn over octaves."""

    probability: float = 0.35
    cutoff_hz: tuple[float, float] = (2500.0, 10000.0)
    slope_db: tuple[float, float] = (12.0, 60.0)
    """How steep the fall is, in dB per octave."""

    def apply(self, samples: Float32, rng: np.random.Generator, sample_rate_hz: int) -> Float32:
        """Return the samples without what lies far above the cutoff."""
        cutoff, slope = np.log2(log_uniform(rng, *self.cutoff_hz)), rng.uniform(*self.slope_db)
        above = octaves(n_padded(len(samples), sample_rate_hz), sample_rate_hz) - np.float32(cutoff)
        return filtered(samples, np.maximum(above, 0) * np.float32(-slope))


@dataclass(frozen=True)
class HighPass(Transform):
    """A straight fall, in dB per octave, below a cutoff frequency that is drawn over octaves."""

    probability: float = 0.3
    cutoff_hz: tuple[float, float] = (60.0, 300.0)
    slope_db: tuple[float, float] = (6.0, 24.0)
    """How steep the fall is, in dB per octave."""

    def apply(self, samples: Float32, rng: np.random.Generator, sample_rate_hz: int) -> Float32:
        """Return the samples without what lies far below the cutoff."""
        cutoff, slope = np.log2(log_uniform(rng, *self.cutoff_hz)), rng.uniform(*self.slope_db)
        below = np.float32(cutoff) - octaves(n_padded(len(samples), sample_rate_hz), sample_rate_hz)
        return filtered(samples, np.maximum(below, 0) * np.float32(-slope))


TRANSFORMS = (LowPass(), HighPass())
