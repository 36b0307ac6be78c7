"""What every transform is: mono samples and a generator in, samples out, with a probability."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np

from pipeline.arrays import Float32


@dataclass(frozen=True)
class Transform(ABC):
    """A random change of mono samples. It never writes into what it is given.

    The fields of a transform are its ranges; what is drawn from them comes from the generator only,
    so that the same generator state gives the same samples.
    """

    probability: float = 0.5
    """Share of the calls that change anything, 0 to 1."""

    def __call__(self, samples: Float32, rng: np.random.Generator, sample_rate_hz: int) -> Float32:
        """Return the samples, float32, changed in a share of the calls.

        Silence (all samples 0) and no samples at all come back as they are.
        """
        if rng.random() >= self.probability or not samples.any():
            return samples
        changed = self.apply(samples, rng, sample_rate_hz)
        return changed.astype(np.float32, copy=False)

    @abstractmethod
    def apply(self, samples: Float32, rng: np.random.Generator, sample_rate_hz: int) -> Float32:
        """Return the samples changed; they hold sound."""


def rms(samples: Float32) -> float:
    """Return the root mean square, 0 of no samples."""
    return float(np.sqrt(np.mean(np.square(samples)))) if len(samples) else 0.0


def log_uniform(rng: np.random.Generator, low: float, high: float) -> float:
    """Draw from `low` to `high` (both above 0), each octave as likely as every other."""
    return float(low * (high / low) ** rng.random())


def ratio(level_db: float) -> float:
    """Return the factor on samples of a level in dB."""
    return float(10 ** (level_db / 20))
