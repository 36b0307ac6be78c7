"""A clip's wav in, its targets out: seven timbral descriptors. No torch: processes start by it."""

from __future__ import annotations

import numpy as np

from pipeline.arrays import Float32, Floats
from pipeline.audio.decoding.clip import from_wav

TARGETS = (
    *("depth", "brightness", "roughness", "warmth"),
    *("sharpness", "boominess", "hardness"),
)
"""The notes' seven, in their order. Reverb is yes or no, and no value to regress."""
SHORT = "shorter than 20 ms"
SILENT = "silent, or below -70 LUFS"


def undefined(values: Floats) -> list[str]:
    """Return the targets that no clip of `[n_clips, n_targets]` has a value of.

    >>> undefined(np.array([[1, 2, 3, 4, 5, np.nan, 7], [1, 2, 3, np.nan, 5, np.nan, 7]]))
    ['boominess']
    """
    return [name for name, row in zip(TARGETS, values.T, strict=True) if np.isnan(row).all()]


def wav_targets(wav: bytes) -> tuple[list[float], str]:
    """Return the values of `TARGETS` for a clip's wav file, and why there is none at all."""
    return descriptors(*from_wav(wav))


def descriptors(samples: Float32, sample_rate_hz: int) -> tuple[list[float], str]:
    """Return the values of `TARGETS`, NaN where one is not defined, and why there is none at all.

    >>> values, why = descriptors(np.zeros(44_100, np.float32), 44_100)
    >>> len(values), why
    (7, 'silent, or below -70 LUFS')
    """
    # Here, as librosa takes a second to import.
    from pipeline.audio.description.timbral.descriptors import LEAST_S, timbral_descriptors

    found = timbral_descriptors(samples, sample_rate_hz)
    values = [found[name] for name in TARGETS]
    if not np.isnan(values).all():
        return values, ""
    return values, SHORT if len(samples) < LEAST_S * sample_rate_hz else SILENT
