"""Other speeds: tape, turntables, singers of another height, strings of another tuning."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import soxr

from pipeline.arrays import Float32
from pipeline.training.augmenting.randomise.base import Transform


@dataclass(frozen=True)
class Speed(Transform):
    """Played faster or slower, as a tape is: pitch, formants and tempo change together.

    The samples become fewer or more: n / 2 ** (semitones / 12).
    """

    probability: float = 0.5
    semitones: float = 2.0
    """The change of pitch is uniform from -`semitones` to `semitones`."""

    def apply(self, samples: Float32, rng: np.random.Generator, sample_rate_hz: int) -> Float32:
        """Return the samples at another speed, by a band-limited resampler (soxr, MQ)."""
        speed = 2 ** (rng.uniform(-self.semitones, self.semitones) / 12)
        return np.asarray(soxr.resample(samples, speed, 1.0, quality="MQ"), np.float32)

    @property
    def most(self) -> float:
        """The highest speed: a window takes at most so many times its samples."""
        return float(2 ** (self.semitones / 12)) if self.probability > 0 else 1.0
