"""Gains in dB over frequency, applied to samples by one Fourier transform: zero phase."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from scipy import fft

from pipeline.arrays import Float32

_LEAST_HZ = 1.0
_PAD_S = 0.125  # what a filter rings over the ends falls into this, not onto the other end


def n_padded(n_samples: int, sample_rate_hz: int) -> int:
    """Return the length of the transform of `filtered`: even, and a fast one."""
    return 2 * int(fft.next_fast_len((n_samples + round(_PAD_S * sample_rate_hz) + 1) // 2))


@lru_cache(maxsize=16)
def octaves(n: int, sample_rate_hz: int) -> Float32:
    """Return log2 of the frequency in Hz of each bin of a transform of `n` samples, read only.

    The first bin counts as 1 Hz.
    """
    hz = np.maximum(fft.rfftfreq(n, 1 / sample_rate_hz), _LEAST_HZ)
    found = np.asarray(np.log2(hz), np.float32)
    found.flags.writeable = False
    return found


def filtered(samples: Float32, gain_db: Float32) -> Float32:
    """Return the samples with a gain a bin; `[n_padded // 2 + 1]`, as `octaves(n_padded, ..)` is.

    The gain has no phase: an onset stays where it is, and rings equally before and after.
    """
    n = 2 * (len(gain_db) - 1)
    spectrum = fft.rfft(samples, n)
    spectrum *= np.exp2(gain_db * np.float32(np.log2(10) / 20))
    return np.asarray(fft.irfft(spectrum, n)[: len(samples)], np.float32)
