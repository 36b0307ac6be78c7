"""S1: the mean of the windows."""

from __future__ import annotations

import numpy as np

from pipeline.arrays import Floats
from pipeline.evaluation.labels.aggregations.base import Aggregation


def mean_of_windows(window_scores: Floats) -> Floats:
    """Return S1: every class's mean over the windows, `[n_classes]`."""
    return np.asarray(window_scores.mean(axis=0, dtype=np.float64))


AGGREGATION = Aggregation("s1", "S1: the mean of the windows", mean_of_windows)
