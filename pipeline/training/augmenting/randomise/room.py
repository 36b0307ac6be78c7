"""Rooms: synthetic impulse responses, noise that decays exponentially (Moorer 1979, section 4)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft

from pipeline.arrays import Float32
from pipeline.training.augmenting.randomise.base import Transform, log_uniform, ratio

_RT60_NEPERS = float(np.log(1000))  # 60 dB


@dataclass(frozen=True)
class Room(Transform):
    """The samples and, after a delay, their reverberation; as long as the samples were.

    The direct sound keeps its place and level.
    """

    probability: float = 0.5
    rt60_s: tuple[float, float] = (0.1, 2.0)
    """Time in which the reverberation falls by 60 dB, drawn over octaves."""
    pre_delay_s: tuple[float, float] = (0.0, 0.02)
    wet_db: tuple[float, float] = (-18.0, 3.0)
    """Energy of the reverberation over that of the direct sound."""

    def apply(self, samples: Float32, rng: np.random.Generator, sample_rate_hz: int) -> Float32:
        """Return the samples as they sound in a room drawn from the ranges."""
        response = impulse_response(
            rng,
            sample_rate_hz,
            rt60_s=log_uniform(rng, *self.rt60_s),
            pre_delay_s=rng.uniform(*self.pre_delay_s),
            wet_db=rng.uniform(*self.wet_db),
        )[: len(samples)]
        n = fft.next_fast_len(len(samples) + len(response) - 1, real=True)
        spectrum = fft.rfft(samples, n)
        spectrum *= fft.rfft(response, n)
        return np.asarray(fft.irfft(spectrum, n)[: len(samples)], np.float32)


def impulse_response(
    rng: np.random.Generator,
    sample_rate_hz: int,
    *,
    rt60_s: float,
    pre_delay_s: float,
    wet_db: float,
) -> Float32:
    """Return 1, then silence for the delay, then Gaussian noise that falls by 60 dB in `rt60_s`.

    The noise's energy is `wet_db` over the first sample's; it ends where it has fallen by 60 dB.
    """
    n = max(1, round(rt60_s * sample_rate_hz))
    decay = np.exp(np.arange(n, dtype=np.float32) * np.float32(-_RT60_NEPERS / n))
    tail = rng.standard_normal(n, np.float32) * decay
    tail *= np.float32(ratio(wet_db) / np.sqrt(np.sum(np.square(tail))))
    delay = np.zeros(max(0, round(pre_delay_s * sample_rate_hz)), np.float32)
    return np.concatenate([np.ones(1, np.float32), delay, tail])


TRANSFORMS = (Room(),)
