"""Sharpness: how much of the loudness is high on the Bark scale."""

from __future__ import annotations

import numpy as np

from pipeline.audio.description.timbral.loudness.zwicker import N_POINTS
from pipeline.audio.description.timbral.sound import Sound, log10, weighted_mean

_LOG_ACUM, _OFFSET = 102.50508921364404, 34.432655185001735


def sharpness(sound: Sound) -> float:
    """Return the sharpness, about 0 to 100.

    References
    ----------
    Fastl and Zwicker, "Psychoacoustics: facts and models", 1991, with the weights that Churchill
    fitted to its figure; AudioCommons D5.8; timbral_models 0.4.0.
    """
    bark = np.arange(1, N_POINTS + 1) / 10
    high = 0.00012 * bark**4 - 0.0056 * bark**3 + 0.1 * bark**2 - 0.81 * bark + 3.5
    weights = np.where(bark > 14.05, high, 1.0) * bark
    pattern = sound.loudness.pattern
    total = np.where(sound.loudness.is_audible, pattern.sum(axis=1), 1.0)
    acum = np.where(sound.loudness.is_audible, 0.11 * (pattern @ weights) / total, 0.0)
    return _LOG_ACUM * log10(weighted_mean(acum, np.square(sound.window_rms))) + _OFFSET
