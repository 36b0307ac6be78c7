"""Samples in, the eight timbral descriptors out, by name.

timbral_descriptors(samples, 44_100)    {"depth": 48.2, "brightness": 61.5, ...}
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

import librosa
import numpy as np

from pipeline.arrays import Float32, Float64
from pipeline.audio.description.timbral.boominess import boominess
from pipeline.audio.description.timbral.brightness import brightness
from pipeline.audio.description.timbral.depth import depth
from pipeline.audio.description.timbral.hardness import hardness
from pipeline.audio.description.timbral.loudness.k_weighting import at_target_loudness
from pipeline.audio.description.timbral.reverb import reverb
from pipeline.audio.description.timbral.roughness import roughness
from pipeline.audio.description.timbral.sharpness import sharpness
from pipeline.audio.description.timbral.sound import Sound
from pipeline.audio.description.timbral.warmth import warmth

LEAST_RATE_HZ = 44_100
"""Samples at a lower rate are resampled to this one: the bands reach up to 14 kHz."""
LEAST_S = 0.02
"""Shorter sounds have no descriptors."""
_MODELS: Mapping[str, Callable[[Sound], float]] = MappingProxyType(
    {
        "depth": depth,
        "brightness": brightness,
        "roughness": roughness,
        "warmth": warmth,
        "sharpness": sharpness,
        "boominess": boominess,
        "hardness": hardness,
    }
)
NAMES = (*_MODELS, "reverb")
"""The descriptors, in a fixed order."""


def timbral_descriptors(
    samples: Float32, sample_rate_hz: int, *, is_clipped: bool = False
) -> dict[str, float]:
    """Return the AudioCommons timbral descriptors of a sound, by name.

    Seven are on the scale of listeners' ratings, 0 to 100; the regressions may go beyond it. Reverb
    is 1.0 for a reverberant sound, and 0.0 for another. NaN where a descriptor is not defined: all
    of them for silence, sounds below -70 LUFS or shorter than 20 ms, and samples that are not
    finite.

    Parameters
    ----------
    samples
        Mono, `[n_samples]`; the level does not matter, as they are brought to -24 LUFS.
    sample_rate_hz
        Their rate.
    is_clipped
        Whether values beyond 0 to 100 become 0 and 100.

    References
    ----------
    Pearce, Brookes and Mason, AudioCommons deliverables D5.6 and D5.8, 2018 and 2019; equal to
    timbral_models 0.4.0 where that gives a number.

    Examples
    --------
    >>> tone = np.sin(np.arange(44_100) * 0.05).astype(np.float32)
    >>> round(timbral_descriptors(tone, 44_100)["sharpness"], 1)
    29.0
    """
    undefined = dict.fromkeys(NAMES, float("nan"))
    if len(samples) < LEAST_S * sample_rate_hz or not np.isfinite(samples).all():
        return undefined
    recorded, rate_hz = _at_least_rate(samples.astype(np.float64), sample_rate_hz)
    levelled = at_target_loudness(recorded, rate_hz)
    if levelled is None:
        return undefined
    sound = Sound(levelled, rate_hz)
    with np.errstate(divide="ignore", invalid="ignore"):
        values = {name: _finite(model(sound)) for name, model in _MODELS.items()}
    if is_clipped:
        values = {name: float(np.clip(value, 0, 100)) for name, value in values.items()}
    return {**values, "reverb": reverb(recorded, rate_hz)}


def _at_least_rate(samples: Float64, sample_rate_hz: int) -> tuple[Float64, int]:
    if sample_rate_hz >= LEAST_RATE_HZ:
        return samples, sample_rate_hz
    resampled = librosa.resample(samples, orig_sr=sample_rate_hz, target_sr=LEAST_RATE_HZ)
    return np.asarray(resampled), LEAST_RATE_HZ


def _finite(value: float) -> float:
    return value if np.isfinite(value) else float("nan")
