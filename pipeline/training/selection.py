"""The figures that a checkpoint is chosen by, from an epoch's scores of validation clips.

The report chooses by the loss after S2. That loss punishes a barely wrong ranking more than a right
one that is unsure, so other figures may choose: the loss after S1, mean average precision, macro
F1, and of data with one label a clip top-1 accuracy. All stand in the history, whichever chooses.
A regression has one, its loss: the mean absolute error. PURE.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from pipeline.arrays import Float32
from pipeline.errors import UsageError
from pipeline.evaluation.labels.top1 import top1_accuracy
from pipeline.models.names import DEFAULT_SELECTION
from pipeline.models.names import SELECTIONS as SELECTIONS

DEFAULT = DEFAULT_SELECTION

_KEYS = {
    "s2-loss": "val_s2_loss",
    "s1-loss": "val_s1_loss",
    "map": "val_map",
    "f1": "val_macro_f1",
    "top1": "val_top1",
    "mae": "val_loss",
}
_HIGHEST = ("map", "f1", "top1")

WORDS = {
    "s2-loss": "validation loss after S2",
    "s1-loss": "validation loss after S1",
    "map": "validation mAP",
    "f1": "validation macro F1",
    "top1": "validation top-1 accuracy",
    "mae": "validation mean absolute error",
}
"""What they are called on pages."""
METHODS = ("s1", "s2")
"""Aggregations whose losses are among the figures."""


def figures(
    judged: Mapping[str, Mapping[str, float]], scores: Float32, targets: Float32, aggregation: str
) -> dict[str, float]:
    """Return what an epoch's row of the history says of the validation clips.

    Parameters
    ----------
    judged
        `clip_metrics` by aggregation: of the run's own, and of `METHODS`.
    scores
        Of the run's own aggregation, `[n_clips, n_classes]`.
    targets
        `[n_clips, n_classes]`; 0 or 1, NaN where it is not known.
    aggregation
        The run's own.

    Returns
    -------
    dict
        `val_loss` and `val_macro_f1` of the run's own aggregation, `val_s1_loss`, `val_s2_loss`,
        `val_map`, which is not there where no class has both kinds of clips, and `val_top1`, which
        is there where each clip has one class.
    """
    losses = {f"val_{method}_loss": judged[method]["val_loss"] for method in METHODS}
    found = {
        "val_map": mean_average_precision(scores, targets),
        "val_top1": top1_accuracy(targets, scores),
    }
    defined = {key: value for key, value in found.items() if value is not None}
    return {**judged[aggregation], **losses, **defined}


def mean_average_precision(scores: Float32, targets: Float32) -> float | None:
    """Return the mean of the classes' average precisions; None where no class has one.

    A class has one where it is there in some clips and not in others, of those where it is known.
    """
    from sklearn.metrics import average_precision_score  # here, as it takes a second to import

    known = ~np.isnan(targets)
    each = [
        average_precision_score(targets[rows, k] > 0.5, scores[rows, k])
        for k, rows in enumerate(known.T)
        if len(np.unique(targets[rows, k] > 0.5)) == 2
    ]
    return float(np.mean(each)) if each else None


def check_selection(select: str, targets: Float32) -> None:
    """Raise UsageError where the validation clips, by their targets, cannot choose so."""
    if select == "top1":
        _check_one_label(targets)
    if select == "map" and mean_average_precision(np.zeros_like(targets), targets) is None:
        raise UsageError(
            "--select map: no class is there in some validation clips and not in others; take "
            f"--select {DEFAULT}"
        )


def _check_one_label(targets: Float32) -> None:
    if top1_accuracy(targets, targets) is None:
        raise UsageError(
            "--select top1: some validation clips have no class or several; take "
            f"--select {DEFAULT}"
        )


def value(row: Mapping[str, Any], select: str) -> float:
    """Return an epoch's figure, the higher the better.

    Rows of older models have one loss only, that of their aggregation.
    """
    found = row.get(_KEYS[select], row["val_loss"] if select == DEFAULT else None)
    if found is None:
        raise KeyError(f"epoch without {_KEYS[select]}")
    return float(found) if select in _HIGHEST else -float(found)


def best_row(history: Sequence[Mapping[str, Any]], select: str = DEFAULT) -> Mapping[str, Any]:
    """Return the row of the best epoch; of equals, the first.

    >>> best_row([{"val_loss": 2.0}, {"val_loss": 1.0}, {"val_loss": 1.0}])
    {'val_loss': 1.0}
    """
    return max(history, key=lambda row: value(row, select))


def n_stale(history: Sequence[Mapping[str, Any]], select: str = DEFAULT) -> int:
    """Return how many epochs ago the best one was; 0 where there is none yet."""
    if not history:
        return 0
    best = best_row(history, select)
    return len(history) - 1 - next(k for k, row in enumerate(history) if row is best)


def chosen_by(training: Mapping[str, Any]) -> str:
    """Return what chose the checkpoint of a training, as model.json has it."""
    return str(training.get("config", {}).get("select", DEFAULT))
