"""Samples in, how wide the spectrum is at every 128 samples out."""

from __future__ import annotations

import numpy as np
import scipy.fft

from pipeline.arrays import Float64
from pipeline.audio.description.timbral.spectra import blocks

LENGTH, HOP = 4096, 128
"""Length and distance of the frames, in samples."""
_LEAST_DENSITY = 10 ** (-75 / 20)  # of a bin that is part of the band: full scale per root of Hz
_LOW_SHARE = 0.05  # of the magnitudes, below the band
_LEAST_LEVEL = 0.1  # of the range of levels: softer frames have no band


def bandwidths_hz(samples: Float64, sample_rate_hz: int) -> Float64:
    """Return the bandwidth of each frame in Hz, `[n_frames]`; 0 for soft frames.

    From the frequency below which 5 % of the magnitudes are, up to the last one above -75 dB.
    Rectangular frames of 4,096 samples, at least one.

    References
    ----------
    Pearce, Brookes and Mason, AudioCommons D5.6, hardness; timbral_models 0.4.0.
    """
    frequencies_hz = scipy.fft.rfftfreq(LENGTH, 1 / sample_rate_hz)
    scale = 1 / np.sqrt(sample_rate_hz * LENGTH)
    levels, widths = [], []
    for frames in blocks(samples, LENGTH, HOP):
        spectrum = scipy.fft.rfft(frames)
        spectrum[:, 0] = 0  # the mean of each frame: in rectangular frames it is in no other bin
        density = np.sqrt(np.square(spectrum.real) + np.square(spectrum.imag)) * scale
        level = density.sum(axis=1)
        first = (density.cumsum(axis=1) >= _LOW_SHARE * level[:, np.newaxis]).argmax(axis=1)
        is_in = density >= _LEAST_DENSITY
        last = LENGTH // 2 - is_in[:, ::-1].argmax(axis=1)
        width = frequencies_hz[last] - frequencies_hz[first]
        levels.append(level)
        widths.append(np.where(is_in.any(axis=1), width, 0.0))
    level = np.concatenate(levels)
    is_loud = level > _LEAST_LEVEL * np.ptp(level) + level.min()
    return np.where(is_loud, np.concatenate(widths), 0.0)
