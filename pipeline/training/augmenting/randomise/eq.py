"""Random equaliser and tilt: other microphones, rooms, loudspeakers and hands on a mixing desk."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.arrays import Float32, Float64
from pipeline.training.augmenting.randomise.base import Transform
from pipeline.training.augmenting.randomise.spectrum import filtered, n_padded, octaves


@dataclass(frozen=True)
class Equaliser(Transform):
    """Gains drawn at points even over log frequency, straight lines between them, and a tilt.

    Each gain is Gaussian and cut at `most_db`; so is the tilt at `most_tilt_db`. No frequency is
    changed by more than the two together.
    """

    probability: float = 0.8
    n_points: int = 9
    """Points from `low_hz` to half the sample rate."""
    low_hz: float = 30.0
    """Below it the gain is that of the first point."""
    deviation_db: float = 3.5
    most_db: float = 9.0
    tilt_deviation_db: float = 6.0
    """Of the gain that the tilt has at its upper end; at the lower end it has the opposite."""
    most_tilt_db: float = 12.0

    def apply(self, samples: Float32, rng: np.random.Generator, sample_rate_hz: int) -> Float32:
        """Return the samples with the drawn gains."""
        gains_db = self.draw_db(rng)
        at = octaves(n_padded(len(samples), sample_rate_hz), sample_rate_hz)
        points = np.linspace(np.log2(self.low_hz), np.log2(sample_rate_hz / 2), self.n_points)
        return filtered(samples, np.interp(at, points, gains_db).astype(np.float32))

    def draw_db(self, rng: np.random.Generator) -> Float64:
        """Draw the gain in dB of each point, `[n_points]`."""
        own = rng.normal(0, self.deviation_db, self.n_points).clip(-self.most_db, self.most_db)
        tilt = np.clip(rng.normal(0, self.tilt_deviation_db), -self.most_tilt_db, self.most_tilt_db)
        return np.asarray(own + tilt * np.linspace(-1, 1, self.n_points))


TRANSFORMS = (Equaliser(),)
