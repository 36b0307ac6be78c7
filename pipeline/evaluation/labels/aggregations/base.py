"""What an aggregation is: window scores in, one score per class out, under a name."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from pipeline.arrays import Floats


@dataclass(frozen=True)
class Aggregation:
    """One way from the scores of windows to those of a clip."""

    name: str
    """In lower case, a-z and 0-9: what flags, model.json and pages call it."""
    title: str
    """What it does, for a page."""
    of_windows: Callable[[Floats], Floats]
    """From scores of 0..1, `[n_windows, n_classes]` with one window at least, to `[n_classes]`."""
