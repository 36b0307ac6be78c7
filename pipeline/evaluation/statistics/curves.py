"""Truth and scores of one class, or of all as one list, in; ROC and P-R curves out. PURE.

scikit-learn makes the curves; here they are thinned, as a page has some forty of them.
"""

from __future__ import annotations

import numpy as np
from sklearn.metrics import precision_recall_curve, roc_curve

from pipeline.arrays import Bools, Float64, Floats

Curve = tuple[Float64, Float64]
"""x and y of its points; empty where the truth leaves it undefined."""

Point = tuple[float, float]


def roc(truth: Bools, scores: Floats, n_points: int) -> Curve:
    """Return false and true positive rates, thinned to points even along the curve.

    Parameters
    ----------
    truth, scores
        Whether each item has the class, and how sure the tagger is, `[n_items]`.
    n_points
        About how many points are kept; the ends always are.
    """
    if len(np.unique(truth)) < 2:
        return np.empty(0), np.empty(0)
    false, true, _ = roc_curve(truth, scores, drop_intermediate=True)
    along = (false + true) / 2  # rises from 0 to 1 with every point
    kept = np.unique(np.searchsorted(along, np.linspace(0, 1, n_points)).clip(max=len(along) - 1))
    kept = np.union1d([0, len(along) - 1], kept)
    return false[kept], true[kept]


def roc_point(truth: Bools, scores: Floats, threshold: float) -> Point:
    """Return the false and true positive rate at a threshold; the truth must have both answers."""
    named = scores >= threshold
    return float(named[~truth].mean()), float(named[truth].mean())


def precision_recall(truth: Bools, scores: Floats, n_points: int) -> Curve:
    """Return recall and precision, both rising in recall, thinned to points even in recall."""
    if not truth.any():
        return np.empty(0), np.empty(0)
    precision, recall, _ = precision_recall_curve(truth, scores, drop_intermediate=True)
    precision, recall = precision[::-1], recall[::-1]
    kept = np.unique(np.searchsorted(recall, np.linspace(0, 1, n_points)))
    recall, precision = recall[kept], precision[kept]
    turns = np.diff(precision[1:]) != 0  # a flat piece needs no points between its ends
    turns = np.concatenate([[True], turns, [True]])
    return recall[turns], precision[turns]


def precision_recall_point(truth: Bools, scores: Floats, threshold: float) -> Point | None:
    """Return recall and precision at a threshold; None where nothing reaches it."""
    named = scores >= threshold
    return (float(named[truth].mean()), float(truth[named].mean())) if named.any() else None
