"""Timbral descriptors of AudioCommons, one number each for a recording: depth, brightness ..."""

from __future__ import annotations

import numpy as np

from pipeline.audio.description.analysis import Analysis, Matrix
from pipeline.audio.description.feature import Feature, named

_ROWS = (
    *("depth", "brightness", "roughness", "warmth"),
    *("sharpness", "boominess", "hardness", "reverb"),
)


def timbral(analysis: Analysis) -> Matrix:
    """Return the eight timbral descriptors of a recording, `[8, 1]`; NaN where one is not defined.

    Seven are on the scale of listeners' ratings, about 0 to 100, and not clipped to it. Reverb is 1
    for a reverberant recording, and 0 for another. Silence and less than 20 ms have none.

    References
    ----------
    Pearce, Brookes and Mason, AudioCommons deliverables D5.6 and D5.8, 2018 and 2019.
    """
    # Here, as most features do without it.
    from pipeline.audio.description.timbral.descriptors import timbral_descriptors

    values = timbral_descriptors(analysis.samples, analysis.spec.sample_rate_hz)
    return np.array([[values[name]] for name in _ROWS], np.float32)


FEATURE = Feature(
    "timbral",
    named(*_ROWS),
    ", ".join([*["rating"] * 7, "ratio"]),
    "AudioCommons D5.6 and D5.8; timbral_models 0.4.0",
    timbral,
    columns="recording",
    settings={"target_lufs": -24.0, "is_clipped": False},
)
