"""scikit-learn's classifiers on pooled features, as networks: fitted there, run here, in tensors.

A window becomes the means and variances of its rows over its columns, each scaled by the training
set's mean and deviation of it, and the classifier says one probability per class. What scikit-learn
has fitted is copied into tensors: so such a model is a safetensors file like any other, is tagged
with by the same code, and no pickle is ever read; scikit-learn itself is imported only where it
fits.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pipeline.arrays import Float32, Floats, Int64
from pipeline.models.names import CLASSICAL as CLASSICAL_NAMES
from pipeline.models.networks.boosting import GradientBoosting
from pipeline.models.networks.entry import Entry, levelled
from pipeline.models.networks.linear import LinearModel
from pipeline.models.networks.parts.classical_base import NEVER, UNKNOWN, fitted_together
from pipeline.models.networks.parts.classical_base import Classical as Classical
from pipeline.models.networks.parts.classical_base import pooled as pooled
from pipeline.models.networks.parts.trees import branches_of, leaves_of, roots_of

_N_TREES = 200
_N_NEIGHBOURS = 10
_N_HIDDEN = 128
_FOLDS = 3


class SupportVectors(Classical):
    """A support vector machine of a radial kernel for each class against the rest (Platt 1999).

    Scores are Platt's sigmoid of the margin, fitted on margins of held-out folds.
    """

    vectors: Tensor
    weights: Tensor
    offset: Tensor
    gamma: Tensor
    slope: Tensor
    shift: Tensor

    def __init__(self, n_rows: int, n_classes: int) -> None:
        super().__init__(n_rows, n_classes)
        none = np.zeros(n_classes)
        self.keep(vectors=np.zeros((0, 2 * n_rows)), weights=np.zeros((n_classes, 0)))
        self.keep(offset=none, gamma=np.ones(1), slope=none, shift=none)

    def probabilities(self, points: Tensor) -> Tensor:
        """Return Platt's sigmoid of each class's margin."""
        distance = torch.cdist(points, self.vectors, compute_mode="donot_use_mm_for_euclid_dist")
        margin = torch.exp(-self.gamma * distance.square()) @ self.weights.T + self.offset
        return torch.sigmoid(self.slope * margin + self.shift)

    def fit_scaled(self, points: Floats, targets: Int64, seed: int) -> None:
        """Fit a machine to each class, and the sigmoid to margins of held-out folds."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import cross_val_predict
        from sklearn.svm import SVC

        n_classes = targets.shape[1]
        gamma = 1 / (points.shape[1] * points.var())
        weights = np.zeros((n_classes, len(points)))
        offset, slope, shift = np.zeros(n_classes), np.zeros(n_classes), np.full(n_classes, NEVER)
        for c, column in enumerate(targets.T):
            known = np.flatnonzero(column != UNKNOWN)
            column, own = column[known], points[known]
            if np.bincount(column, minlength=2).min() < _FOLDS:
                continue  # too few to learn from: never named
            machine = SVC(gamma=gamma, class_weight="balanced")
            margins = cross_val_predict(machine, own, column, cv=_FOLDS, method="decision_function")
            platt = LogisticRegression(C=1e6).fit(margins[:, None], column)
            slope[c], shift[c] = platt.coef_[0, 0], platt.intercept_[0]
            machine.fit(own, column)
            weights[c, known[machine.support_]] = machine.dual_coef_[0]
            offset[c] = machine.intercept_[0]
        used = np.flatnonzero(weights.any(axis=0))
        self.keep(vectors=points[used], weights=weights[:, used], gamma=np.array([gamma]))
        self.keep(offset=offset, slope=slope, shift=shift)


class Forest(Classical):
    """A random forest (Breiman 2001): the mean over trees of the share of a class in their leaf."""

    roots: Tensor
    feature: Tensor
    threshold: Tensor
    branches: Tensor
    share: Tensor

    def __init__(self, n_rows: int, n_classes: int) -> None:
        super().__init__(n_rows, n_classes)
        self.keep(roots=np.zeros(0, np.int64), feature=np.zeros(0, np.int64))
        self.keep(threshold=np.zeros(0), branches=np.zeros((2, 0), np.int64))
        self.keep(share=np.zeros((0, n_classes), np.float32))

    def probabilities(self, points: Tensor) -> Tensor:
        """Return the mean share of each class over the leaves that a point falls into."""
        points = points.float()  # as scikit-learn compares them
        at = leaves_of(points, self.roots, self.feature, self.threshold, self.branches)
        return self.share[at].double().mean(dim=1)

    def fit_scaled(self, points: Floats, targets: Int64, seed: int) -> None:
        """Fit one forest to the classes that are known of all windows, and one to each other."""
        from sklearn.ensemble import RandomForestClassifier

        parts = fitted_together(targets)
        trees, leaves = [], []
        for columns, known in parts:
            wanted = targets[known][:, columns]
            forest = RandomForestClassifier(
                _N_TREES, class_weight="balanced_subsample", random_state=seed, n_jobs=-1
            ).fit(points[known], wanted[:, 0] if len(columns) == 1 else wanted)
            for tree in (estimator.tree_ for estimator in forest.estimators_):
                trees.append(tree)
                share = np.zeros((tree.node_count, targets.shape[1]), np.float32)
                # The mean is over the trees of all parts, and these speak of their own classes.
                found = _share_of_ones(tree.value, forest.classes_, len(columns))
                share[:, columns] = found * len(parts)
                leaves.append(share)
        sizes = [tree.node_count for tree in trees]
        children = [(tree.children_left, tree.children_right) for tree in trees]
        self.keep(
            roots=roots_of(sizes),
            feature=np.concatenate([np.maximum(tree.feature, 0) for tree in trees]),
            threshold=np.concatenate([tree.threshold for tree in trees]),
            branches=branches_of(children),
            share=np.concatenate(leaves),
        )


