"""A linear model on pooled features: logistic regression of each class against the rest."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from pipeline.arrays import Floats, Int64
from pipeline.models.networks.parts.classical_base import NEVER, UNKNOWN, Classical


class LinearModel(Classical):
    """Logistic regression with an L2 penalty, a class at a time (Cox 1958)."""

    weights: Tensor
    offset: Tensor

    def __init__(self, n_rows: int, n_classes: int) -> None:
        super().__init__(n_rows, n_classes)
        self.keep(weights=np.zeros((n_classes, 2 * n_rows)), offset=np.zeros(n_classes))

    def probabilities(self, points: Tensor) -> Tensor:
        """Return the sigmoid of each class's weighted sum."""
        return torch.sigmoid(points @ self.weights.T + self.offset)

    def fit_scaled(self, points: Floats, targets: Int64, seed: int) -> None:
        """Fit each class to the windows of which it is known, both sides of it weighing alike."""
        from sklearn.linear_model import LogisticRegression

        weights = np.zeros((targets.shape[1], points.shape[1]))
        offset = np.full(targets.shape[1], NEVER)
        for c, column in enumerate(targets.T):
            known = column != UNKNOWN
            if len(np.unique(column[known])) < 2:
                continue  # nothing to tell apart
            fitted = LogisticRegression(class_weight="balanced", max_iter=1000)
            fitted.fit(points[known], column[known])
            weights[c], offset[c] = fitted.coef_[0], fitted.intercept_[0]
        self.keep(weights=weights, offset=offset)
