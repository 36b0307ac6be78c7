"""Windows of samples in, the level of each third of an octave from 25 Hz to 12.5 kHz out."""

from __future__ import annotations

import numpy as np
import scipy.signal

from pipeline.arrays import Float64

N_BANDS = 28
"""Thirds of an octave from 25 Hz to 12.5 kHz."""
REFERENCE_DB = 100.0
"""Level in dB SPL that a mean square of 1 is taken for."""
_LOWEST_THIRD, _N_DIRECT = -16, 4  # in thirds of an octave from 1 kHz; how many are not decimated


def third_octave_levels(windows: Float64, sample_rate_hz: int) -> Float64:
    """Return the levels of 28 bands in dB SPL, `[n_windows, 28]`; -inf where nothing is.

    Butterworth filters of 4th order. The upper four bands are filtered at the sample rate. For each
    octave below, the windows are decimated by two and the filters of 6.3, 8 and 10 kHz are used
    again.

    Parameters
    ----------
    windows
        `[n_windows, n_samples]`; 4,096 samples leave 16 for the lowest bands.
    sample_rate_hz
        At least 44.1 kHz.

    References
    ----------
    ISO 532 B; Churchill's implementation of 2004 (University of Salford), as in timbral_models.
    """
    filters = [_band_pass(_LOWEST_THIRD + N_BANDS - i, sample_rate_hz) for i in range(4, 0, -1)]
    powers: list[Float64] = [_power(windows, one) for one in filters]
    half_band = scipy.signal.cheby1(2, 0.1, 0.4)
    while len(powers) < N_BANDS:
        windows = scipy.signal.lfilter(*half_band, windows)[:, 1::2]
        powers = [*(_power(windows, one) for one in filters[:3]), *powers]
    with np.errstate(divide="ignore"):
        return np.asarray(10 * np.log10(np.stack(powers, axis=1)) + REFERENCE_DB)


def _band_pass(third: int, sample_rate_hz: int) -> tuple[Float64, Float64]:
    """Return numerator and denominator: for these bands as exact as sections, and faster."""
    centre = 2 ** (third / 3) * 1000 / (sample_rate_hz / 2)
    edges = [2 ** (-1 / 6) * centre, min(2 ** (1 / 6) * centre, 0.9999999999)]
    numerator, denominator = scipy.signal.butter(4, edges, "bandpass")
    return numerator, denominator


def _power(windows: Float64, coefficients: tuple[Float64, Float64]) -> Float64:
    """Return the mean square of each filtered window; 0 for one that is never positive."""
    filtered = scipy.signal.lfilter(*coefficients, windows)
    return np.where(filtered.max(axis=1) > 0, np.square(filtered).mean(axis=1), 0.0)
