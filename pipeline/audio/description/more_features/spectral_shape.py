"""Whether a spectrum leans to its low or high side, and how peaked it is about its centroid."""

from __future__ import annotations

import numpy as np

from pipeline.audio.description.analysis import Analysis, Matrix
from pipeline.audio.description.feature import Feature, named


def spectral_shape(analysis: Analysis) -> Matrix:
    """Return skewness and kurtosis of the magnitude spectrum, `[2, n_frames]`.

    The magnitudes are taken as a distribution over frequency: its third and fourth central moment,
    by the third and fourth power of its deviation. A normal distribution has 0 and 3; a spectrum
    of one bin, and silence, are given 0 and 0.

    References
    ----------
    Peeters, "A large set of audio features for sound description", IRCAM 2004, section 6.1.
    """
    magnitude = analysis.magnitude.astype(np.float64)
    total = magnitude.sum(axis=0)
    weights = magnitude / np.where(total > 0, total, 1)
    bins = np.arange(len(magnitude), dtype=np.float64)[:, np.newaxis]
    away = bins - (weights * bins).sum(axis=0)
    variance = (weights * away**2).sum(axis=0)
    is_wide = variance > 1e-9  # in bins: less is one bin, and rounding
    scale = np.sqrt(np.where(is_wide, variance, 1))
    moments = [(weights * (away / scale) ** power).sum(axis=0) for power in (3, 4)]
    return np.where(is_wide, np.vstack(moments), 0).astype(np.float32)


FEATURE = Feature(
    "spectral_shape",
    named("spectral_skewness", "spectral_kurtosis"),
    "ratio",
    "Peeters 2004",
    spectral_shape,
)
