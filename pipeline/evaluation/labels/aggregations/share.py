"""S2: the sum of the windows, divided by the largest class's."""

from __future__ import annotations

import numpy as np

from pipeline.arrays import Floats
from pipeline.evaluation.labels.aggregations.base import Aggregation


def share_of_loudest(window_scores: Floats) -> Floats:
    """Return S2: every class's sum over the windows, divided by the largest class's sum.

    The largest class gets exactly 1, so S2 always names at least one class, even for silence: a
    sigmoid does not reach 0. Only where all scores are exactly 0 are all results 0.
    """
    sums = window_scores.sum(axis=0, dtype=np.float64)
    peak = sums.max(initial=0.0)
    return np.asarray(sums / peak if peak > 0 else sums)


AGGREGATION = Aggregation("s2", "S2: the sum, divided by the largest class's", share_of_loudest)
