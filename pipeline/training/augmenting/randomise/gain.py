"""Level as a whole: louder and softer recordings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.arrays import Float32
from pipeline.training.augmenting.randomise.base import Transform, ratio


@dataclass(frozen=True)
class Gain(Transform):
    """Another level: a gain in dB, drawn uniformly from `gain_db`."""

    probability: float = 0.8
    gain_db: tuple[float, float] = (-12.0, 12.0)

    def apply(self, samples: Float32, rng: np.random.Generator, sample_rate_hz: int) -> Float32:
        """Return the samples louder or softer; nothing is clipped."""
        return samples * np.float32(ratio(rng.uniform(*self.gain_db)))


TRANSFORMS = (Gain(),)
