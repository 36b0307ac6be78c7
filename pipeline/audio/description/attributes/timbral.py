"""Timbral descriptors of AudioCommons: depth, brightness, roughness and five more."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa

from pipeline.arrays import Float32
from pipeline.audio.description.attributes.base import AttributeSet
from pipeline.audio.description.excerpts import OF_TRACK
from schemas.attributes import attribute

_RATED = {
    "depth": "how deep it sounds: weight of the low frequencies",
    "brightness": "how bright it sounds: weight and centre of the high frequencies",
    "roughness": "how rough it sounds: beating of partials close to each other",
    "warmth": "how warm it sounds",
    "sharpness": "how sharp it sounds: loudness of the high Bark bands",
    "boominess": "how boomy it sounds: loudness of the low Bark bands",
    "hardness": "how hard it sounds: attacks, and what they bring of high frequencies",
}
_REVERB = "share of what was described that sounds reverberant; of one excerpt 0 or 1"


def timbral(samples: Float32, sample_rate_hz: int) -> Mapping[str, float]:
    """Return the eight timbral descriptors of an excerpt, by column; NaN where one is not defined.

    Seven are on the scale of listeners' ratings, about 0 to 100, and not clipped to it. Reverb is 1
    for a reverberant sound, and 0 for another. The level does not matter.

    References
    ----------
    Pearce, Brookes and Mason, AudioCommons deliverables D5.6 and D5.8, 2018 and 2019.
    """
    from pipeline.audio.description.timbral.descriptors import timbral_descriptors

    values = timbral_descriptors(samples, sample_rate_hz)
    return {f"timbral_{name}": value for name, value in values.items()}


def _column(name: str, meaning: str, unit: str, range: str) -> pa.Field:
    return attribute("timbral", name, meaning, of_track=OF_TRACK, unit=unit, range=range)


ATTRIBUTES = AttributeSet(
    columns=(
        *(_column(name, meaning, "rating", "0..100") for name, meaning in _RATED.items()),
        _column("reverb", _REVERB, "ratio", "0..1"),
    ),
    describe=timbral,
)
