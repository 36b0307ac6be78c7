"""Boominess: how much of the loudness is below 280 Hz."""

from __future__ import annotations

import numpy as np

from pipeline.arrays import Float64
from pipeline.audio.description.timbral.loudness.zwicker import N_POINTS
from pipeline.audio.description.timbral.sound import Sound, log10, weighted_mean

_BOOM_HZ = 280.0
_LOW_POINTS = (0, 70)  # 0.1 to 7 Bark
_FIRST_WEIGHTS = (0.8, 1.05, 1.10, 1.18)  # of 0.1 to 0.4 Bark
_LOG_BOOM, _LOG_LOW, _OFFSET = 43.67402696195865, -10.90054738389845, 26.836530575185435


def boominess(sound: Sound) -> float:
    """Return the boominess, about 0 to 100.

    References
    ----------
    Hatano and Hashimoto, "Booming index as a measure for evaluating booming sensation", Inter-Noise
    2000; Shin et al., Applied Acoustics 70, 2009; AudioCommons D5.8; timbral_models 0.4.0.
    """
    index = weighted_mean(_booming_index(sound), np.square(sound.window_rms))
    low = float(np.mean(sound.bark_levels(*_LOW_POINTS)))
    return _LOG_BOOM * log10(index) + _LOG_LOW * log10(low) + _OFFSET


def _booming_index(sound: Sound) -> Float64:
    """Return the booming index of each window, `[n_windows]`; 0 where nothing is audible."""
    bark = np.arange(1, N_POINTS + 1) / 10
    frequencies_hz = 600 * np.sinh(bark / 6)
    thirds = np.log10(frequencies_hz / 25) / np.log10(31.5 / 25) + 1  # numbers of the bands
    weights = 2.13 * np.exp(-0.151 * thirds)
    weights[: len(_FIRST_WEIGHTS)] = _FIRST_WEIGHTS
    pattern, is_audible = sound.loudness.pattern, sound.loudness.is_audible
    band_sum = 10 * np.log10((10 ** (pattern * weights / 10)).sum(axis=1))
    low = pattern[:, frequencies_hz < _BOOM_HZ].sum(axis=1)
    return np.where(is_audible, band_sum * low / np.where(is_audible, pattern.sum(axis=1), 1), 0)
