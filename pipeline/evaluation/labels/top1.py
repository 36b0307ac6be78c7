"""Top-1 accuracy of data with one label an item; in training and evaluation alike. PURE."""

from __future__ import annotations

import numpy as np

from pipeline.arrays import Floats
from pipeline.evaluation.labels.targets import Targets, is_there


def top1_accuracy(truth: Targets, scores: Floats) -> float | None:
    """Return the share of items whose highest score is that of their one class.

    Of equal scores the first class counts. None where some item has no class, several or unknown
    ones, or where there are no items: a highest score then cannot be right or wrong.

    Parameters
    ----------
    truth
        Whether the item has the class, `[n_items, n_classes]`; NaN where that is unknown.
    scores
        How sure the tagger is of it, of the same shape.

    Examples
    --------
    >>> top1_accuracy(np.eye(2, dtype=bool), np.array([[0.6, 0.5], [0.2, 0.1]]))
    0.5
    """
    there = is_there(truth)
    if np.isnan(truth.astype(np.float32)).any():
        return None
    if not len(there) or (there.sum(axis=1) != 1).any():
        return None
    return float(np.mean(scores.argmax(axis=1) == there.argmax(axis=1)))
