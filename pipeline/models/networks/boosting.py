"""Gradient boosting on pooled features: trees that each correct the ones before, class by class.

Friedman, "Greedy function approximation: a gradient boosting machine", Annals of Statistics 29,
2001; scikit-learn's on histograms of features (Ke et al., "LightGBM", NIPS 2017).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.arrays import Floats, Int64
from pipeline.models.networks.parts.classical_base import NEVER, UNKNOWN, Classical
from pipeline.models.networks.parts.trees import branches_of, leaves_of, roots_of

_N_TREES = 100


class GradientBoosting(Classical):
    """A sequence of trees for each class against the rest; their leaves add up to its logit."""

    roots: Tensor
    class_of: Tensor
    feature: Tensor
    threshold: Tensor
    branches: Tensor
    value: Tensor
    offset: Tensor

    def __init__(self, n_rows: int, n_classes: int) -> None:
        super().__init__(n_rows, n_classes)
        none = np.zeros(0, np.int64)
        self.keep(roots=none, class_of=none, feature=none, branches=np.zeros((2, 0), np.int64))
        self.keep(threshold=np.zeros(0), value=np.zeros(0), offset=np.zeros(n_classes))

    def probabilities(self, points: Tensor) -> Tensor:
        """Return the sigmoid of the sum over a class's trees."""
        margin = self.offset.expand(len(points), -1)
        if len(self.roots):
            at = leaves_of(points, self.roots, self.feature, self.threshold, self.branches)
            margin = margin.index_add(1, self.class_of, self.value[at])
        return torch.sigmoid(margin)

    def fit_scaled(self, points: Floats, targets: Int64, seed: int) -> None:
        """Fit each class to the windows of which it is known, both sides of it weighing alike."""
        offset, nodes, class_of = np.full(targets.shape[1], NEVER), [], []
        for c, column in enumerate(targets.T):
            known = column != UNKNOWN
            if len(np.unique(column[known])) < 2:
                continue  # nothing to tell apart
            offset[c], trees = _boosted(points[known], column[known], seed)
            nodes += trees
            class_of += [c] * len(trees)
        joined = np.concatenate(nodes) if nodes else None
        self.keep(offset=offset, class_of=np.array(class_of, np.int64))
        if joined is None:
            return
        children = [(tree["left"].astype(int), tree["right"].astype(int)) for tree in nodes]
        self.keep(
            roots=roots_of([len(tree) for tree in nodes]),
            feature=joined["feature_idx"].astype(np.int64),
            threshold=joined["num_threshold"].astype(np.float64),
            branches=branches_of(children),
            value=joined["value"].astype(np.float64),
        )


def _boosted(points: Floats, labels: Int64, seed: int) -> tuple[float, list[Any]]:
    """Return the logit before the first tree, and the nodes of each tree, as scikit-learn has them.

    It has no public name for either; `tests/models/test_classical.py` holds them to its scores.
    """
    from sklearn.ensemble import HistGradientBoostingClassifier

    fitted = HistGradientBoostingClassifier(
        max_iter=_N_TREES, class_weight="balanced", early_stopping=False, random_state=seed
    ).fit(points, labels)
    baseline = float(np.ravel(fitted._baseline_prediction)[0])
    return baseline, [tree.nodes for (tree,) in fitted._predictors]
