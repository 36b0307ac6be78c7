"""scikit-learn's classifiers on pooled features, as networks: fitted there, run here, in tensors.

A window becomes the means and variances of its rows over its columns, each scaled by the training
set's mean and deviation of it, and the classifier says one probability per class. What scikit-learn
has fitted is copied into tensors: so such a model is a safetensors file like any other, is tagged
with by the same code, and no pickle is ever read; scikit-learn itself is imported only where it
fits.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from pipeline.arrays import Float32, Floats, Int64
from pipeline.models.names import CLASSICAL as CLASSICAL_NAMES
from pipeline.models.networks.entry import Entry, levelled

_SURE = 1e-6  # a probability of 0 or 1 has no logit
_N_TREES = 200
_N_NEIGHBOURS = 10
_N_HIDDEN = 128
_FOLDS = 3
_UNKNOWN = -1


def pooled(windows: Tensor) -> Tensor:
    """Return means and variances over the columns, `[n, 2 * n_rows]`, in float64.

    Columns that are all zero are what fills up a clip that is shorter than a window, and count for
    nothing: a frame of digital silence has an MFCC that is not zero.
    """
    windows = windows.double()
    there = windows.ne(0).any(dim=1, keepdim=True)
    n = there.sum(dim=2).clamp(min=1)
    mean = windows.sum(dim=2) / n
    spread = torch.where(there, windows - mean.unsqueeze(2), 0.0)
    return torch.cat([mean, spread.square().sum(dim=2) / n], dim=1)


class Classical(nn.Module):
    """A classifier on pooled windows; `fit` fills its tensors, or a state dict does."""

    mean: Tensor
    deviation: Tensor

    def __init__(self, n_rows: int, n_classes: int) -> None:
        super().__init__()
        self.n_classes = n_classes
        self._keep(mean=np.zeros(2 * n_rows), deviation=np.ones(2 * n_rows))

    def forward(self, windows: Tensor) -> Tensor:
        """Return logits, `[n, n_classes]`, for windows, `[n, n_rows, n_columns]`."""
        with torch.autocast(windows.device.type, enabled=False):
            points = (pooled(windows) - self.mean) / self.deviation
            return torch.logit(self.probabilities(points), eps=_SURE).float()

    def fit(self, points: Floats, targets: Floats, seed: int) -> None:
        """Fit to pooled windows, `[n, 2 * n_rows]`, and their targets: 0, 1, or NaN (unknown).

        A window whose class is unknown is left out of what is learned of that class.
        """
        deviation = points.std(axis=0)
        self._keep(mean=points.mean(axis=0), deviation=np.where(deviation > 0, deviation, 1.0))
        scaled = (points - self.mean.numpy()) / self.deviation.numpy()
        known = np.where(np.isnan(targets), _UNKNOWN, targets > 0.5)
        self._fit(scaled, known.astype(np.int64), seed)

    def probabilities(self, points: Tensor) -> Tensor:
        """Return one probability per class, `[n, n_classes]`, for scaled points."""
        raise NotImplementedError

    def _fit(self, points: Floats, targets: Int64, seed: int) -> None:
        raise NotImplementedError

    def _keep(self, **arrays: npt.ArrayLike) -> None:
        for name, array in arrays.items():
            self.register_buffer(name, torch.from_numpy(np.ascontiguousarray(array)))

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *rest: Any) -> None:
        """Take the tensors' sizes from what is loaded: they are what the fit made them."""
        for name in self._buffers:
            if (given := state_dict.get(prefix + name)) is not None:
                self._buffers[name] = torch.empty_like(given)
        super()._load_from_state_dict(state_dict, prefix, *rest)


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
        self._keep(vectors=np.zeros((0, 2 * n_rows)), weights=np.zeros((n_classes, 0)))
        self._keep(offset=none, gamma=np.ones(1), slope=none, shift=none)

    def probabilities(self, points: Tensor) -> Tensor:
        """Return Platt's sigmoid of each class's margin."""
        distance = torch.cdist(points, self.vectors, compute_mode="donot_use_mm_for_euclid_dist")
        margin = torch.exp(-self.gamma * distance.square()) @ self.weights.T + self.offset
        return torch.sigmoid(self.slope * margin + self.shift)

    def _fit(self, points: Floats, targets: Int64, seed: int) -> None:
        from sklearn.linear_model import LogisticRegression
        from sklearn.model_selection import cross_val_predict
        from sklearn.svm import SVC

        n_classes = targets.shape[1]
        gamma = 1 / (points.shape[1] * points.var())
        weights = np.zeros((n_classes, len(points)))
        offset, slope, shift = np.zeros(n_classes), np.zeros(n_classes), np.full(n_classes, -20.0)
        for c, column in enumerate(targets.T):
            known = np.flatnonzero(column != _UNKNOWN)
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
        self._keep(vectors=points[used], weights=weights[:, used], gamma=np.array([gamma]))
        self._keep(offset=offset, slope=slope, shift=shift)


