"""Truth and scores `[n_items, n_classes]` in, `Metrics` out. PURE; scikit-learn does the counting.

Every item may have any number of classes, so each class is a yes-or-no question of its own: a macro
figure is the mean over the classes, a micro figure takes all items' questions as one list.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import (
    average_precision_score,
    precision_recall_fscore_support,
    roc_auc_score,
)

Truth = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class ClassMetrics:
    """How well one class was found."""

    code: str
    n_positive: int
    n_predicted: int
    precision: float
    recall: float
    f1: float
    average_precision: float | None
    roc_auc: float | None
    threshold: float


@dataclass(frozen=True)
class Metrics:
    """How well all classes were found; None is a figure that the truth leaves undefined."""

    n_items: int
    macro_f1: float
    macro_precision: float
    macro_recall: float
    micro_f1: float
    micro_precision: float
    micro_recall: float
    hamming_score: float | None
    exact_match: float | None
    mean_average_precision: float | None
    macro_roc_auc: float | None
    undefined: tuple[str, ...]
    per_class: tuple[ClassMetrics, ...]

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, lists and dicts; None, never NaN, where a figure is undefined."""
        return {
            **asdict(self),
            "undefined": list(self.undefined),
            "per_class": [asdict(row) for row in self.per_class],
        }


def multilabel_metrics(
    truth: Truth, scores: Scores, *, thresholds: npt.ArrayLike, class_codes: Sequence[str]
) -> Metrics:
    """Return every metric of a multi-label tagger.

    Parameters
    ----------
    truth : bools, shape [n_items, n_classes]
        Whether the item has the class.
    scores : finite floats, shape [n_items, n_classes]
        How sure the tagger is of it; only the order matters to average precision and ROC-AUC.
    thresholds : float, or floats of shape [n_classes]
        A class is named where its score reaches its threshold.
    class_codes : n_classes strings
        What the columns are called.

    Returns
    -------
    Metrics
        Macro F1 is the mean of the classes' F1, not the F1 of the mean precision and recall. A
        division by zero gives 0: the precision of a class that was never named, the recall of one
        that is never there, and the F1 of one that is neither. Average precision and ROC-AUC need a
        class to be there in some items and not in others; elsewhere they are None and left out of
        their means, and the class is in `undefined`. The Hamming score is 1 - Hamming loss, the
        share of right answers; exact match is the share of items with no wrong one; both are None
        where there are no items.

    References
    ----------
    Sorower, "A literature survey on algorithms for multi-label learning", 2010; scikit-learn's
    `average_precision_score` for the step-wise sum over the P-R curve.

    Examples
    --------
    >>> truth = np.array([[True, False], [True, True]])
    >>> scores = np.array([[0.9, 0.6], [0.4, 0.7]])
    >>> metrics = multilabel_metrics(truth, scores, thresholds=0.5, class_codes=["cel", "cla"])
    >>> metrics.hamming_score, metrics.exact_match, round(metrics.macro_f1, 3), metrics.undefined
    (0.5, 0.0, 0.667, ('cel',))
    """
    truth = np.asarray(truth, dtype=np.bool_)
    if truth.shape != scores.shape or truth.shape != (len(truth), len(class_codes)):
        raise ValueError(
            f"expected [n_items, {len(class_codes)}] twice, got {truth.shape} and {scores.shape}"
        )
    limits = np.broadcast_to(np.asarray(thresholds, dtype=np.float64), len(class_codes))
    predicted = scores >= limits
    per_class = tuple(
        _class_metrics(code, *columns)
        for code, *columns in zip(class_codes, truth.T, predicted.T, scores.T, limits, strict=True)
    )
    micro_precision, micro_recall, micro_f1 = _precision_recall_f1(truth.ravel(), predicted.ravel())
    right = truth == predicted
    return Metrics(
        n_items=len(truth),
        macro_f1=float(np.mean([row.f1 for row in per_class])),
        macro_precision=float(np.mean([row.precision for row in per_class])),
        macro_recall=float(np.mean([row.recall for row in per_class])),
        micro_f1=micro_f1,
        micro_precision=micro_precision,
        micro_recall=micro_recall,
        hamming_score=_mean(right),
        exact_match=_mean(right.all(axis=1)),
        mean_average_precision=_mean_of_known([row.average_precision for row in per_class]),
        macro_roc_auc=_mean_of_known([row.roc_auc for row in per_class]),
        undefined=tuple(row.code for row in per_class if row.average_precision is None),
        per_class=per_class,
    )


def _class_metrics(
    code: str, truth: Truth, predicted: Truth, scores: Scores, threshold: float
) -> ClassMetrics:
    precision, recall, f1 = _precision_recall_f1(truth, predicted)
    has_both = len(np.unique(truth)) == 2
    return ClassMetrics(
        code=code,
        n_positive=int(truth.sum()),
        n_predicted=int(predicted.sum()),
        precision=precision,
        recall=recall,
        f1=f1,
        average_precision=float(average_precision_score(truth, scores)) if has_both else None,
        roc_auc=float(roc_auc_score(truth, scores)) if has_both else None,
        threshold=float(threshold),
    )


def _precision_recall_f1(truth: Truth, predicted: Truth) -> tuple[float, float, float]:
    if not len(truth):
        return 0.0, 0.0, 0.0
    precision, recall, f1, _ = precision_recall_fscore_support(
        truth, predicted, average="binary", zero_division=0
    )
    return float(precision), float(recall), float(f1)


def _mean_of_known(values: Sequence[float | None]) -> float | None:
    return _mean(np.array([value for value in values if value is not None]))


def _mean(values: npt.NDArray[Any]) -> float | None:
    return float(values.mean()) if values.size else None
