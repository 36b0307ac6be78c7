"""True and predicted values in, the figures of each target and of all out. PURE."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from pipeline.arrays import Floats
from schemas.regression import TargetFigures, TargetRange


def regression_figures(
    truth: Floats, predicted: Floats, ranges: Sequence[TargetRange]
) -> list[TargetFigures]:
    """Return mean absolute error and R2 of each target, by scikit-learn's metrics.

    Parameters
    ----------
    truth, predicted
        `[n_clips, n_targets]` in the targets' own units; NaN in `truth` where one is not defined.
        Each target has a value in one clip at least.
    ranges
        The targets in their order, with what the training clips have of each.
    """
    return [
        _figures(truth[known, k], predicted[known, k], one)
        for k, (one, known) in enumerate(zip(ranges, ~np.isnan(truth).T, strict=True))
    ]


def _figures(truth: Floats, predicted: Floats, one: TargetRange) -> TargetFigures:
    from sklearn.metrics import mean_absolute_error, r2_score  # here: it takes a second to import

    span = one.maximum - one.minimum or 1.0  # of one value only: as `Regression.scaled` has it
    mae_unit = float(mean_absolute_error(truth, predicted))
    constant = np.full(len(truth), one.median)
    return TargetFigures(
        **one.to_dict(),
        n_clips=len(truth),
        mae=mae_unit / span,
        mae_unit=mae_unit,
        baseline_mae=float(mean_absolute_error(truth, constant)) / span,
        r2=float(r2_score(truth, predicted)) if len(np.unique(truth)) > 1 else None,
    )


def mean_of(targets: Sequence[TargetFigures], figure: str) -> float | None:
    """Return the mean of a figure over the targets, each weighing the same; None where one lacks.

    >>> mean_of([], "mae") is None
    True
    """
    values = [getattr(one, figure) for one in targets]
    return None if not values or None in values else float(np.mean(values))
