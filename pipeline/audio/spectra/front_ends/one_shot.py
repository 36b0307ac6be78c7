"""Samples of one-shot sounds: those shorter than a window are filled up by very soft noise.

Zeros would say exactly where a sound ends; the notes on the timbral regressor found "extremely soft
noise" better. It is the softest that 16 bits have, and the same for every sound, so that training
and serving see the same bits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pipeline.arrays import Float32
from pipeline.audio.spectra.input_kinds import SamplesInput
from pipeline.audio.spectra.input_spec import FrontEnd, Matrix

KIND = "one-shot samples"
_SEED = 7


@dataclass(frozen=True)
class OneShotInput(SamplesInput):
    """The samples, one row in 16 bits; at least `least_s` long, as noise of one step follows."""

    least_s: float = 1.0
    """Length in s that shorter sounds are brought to."""
    n_context_columns: ClassVar[int | None] = (
        None  # noise follows the sound, not each stretch of it
    )

    def n_frames(self, n_samples: int) -> int:
        """Return how many columns that many samples give: as many, but those of `least_s`."""
        return max(n_samples, round(self.least_s * self.sample_rate_hz))

    def matrix(self, samples: Float32) -> Matrix:
        """Return the samples, 32,768 for full scale, and noise of -1 and 1 behind a short sound."""
        n_missing = self.n_frames(len(samples)) - len(samples)
        return np.append(super().matrix(samples), _noise(n_missing), axis=1).astype(self.dtype)

    def to_dict(self) -> dict[str, Any]:
        """Return the front end as plain values, as model.json keeps it."""
        return {**super().to_dict(), "kind": KIND, "least_s": self.least_s}


def _noise(n_samples: int) -> Matrix:
    """Return white noise of one step of 16 bits, -90 dBFS, `[1, n_samples]`."""
    return np.random.default_rng(_SEED).choice(np.array([-1, 1], np.int16), (1, n_samples))


FRONT_END = FrontEnd(KIND, lambda settings: OneShotInput(**settings))
