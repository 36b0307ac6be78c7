"""Truth and scores `[n_items, n_classes]` in; how far scores are probabilities, and maps, out.

A score is calibrated where, of all items that got 0.8, eight in ten have the class. Each class is a
yes-or-no question, so each has its own error and its own map, fitted on validation items.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize_scalar
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression

from pipeline.errors import UsageError
from pipeline.score.targets import Targets, is_known, is_there

Truth = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.floating[Any]]
Floats = npt.NDArray[np.float64]

N_BINS = 15

_EDGE = 1e-6  # a score of 0 or 1 has no logit; S2 gives 1 to some class of every clip
_LOG_TEMPERATURES = (-4.0, 4.0)


@dataclass(frozen=True)
class Reliability:
    """What scores promise, and what is there, by bins of equal width; all `[n_bins]`."""

    n: npt.NDArray[np.int64]
    mean_score: Floats
    """NaN in empty bins, as the one below."""
    share_true: Floats

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

    method: str
    """A key of `METHODS`."""
    classes: Mapping[str, Mapping[str, Any]]
    """By code, in the order of the scores' columns: a temperature, or the x and y of a line; empty
    where validation does not have the class, or has nothing else: its scores stay as they are."""

    def apply(self, scores: Scores) -> Floats:
        """Return the probabilities of scores, `[n_items, n_classes]`."""
        if scores.ndim != 2 or scores.shape[1] != len(self.classes):
            raise ValueError(f"expected [n_items, {len(self.classes)}], got shape {scores.shape}")
        columns = [_apply(value, scores[:, k]) for k, value in enumerate(self.classes.values())]
        return np.stack(columns, axis=1)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, fit for json."""
        return {"method": self.method, "classes": {c: dict(v) for c, v in self.classes.items()}}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Calibration:
        """Return the map that `to_dict` gave."""
        return cls(values["method"], values["classes"])


def reliability(truth: Targets, scores: Scores, *, n_bins: int = N_BINS) -> Reliability:
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
    truth: Targets, scores: Scores, *, n_bins: int = N_BINS
) -> list[float | None]:
    """Return the expected calibration error of each class; None where there are no items.

    >>> truth = np.array([[True], [True], [False], [True]])
    >>> [round(e, 3) for e in calibration_errors(truth, np.full((4, 1), 0.9))]
    [0.15]
    """
    return [
        reliability(truth[:, k], scores[:, k], n_bins=n_bins).error for k in range(truth.shape[1])
    ]


def fit(truth: Targets, scores: Scores, *, method: str, class_codes: Sequence[str]) -> Calibration:
    """Return the map, fitted on validation items, that brings scores closest to probabilities.

    Parameters
    ----------
    truth : bools, or floats of 0, 1 and NaN (unknown: left out), shape [n_items, n_classes]
    scores : floats of 0..1, shape [n_items, n_classes]
    method : str
        `temperature` divides the score's logit by one number a class, which keeps 0.5 where it is;
        `isotonic` is the rising line of smallest squared error, which needs more items.
    class_codes : n_classes strings

    Returns
    -------
    Calibration
        Neither map changes the order of a class's items, but isotonic may make ties.

    Raises
    ------
    UsageError
        If no method has that name.

    References
    ----------
    Guo et al., ICML 2017 (temperature); Zadrozny and Elkan, "Transforming classifier scores into
    accurate multiclass probability estimates", KDD 2002 (isotonic).
    """
    if method not in METHODS:
        raise UsageError(f"calibration {method!r}: expected one of {', '.join(METHODS)}")
    wide = np.asarray(scores, np.float64).T
    columns = [
        (code, there[known], column[known])
        for code, there, known, column in zip(
            class_codes, is_there(truth).T, is_known(truth).T, wide, strict=True
        )
    ]
    return Calibration(
        method,
        {
            code: METHODS[method](there, column) if len(np.unique(there)) == 2 else {}
            for code, there, column in columns
        },
    )


def _temperature(truth: Truth, scores: Floats) -> dict[str, Any]:
    """Return the temperature of smallest negative log-likelihood."""
    logits = _logits(scores)
    sign = np.where(truth, -1.0, 1.0)

    def loss(log_temperature: float) -> float:
        return float(np.logaddexp(0.0, sign * logits / np.exp(log_temperature)).mean())

    found = minimize_scalar(loss, bounds=_LOG_TEMPERATURES, method="bounded")
    return {"temperature": float(np.exp(found.x))}


def _isotonic(truth: Truth, scores: Floats) -> dict[str, Any]:
    line = IsotonicRegression(y_min=0.0, y_max=1.0).fit(scores, truth.astype(np.float64))
    return {"x": line.X_thresholds_.tolist(), "y": line.y_thresholds_.tolist()}


METHODS: Mapping[str, Callable[[Truth, Floats], dict[str, Any]]] = MappingProxyType(
    {"temperature": _temperature, "isotonic": _isotonic}
)


def _apply(value: Mapping[str, Any], scores: Scores) -> Floats:
    wide = np.asarray(scores, np.float64)
    if "temperature" in value:
        return np.asarray(expit(_logits(wide) / value["temperature"]))
    return np.interp(wide, value["x"], value["y"]) if value else wide


def _logits(scores: Floats) -> Floats:
    return np.asarray(logit(np.clip(scores, _EDGE, 1 - _EDGE)))


def _plain(values: Floats) -> list[float | None]:
    return [value if np.isfinite(value) else None for value in values.tolist()]
