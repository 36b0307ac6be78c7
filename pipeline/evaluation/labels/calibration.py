"""How far scores are probabilities, and the maps that make them so. PURE.

A score is calibrated where, of all items that got 0.8, eight in ten have the class. Each class is a
yes-or-no question, so each has its own error and its own map, fitted on validation items. The maps
rise strictly, so a class's items keep their order, and labels by a mapped threshold stay the same.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, logit

from pipeline.arrays import Bools, Float64, Floats, Int64
from pipeline.errors import SpecMismatch
from pipeline.evaluation.labels.targets import Targets, is_known, is_there

N_BINS = 15

METHOD = "platt"
"""Platt scaling: a logistic regression of the truth on the logit of the score."""

_EDGE = 1e-6  # a score of 0 or 1 has no logit; S2 gives 1 to some class of every clip
_SLOPES = (0.05, 20.0)  # a map must rise, also where a class's scores say nothing of it
_OFFSETS = (-15.0, 15.0)


@dataclass(frozen=True)
class Reliability:
    """What scores promise, and what is there, by bins of equal width; all `[n_bins]`."""

    n: Int64
    mean_score: Float64
    """NaN in empty bins, as the one below."""
    share_true: Float64

    @property
    def error(self) -> float | None:
        """The expected calibration error; None where there are no scores."""
        total = self.n.sum()
        filled = self.n > 0
        gaps = np.abs(self.mean_score[filled] - self.share_true[filled])
        return float(self.n[filled] @ gaps / total) if total else None

    def to_dict(self) -> dict[str, Any]:
        """Return plain lists, with None in empty bins."""
        return {
            "n": self.n.tolist(),
            "mean_score": _plain(self.mean_score),
            "share_true": _plain(self.share_true),
        }


@dataclass(frozen=True)
class Calibration:
    """A map from scores to probabilities, class by class."""

    classes: Mapping[str, Mapping[str, float]]
    """By code, in the order of the scores' columns: `slope` and `offset` of the logit; empty where
    validation does not have the class, or has nothing else: its scores stay as they are."""

    def apply(self, scores: Floats) -> Float64:
        """Return the probabilities of scores, `[n_items, n_classes]`, as multiples of float32.

        TAGS hold float32: rounded alike, scores and thresholds compare there as they do here.
        """
        if scores.ndim != 2 or scores.shape[1] != len(self.classes):
            raise ValueError(f"expected [n_items, {len(self.classes)}], got shape {scores.shape}")
        columns = [_apply(value, scores[:, k]) for k, value in enumerate(self.classes.values())]
        return np.stack(columns, axis=1).astype(np.float32).astype(np.float64)

    def thresholds(self, values: npt.ArrayLike) -> Float64:
        """Return the thresholds, `[n_classes]`, that give mapped scores the same labels."""
        return np.asarray(self.apply(np.asarray(values, np.float64)[None])[0])

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, fit for json."""
        return {"method": METHOD, "classes": {c: dict(v) for c, v in self.classes.items()}}

    @classmethod
    def from_dict(
        cls, values: Mapping[str, Any], codes: Sequence[str] | None = None
    ) -> Calibration:
        """Return the map that `to_dict` gave, its classes in the order of `codes`."""
        if values.get("method") != METHOD:
            raise SpecMismatch(f"calibration {values.get('method')!r}: expected {METHOD!r}")
        classes = values["classes"]
        return cls({code: classes[code] for code in (classes if codes is None else codes)})


def reliability(truth: Targets, scores: Floats, *, n_bins: int = N_BINS) -> Reliability:
    """Return what scores of 0..1 promise and what is there, over bins of equal width.

    `truth` and `scores` may have any shape, and are taken as one list, without those of which the
    truth is unknown. A bin holds its upper edge, the first one 0 too.

    References
    ----------
    Guo et al., "On calibration of modern neural networks", ICML 2017.
    """
    known = is_known(truth)
    flat, there = np.asarray(scores, np.float64)[known], is_there(truth)[known]
    bins = np.clip(np.ceil(flat * n_bins).astype(np.int64) - 1, 0, n_bins - 1)
    n = np.bincount(bins, minlength=n_bins)
    sums = (np.bincount(bins, values, n_bins) for values in (flat, there))
    mean_score, share_true = (np.where(n > 0, s / np.maximum(1, n), np.nan) for s in sums)
    return Reliability(n, mean_score, share_true)


def calibration_errors(
    truth: Targets, scores: Floats, *, n_bins: int = N_BINS
) -> list[float | None]:
    """Return the expected calibration error of each class; None where there are no items.

    >>> truth = np.array([[True], [True], [False], [True]])
    >>> [round(e, 3) for e in calibration_errors(truth, np.full((4, 1), 0.9))]
    [0.15]
    """
    return [
        reliability(truth[:, k], scores[:, k], n_bins=n_bins).error for k in range(truth.shape[1])
    ]


def fit(truth: Targets, scores: Floats, *, class_codes: Sequence[str]) -> Calibration:
    """Return the map, fitted on validation items, that brings scores closest to probabilities.

    Parameters
    ----------
    truth : bools, or floats of 0, 1 and NaN (unknown: left out), shape [n_items, n_classes]
    scores : floats of 0..1, shape [n_items, n_classes]
    class_codes : n_classes strings

    Returns
    -------
    Calibration
        Of smallest negative log-likelihood. The targets are Platt's, a little inside 0 and 1, so
        that a few items that the score parts without fault do not make a step of it.

    References
    ----------
    Platt, "Probabilistic outputs for support vector machines", Advances in Large Margin
    Classifiers, 1999; Niculescu-Mizil and Caruana, "Predicting good probabilities with supervised
    learning", ICML 2005.
    """
    wide = np.asarray(scores, np.float64).T
    columns = [
        (code, there[known], column[known])
        for code, there, known, column in zip(
            class_codes, is_there(truth).T, is_known(truth).T, wide, strict=True
        )
    ]
    return Calibration(
        {
            code: _platt(there, column) if len(np.unique(there)) == 2 else {}
            for code, there, column in columns
        }
    )


def _platt(truth: Bools, scores: Float64) -> dict[str, float]:
    """Return slope and offset; the loss is convex in both."""
    from scipy.optimize import minimize  # here, as who only applies a map does without

    logits, n_true = _logits(scores), truth.sum()
    target = np.where(truth, (n_true + 1) / (n_true + 2), 1 / (len(truth) - n_true + 2))

    def loss(line: Float64) -> tuple[float, Float64]:
        mapped = line[0] * logits + line[1]
        slopes = (expit(mapped) - target) / len(truth)
        value = (np.logaddexp(0.0, mapped) - target * mapped).mean()
        return float(value), np.array([slopes @ logits, slopes.sum()])

    found = minimize(loss, np.array([1.0, 0.0]), jac=True, bounds=(_SLOPES, _OFFSETS))
    return {"slope": float(found.x[0]), "offset": float(found.x[1])}


def _apply(value: Mapping[str, float], scores: Floats) -> Float64:
    wide = np.asarray(scores, np.float64)
    if not value:
        return wide
    return np.asarray(expit(value["slope"] * _logits(wide) + value["offset"]))


def _logits(scores: Float64) -> Float64:
    return np.asarray(logit(np.clip(scores, _EDGE, 1 - _EDGE)))


def _plain(values: Float64) -> list[float | None]:
    return [value if np.isfinite(value) else None for value in values.tolist()]
