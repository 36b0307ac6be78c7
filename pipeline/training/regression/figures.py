"""The loss of a regression, and what an epoch is judged by: errors of targets that are 0..1."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pipeline.arrays import Floats


def absolute_errors(outputs: Tensor, targets: Tensor) -> Tensor:
    """Return the mean absolute error of each window, `[n]`; both are `[n, n_targets]`.

    Each target weighs the same: 1/7 of seven. Those that are not defined (NaN) are left out of a
    window's mean; it is 0 where none is.
    """
    is_known = ~targets.isnan()
    errors = torch.where(is_known, (outputs - targets.nan_to_num(0.0)).abs(), 0.0)
    return errors.sum(dim=1) / is_known.sum(dim=1).clamp(min=1)


def clip_errors(predicted: Floats, targets: Floats) -> dict[str, float]:
    """Return `val_loss`, the mean absolute error of clips, and `val_r2` where it is defined.

    Both are means over the targets, each of which weighs the same; `predicted` and `targets` are
    `[n_clips, n_targets]`, NaN where a target is not defined. R2 needs a target with two values.
    """
    from sklearn.metrics import r2_score  # here, as it takes a second to import

    known = ~np.isnan(targets)
    columns = [(predicted[rows, k], targets[rows, k]) for k, rows in enumerate(known.T)]
    errors = [np.abs(found - true).mean() for found, true in columns if len(true)]
    shares = [r2_score(true, found) for found, true in columns if len(np.unique(true)) > 1]
    figures = {"val_loss": float(np.mean(errors))}
    return figures | ({"val_r2": float(np.mean(shares))} if shares else {})