class Forest(Classical):
    """A random forest (Breiman 2001): the mean over trees of the share of a class in their leaf."""

    roots: Tensor
    feature: Tensor
    threshold: Tensor
    branches: Tensor
    share: Tensor

    def __init__(self, n_rows: int, n_classes: int) -> None:
        super().__init__(n_rows, n_classes)
        self._keep(roots=np.zeros(0, np.int64), feature=np.zeros(0, np.int64))
        self._keep(threshold=np.zeros(0), branches=np.zeros((2, 0), np.int64))
        self._keep(share=np.zeros((0, n_classes), np.float32))

    def probabilities(self, points: Tensor) -> Tensor:
        """Walk every point down every tree, all at once; a leaf is its own child."""
        points = points.float()  # as scikit-learn compares them
        at = self.roots.expand(len(points), -1)
        while True:
            goes_right = points.gather(1, self.feature[at]) > self.threshold[at]
            below = self.branches[goes_right.long(), at]
            if torch.equal(below, at):
                return self.share[at].double().mean(dim=1)
            at = below

    def _fit(self, points: Floats, targets: Int64, seed: int) -> None:
        from sklearn.ensemble import RandomForestClassifier

        parts = _fitted_together(targets)
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
        first = np.concatenate([[0], np.cumsum([tree.node_count for tree in trees])[:-1]])
        branches = []
        for tree, start in zip(trees, first, strict=True):
            own = np.arange(tree.node_count)
            is_leaf = tree.children_left < 0
            left = np.where(is_leaf, own, tree.children_left)
            right = np.where(is_leaf, own, tree.children_right)
            branches.append(start + np.stack([left, right]))
        self._keep(
            roots=first,
            feature=np.concatenate([np.maximum(tree.feature, 0) for tree in trees]),
            threshold=np.concatenate([tree.threshold for tree in trees]),
            branches=np.concatenate(branches, axis=1),
            share=np.concatenate(leaves),
        )


class Perceptron(Classical):
    """A multi-layer perceptron with one hidden layer, stopped early on a tenth of the windows."""

    hidden: Tensor
    hidden_bias: Tensor
    out: Tensor
    out_bias: Tensor

    def __init__(self, n_rows: int, n_classes: int) -> None:
        super().__init__(n_rows, n_classes)
        self._keep(hidden=np.zeros((2 * n_rows, _N_HIDDEN)), hidden_bias=np.zeros(_N_HIDDEN))
        self._keep(out=np.zeros((_N_HIDDEN, n_classes)), out_bias=np.zeros(n_classes))

    def probabilities(self, points: Tensor) -> Tensor:
        """Return the sigmoid of the outputs, `[n, n_classes]`."""
        hidden = torch.relu(points @ self.hidden + self.hidden_bias)
        return torch.sigmoid(hidden @ self.out + self.out_bias)

    def _fit(self, points: Floats, targets: Int64, seed: int) -> None:
        from sklearn.neural_network import MLPClassifier

        hidden, hidden_bias, outs = [], [], []
        n_classes = targets.shape[1]
        out_bias = np.full(n_classes, -20.0)  # of a class of which nothing is known: never named
        for columns, known in _fitted_together(targets):
            # One class of several twice: scikit-learn would stratify by it, and rare ones fail.
            is_alone = len(columns) == 1 < n_classes
            wanted = targets[known][:, columns * 2 if is_alone else columns]
            network = MLPClassifier(
                (_N_HIDDEN,), alpha=1e-3, max_iter=500, early_stopping=len(known) >= 100,
                random_state=seed,
            ).fit(points[known], wanted)  # fmt: skip
            out = np.zeros((_N_HIDDEN, n_classes))
            out[:, columns] = network.coefs_[1][:, : len(columns)]
            out_bias[columns] = network.intercepts_[1][: len(columns)]
            hidden.append(network.coefs_[0])
            hidden_bias.append(network.intercepts_[0])
            outs.append(out)
        self._keep(hidden=np.concatenate(hidden, axis=1), hidden_bias=np.concatenate(hidden_bias))
        self._keep(out=np.concatenate(outs), out_bias=out_bias)


class Neighbours(Classical):
    """The k nearest neighbours: the share of a class among the training set's nearest windows."""

    known: Tensor
    labels: Tensor

    def __init__(self, n_rows: int, n_classes: int) -> None:
        super().__init__(n_rows, n_classes)
        self._keep(known=np.zeros((0, 2 * n_rows)), labels=np.zeros((0, n_classes), np.float32))

    def probabilities(self, points: Tensor) -> Tensor:
        """Return the mean of the neighbours' labels, of those that are known; 0 without any."""
        distance = torch.cdist(points, self.known, compute_mode="donot_use_mm_for_euclid_dist")
        nearest = distance.topk(min(_N_NEIGHBOURS, len(self.known)), largest=False).indices
        return self.labels[nearest].double().nanmean(dim=1).nan_to_num(0.0)

    def _fit(self, points: Floats, targets: Int64, seed: int) -> None:
        labels = np.where(targets == _UNKNOWN, np.nan, targets)
        self._keep(known=points, labels=labels.astype(np.float32))


def _fitted_together(
    targets: Int64,
) -> list[tuple[list[int], npt.NDArray[np.intp]]]:
    """Return which classes are fitted as one, by number, and the windows that they are fitted to.

    What scikit-learn fits to several classes takes no unknown ones: so the classes that are known
    of all windows are fitted as one, and each of the others to the windows that it is known of. A
    class of which nothing is known is not fitted.
    """
    is_known = targets != _UNKNOWN
    whole, any_of = is_known.all(axis=0), is_known.any(axis=0)
    groups = [np.flatnonzero(whole).tolist(), *([int(c)] for c in np.flatnonzero(~whole & any_of))]
    return [(group, np.flatnonzero(is_known[:, group].all(axis=1))) for group in groups if group]


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


CLASSICAL: Mapping[str, type[Classical]] = MappingProxyType(
    dict(zip(CLASSICAL_NAMES, (SupportVectors, Forest, Perceptron, Neighbours), strict=True))
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
