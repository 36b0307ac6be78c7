"""Truth and scores `[n_items, n_classes]` in, `Metrics` out. PURE; scikit-learn does the counting.

Every item may have any number of classes, so each class is a yes-or-no question of its own: a macro
figure is the mean over the classes, a weighted one the mean by how often each is there; a micro
figure takes all items' questions as one list, and a samples figure is the mean over the items.
What the labels leave open (`labels.targets`) is no question, and is left out of every figure.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import norm
from sklearn.metrics import (
    average_precision_score,
    balanced_accuracy_score,
    label_ranking_average_precision_score,
    precision_recall_fscore_support,
    roc_auc_score,
)

from pipeline.arrays import Bools, Floats
from pipeline.evaluation.labels.targets import Targets, is_known, is_there
from pipeline.evaluation.statistics.more_metrics.base import Judged, Metric
from pipeline.seams import declared

PRESENT = ("macro_f1_present", "macro_precision_present", "macro_recall_present")
"""The macro figures that leave out classes which the truth does not have."""
MORE: tuple[Metric, ...] = tuple(declared("pipeline.evaluation.statistics.more_metrics", "METRIC"))
"""What is computed beside the usual figures: a file each."""


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
    balanced_accuracy: float | None
    d_prime: float | None
    n_unknown: int = 0
    """Items whose labels leave the class open: they are in none of the figures."""


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
    weighted_f1: float
    weighted_precision: float
    weighted_recall: float
    samples_f1: float | None
    samples_precision: float | None
    samples_recall: float | None
    balanced_accuracy: float | None
    label_ranking_average_precision: float | None
    d_prime: float | None
    macro_f1_present: float | None
    """Of the classes that the truth has, as the two below: the others have F1 0, and no AP."""
    macro_precision_present: float | None
    macro_recall_present: float | None
    more: Mapping[str, float | None] = field(default_factory=dict)
    """The figures of `statistics.more_metrics`, by name."""

    @property
    def n_present(self) -> int:
        """How many classes the truth has."""
        return sum(row.n_positive > 0 for row in self.per_class)

    def to_dict(self) -> dict[str, Any]:
        """Return plain numbers, lists and dicts; None, never NaN, where a figure is undefined.

        The macro figures of the classes that are there stand first.
        """
        values = asdict(self)
        more = values.pop("more")
        return {
            **{key: values[key] for key in ("n_items", *PRESENT)},
            **values,
            "undefined": list(self.undefined),
            "per_class": [asdict(row) for row in self.per_class],
            **more,
        }


def multilabel_metrics(
    truth: Targets, scores: Floats, *, thresholds: npt.ArrayLike, class_codes: Sequence[str]
) -> Metrics:
    """Return every metric of a multi-label tagger.

    Parameters
    ----------
    truth : bools, or floats of 0, 1 and NaN, shape [n_items, n_classes]
        Whether the item has the class; NaN where that is unknown.
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
        share of right answers; exact match is the share of items with no wrong one. Balanced
        accuracy is the mean of the share of right answers where the class is there and where it is
        not. LRAP is the mean, over an item's classes, of the share of its classes among all that
        score at least as high; an item with none or all of the classes counts as 1. The d-prime of
        all classes is that of their mean ROC-AUC. None stands where there are no items.

    References
    ----------
    Sorower, "A literature survey on algorithms for multi-label learning", 2010; scikit-learn's
    `average_precision_score` for the step-wise sum over the P-R curve; Brodersen et al., "The
    balanced accuracy and its posterior distribution", ICPR 2010; Tsoumakas, Katakis and Vlahavas,
    "Mining multi-label data", 2010 (LRAP); Hershey et al., "CNN architectures for large-scale audio
    classification", ICASSP 2017 (d-prime).

    Examples
    --------
    >>> truth = np.array([[True, False], [True, True]])
    >>> scores = np.array([[0.9, 0.6], [0.4, 0.7]])
    >>> metrics = multilabel_metrics(truth, scores, thresholds=0.5, class_codes=["cel", "cla"])
    >>> metrics.hamming_score, metrics.exact_match, round(metrics.macro_f1, 3), metrics.undefined
    (0.5, 0.0, 0.667, ('cel',))
    """
    truth, known = is_there(truth), is_known(truth)
    if truth.shape != scores.shape or truth.shape != (len(truth), len(class_codes)):
        raise ValueError(
            f"expected [n_items, {len(class_codes)}] twice, got {truth.shape} and {scores.shape}"
        )
    limits = np.broadcast_to(np.asarray(thresholds, dtype=np.float64), len(class_codes))
    predicted = (scores >= limits) & known
    columns = (truth.T, known.T, predicted.T, scores.T, limits)
    per_class = tuple(map(_class_metrics, class_codes, *columns))
    micro_precision, micro_recall, micro_f1 = _precision_recall_f1(truth[known], predicted[known])
    present = [row for row in per_class if row.n_positive]
    right = truth == predicted  # also where it is unknown: both are False there
    weighted = _weighted_means(per_class)
    asked = known.any(axis=1)  # items of which something is known
    samples = _samples_means(truth[asked], predicted[asked])
    macro_roc_auc = _mean_of_known([row.roc_auc for row in per_class])
    return Metrics(
        n_items=len(truth),
        macro_f1=float(np.mean([row.f1 for row in per_class])),
        macro_precision=float(np.mean([row.precision for row in per_class])),
        macro_recall=float(np.mean([row.recall for row in per_class])),
        micro_f1=micro_f1,
        micro_precision=micro_precision,
        micro_recall=micro_recall,
        hamming_score=_mean(right[known]),
        exact_match=_mean(right[asked].all(axis=1)),
        mean_average_precision=_mean_of_known([row.average_precision for row in per_class]),
        macro_roc_auc=macro_roc_auc,
        undefined=tuple(row.code for row in per_class if row.average_precision is None),
        per_class=per_class,
        weighted_f1=weighted["f1"],
        weighted_precision=weighted["precision"],
        weighted_recall=weighted["recall"],
        samples_f1=samples["f1"],
        samples_precision=samples["precision"],
        samples_recall=samples["recall"],
        balanced_accuracy=_mean_of_known([row.balanced_accuracy for row in per_class]),
        label_ranking_average_precision=_lrap(truth[asked], scores[asked], known[asked]),
        d_prime=d_prime(macro_roc_auc),
        macro_f1_present=_mean_of_known([row.f1 for row in present]),
        macro_precision_present=_mean_of_known([row.precision for row in present]),
        macro_recall_present=_mean_of_known([row.recall for row in present]),
        more={one.name: one.of(Judged(truth, known, predicted, scores)) for one in MORE},
    )


def d_prime(roc_auc: float | None) -> float | None:
    """Return how many standard deviations two normal distributions of that ROC-AUC lie apart.

    `sqrt(2)` times the normal quantile of ROC-AUC; None where that is infinite (0 or 1) or unknown.

    >>> d_prime(0.5), round(d_prime(0.9214), 2), d_prime(1.0)
    (0.0, 2.0, None)
    """
    if roc_auc is None or not 0 < roc_auc < 1:
        return None
    return math.sqrt(2) * float(norm.ppf(roc_auc))


def _class_metrics(
    code: str, truth: Bools, known: Bools, predicted: Bools, scores: Floats, threshold: float
) -> ClassMetrics:
    n_unknown = int((~known).sum())
    truth, predicted, scores = truth[known], predicted[known], scores[known]
    precision, recall, f1 = _precision_recall_f1(truth, predicted)
    has_both = len(np.unique(truth)) == 2
    roc_auc = float(roc_auc_score(truth, scores)) if has_both else None
    return ClassMetrics(
        code=code,
        n_positive=int(truth.sum()),
        n_predicted=int(predicted.sum()),
        precision=precision,
        recall=recall,
        f1=f1,
        average_precision=float(average_precision_score(truth, scores)) if has_both else None,
        roc_auc=roc_auc,
        threshold=float(threshold),
        balanced_accuracy=float(balanced_accuracy_score(truth, predicted)) if has_both else None,
        d_prime=d_prime(roc_auc),
        n_unknown=n_unknown,
    )


def _precision_recall_f1(truth: Bools, predicted: Bools) -> tuple[float, float, float]:
    if not len(truth):
        return 0.0, 0.0, 0.0
    precision, recall, f1, _ = precision_recall_fscore_support(
        truth, predicted, average="binary", zero_division=0
    )
    return float(precision), float(recall), float(f1)


def _weighted_means(rows: Sequence[ClassMetrics]) -> dict[str, float]:
    """Return the classes' means, weighted by in how many items each class is."""
    weights = np.array([row.n_positive for row in rows], np.float64)
    total = max(1.0, weights.sum())
    return {
        name: float(weights @ [getattr(row, name) for row in rows] / total)
        for name in ("precision", "recall", "f1")
    }


def _samples_means(truth: Bools, predicted: Bools) -> dict[str, float | None]:
    """Return the items' means; scikit-learn's "samples" will not take a single class."""
    hits = (truth & predicted).sum(axis=1)
    there, named = truth.sum(axis=1), predicted.sum(axis=1)
    figures = {
        "precision": hits / np.maximum(1, named),
        "recall": hits / np.maximum(1, there),
        "f1": 2 * hits / np.maximum(1, there + named),
    }
    # Sorted, so that the order of the items does not show in the last bit of the sum.
    return {name: _mean(np.sort(values)) for name, values in figures.items()}


def _lrap(truth: Bools, scores: Floats, known: Bools) -> float | None:
    """Return LRAP over the known classes: the others stand below all, where they do not count."""
    if not len(truth):
        return None
    if truth.shape[1] < 2:  # scikit-learn will not rank a single class, which is always the first
        return 1.0
    below_all = scores.min() - 1
    return float(label_ranking_average_precision_score(truth, np.where(known, scores, below_all)))


def _mean_of_known(values: Sequence[float | None]) -> float | None:
    return _mean(np.array([value for value in values if value is not None]))


def _mean(values: npt.NDArray[Any]) -> float | None:
    return float(values.mean()) if values.size else None
