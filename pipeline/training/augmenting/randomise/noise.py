"""Noise of several colours: preamplifiers, tape, air conditioning."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy import fft

from pipeline.arrays import Float32
from pipeline.training.augmenting.randomise.base import Transform, ratio, rms

SLOPES = {"white": 0.0, "pink": -0.5, "brown": -1.0}
"""Exponent of frequency that the amplitude follows: power falls by 0, 3 and 6 dB per octave."""

_LEAST_HZ = 20.0  # below, the spectrum is flat: brown noise would be all rumble


@dataclass(frozen=True)
class Noise(Transform):
    """Gaussian noise of a colour (each as likely) at a signal-to-noise ratio, uniform in dB."""

    probability: float = 0.9
    snr_db: tuple[float, float] = (12.0, 75.0)
    """RMS of the samples over RMS of the noise."""
    colours: tuple[str, ...] = ("white", "pink", "brown")

    def apply(self, samples: Float32, rng: np.random.Generator, sample_rate_hz: int) -> Float32:
        """Return the samples with noise under them."""
        colour = self.colours[rng.integers(len(self.colours))]
        snr_db = rng.uniform(*self.snr_db)
        noise = coloured(rng, len(samples), sample_rate_hz, colour)
        return samples + noise * np.float32(rms(samples) / ratio(snr_db))


def coloured(rng: np.random.Generator, n_samples: int, sample_rate_hz: int, colour: str) -> Float32:
    """Return Gaussian noise of RMS 1 of a colour in `SLOPES`, `[n_samples]`; flat below 20 Hz."""
    n = fft.next_fast_len(n_samples, real=True)
    if SLOPES[colour] == 0:
        noise = rng.standard_normal(n_samples, np.float32)
    else:
        hz = np.maximum(fft.rfftfreq(n, 1 / sample_rate_hz), _LEAST_HZ).astype(np.float32)
        spectrum = rng.standard_normal(2 * len(hz), np.float32).view(np.complex64)
        spectrum *= hz ** np.float32(SLOPES[colour])
        spectrum[0] = 0
        noise = np.asarray(fft.irfft(spectrum, n)[:n_samples], np.float32)
    return noise / np.float32(max(rms(noise), 1e-12))


TRANSFORMS = (Noise(),)
