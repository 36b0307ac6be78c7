"""A track's samples in, its attributes out: the mean over its excerpts, of each set asked for."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache
from importlib import import_module
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.arrays import Float32
from pipeline.audio.description.attributes.base import AttributeSet
from pipeline.audio.description.excerpts import RATE_HZ, ExcerptPicker
from pipeline.audio.spectra.activity import Activity
from pipeline.errors import UsageError
from pipeline.seams import declaring
from schemas.attributes import ATTRIBUTES

_PACKAGE = "pipeline.audio.description.attributes"


@cache
def attribute_names() -> tuple[str, ...]:
    """Return the names of the attribute sets that there are; none is imported."""
    return tuple(declaring(_PACKAGE, "ATTRIBUTES"))


def check_attributes(names: Sequence[str]) -> None:
    """Raise UsageError for a set that there is not, and for one that is named twice."""
    known = attribute_names()
    if unknown := [name for name in names if name not in known]:
        raise UsageError(f"--attributes {unknown[0]}: expected some of {', '.join(known)}")
    if len(set(names)) < len(names):
        raise UsageError(f"--attributes {','.join(names)}: expected each name once")


def attribute_set(name: str) -> AttributeSet:
    """Return a set by its name."""
    found: AttributeSet = import_module(f"{_PACKAGE}.{name}").ATTRIBUTES
    return found


def attribute_columns(names: Sequence[str]) -> list[pa.Field]:
    """Return the columns of some sets in TAGS."""
    return [column for name in names for column in attribute_set(name).columns]


class TrackAttributes:
    """Describes one track by some attribute sets, from blocks of its samples."""

    def __init__(self, names: Sequence[str], activity: Activity | None) -> None:
        """Prepare; `names` are of the sets, and `activity` says what of the track is sound."""
        self._names = names
        self._picker = ExcerptPicker(activity)

    def add(self, block: Float32) -> None:
        """Take the next samples, `[n]`, at 44.1 kHz."""
        self._picker.add(block)

    def ended(self) -> dict[str, Any]:
        """Return the track's attributes by column, None where one is not defined, and the sets.

        A value is the mean over the excerpts that have one, weighted by their length.
        """
        excerpts = self._picker.ended()
        row: dict[str, Any] = {ATTRIBUTES.name: list(self._names)}
        for one in map(attribute_set, self._names):
            row |= _described(one, excerpts)
        return row


def _described(one: AttributeSet, excerpts: Sequence[Float32]) -> dict[str, float | None]:
    found = [one.describe(samples, RATE_HZ) for samples in excerpts]
    lengths = [len(samples) for samples in excerpts]
    names = [column.name for column in one.columns]
    return {name: _mean([values[name] for values in found], lengths) for name in names}


def _mean(values: Sequence[float], weights: Sequence[int]) -> float | None:
    """Return the weighted mean of what is a number; None where nothing is."""
    pairs = [(v, w) for v, w in zip(values, weights, strict=True) if np.isfinite(v)]
    if not pairs:
        return None
    total = sum(weight for _, weight in pairs)
    return sum(value * weight for value, weight in pairs) / total
