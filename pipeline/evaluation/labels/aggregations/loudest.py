"""The largest window of each class."""

from __future__ import annotations

import numpy as np

from pipeline.arrays import Floats
from pipeline.evaluation.labels.aggregations.base import Aggregation


def loudest_window(window_scores: Floats) -> Floats:
    """Return every class's largest score over the windows: one window is enough.

    The longer the track, the more windows there are for a false one to be the largest.
    """
    return np.asarray(window_scores.max(axis=0, initial=0.0).astype(np.float64))


AGGREGATION = Aggregation("max", "max: the largest window", loudest_window)
