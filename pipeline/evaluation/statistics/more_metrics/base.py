"""What a metric of one's own is: labels and scores in, one figure out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.arrays import Bools, Floats


@dataclass(frozen=True)
class Judged:
    """What is judged: all arrays are `[n_items, n_classes]`."""

    truth: Bools
    """Whether the item has the class; False where that is unknown."""
    known: Bools
    """Whether the labels say if the item has the class; nothing else may count."""
    predicted: Bools
    """Whether the class is named: its score reaches its threshold, and it is known."""
    scores: Floats
    """How sure the tagger is of the class."""


@dataclass(frozen=True)
class Metric:
    """One figure of a whole evaluation."""

    name: str
    """Its key in metrics.json; none of the fields of `statistics.metrics.Metrics`."""
    title: str
    """What the page calls it."""
    of: Callable[[Judged], float | None]
    """None where the labels leave it undefined; never NaN. There may be no items."""