class Perceptron(Classical):
    """A multi-layer perceptron with one hidden layer, kept small by an L2 penalty.

    It is not stopped early: scikit-learn judges that by how many windows have all of their classes
    right, which of eleven is none for so long that the fit ended at 24 passes.
    """

    hidden: Tensor
    hidden_bias: Tensor
    out: Tensor
    out_bias: Tensor

    def __init__(self, n_rows: int, n_classes: int) -> None:
        super().__init__(n_rows, n_classes)
        self.keep(hidden=np.zeros((2 * n_rows, _N_HIDDEN)), hidden_bias=np.zeros(_N_HIDDEN))
        self.keep(out=np.zeros((_N_HIDDEN, n_classes)), out_bias=np.zeros(n_classes))

    def probabilities(self, points: Tensor) -> Tensor:
        """Return the sigmoid of the outputs, `[n, n_classes]`."""
        hidden = torch.relu(points @ self.hidden + self.hidden_bias)
        return torch.sigmoid(hidden @ self.out + self.out_bias)

    def fit_scaled(self, points: Floats, targets: Int64, seed: int) -> None:
        """Fit one network to the classes that are known of all windows, and one to each other."""
        from sklearn.exceptions import ConvergenceWarning
        from sklearn.neural_network import MLPClassifier

        hidden, hidden_bias, outs = [], [], []
        n_classes = targets.shape[1]
        out_bias = np.full(n_classes, NEVER)  # of a class of which nothing is known: never named
        for columns, known in fitted_together(targets):
            # One class of several twice: scikit-learn would stratify by it, and rare ones fail.
            is_alone = len(columns) == 1 < n_classes
            wanted = targets[known][:, columns * 2 if is_alone else columns]
            network = MLPClassifier((_N_HIDDEN,), alpha=1.0, max_iter=500, random_state=seed)
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", ConvergenceWarning)  # 500 passes are enough
                network.fit(points[known], wanted)
            out = np.zeros((_N_HIDDEN, n_classes))
            out[:, columns] = network.coefs_[1][:, : len(columns)]
            out_bias[columns] = network.intercepts_[1][: len(columns)]
            hidden.append(network.coefs_[0])
            hidden_bias.append(network.intercepts_[0])
            outs.append(out)
        self.keep(hidden=np.concatenate(hidden, axis=1), hidden_bias=np.concatenate(hidden_bias))
        self.keep(out=np.concatenate(outs), out_bias=out_bias)


class Neighbours(Classical):
    """The k nearest neighbours: the share of a class among the training set's nearest windows."""

    known: Tensor
    labels: Tensor

    def __init__(self, n_rows: int, n_classes: int) -> None:
        super().__init__(n_rows, n_classes)
        self.keep(known=np.zeros((0, 2 * n_rows)), labels=np.zeros((0, n_classes), np.float32))

    def probabilities(self, points: Tensor) -> Tensor:
        """Return the mean of the neighbours' labels, of those that are known; 0 without any."""
        distance = torch.cdist(points, self.known, compute_mode="donot_use_mm_for_euclid_dist")
        nearest = distance.topk(min(_N_NEIGHBOURS, len(self.known)), largest=False).indices
        return self.labels[nearest].double().nanmean(dim=1).nan_to_num(0.0)

    def fit_scaled(self, points: Floats, targets: Int64, seed: int) -> None:
        """Keep the windows and their labels; NaN where a class is unknown."""
        labels = np.where(targets == UNKNOWN, np.nan, targets)
        self.keep(known=points, labels=labels.astype(np.float32))


def _share_of_ones(value: Floats, classes: Any, n_classes: int) -> Float32:
    """Return each node's share of label 1 by class, `[n_nodes, n_classes]`, from a tree's values.

    A class that no window or every window has is a single label to scikit-learn.
    """
    lists = classes if isinstance(classes, list) else [classes]
    share = np.zeros((len(value), n_classes), np.float32)
    for c, labels in enumerate(lists):
        counts = value[:, c, : len(labels)]
        share[:, c] = (counts * (labels == 1)).sum(axis=1) / counts.sum(axis=1)
    return share


_KINDS = (SupportVectors, Forest, Perceptron, Neighbours, LinearModel, GradientBoosting)
CLASSICAL: Mapping[str, type[Classical]] = MappingProxyType(
    dict(zip(CLASSICAL_NAMES, _KINDS, strict=True))
)
"""By the names that jobs give them."""


def _built(
    kind: type[Classical], n_classes: int, shape: tuple[int, int], dropout: float
) -> Classical:
    return kind(shape[0], n_classes)


NETWORKS = tuple(
    Entry(
        name,
        partial(_built, kind),
        takes="descriptors",
        front_end=partial(levelled, "descriptors"),
    )
    for name, kind in CLASSICAL.items()
)
