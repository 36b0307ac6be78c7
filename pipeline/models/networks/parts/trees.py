"""Decision trees as arrays: all nodes of all trees, one behind another.

A node has a feature, a threshold and two children; a leaf is its own child. So trees are walked in
tensors, all at once, and are stored as any other weights are.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from pipeline.arrays import Int64


def leaves_of(
    points: Tensor, roots: Tensor, feature: Tensor, threshold: Tensor, branches: Tensor
) -> Tensor:
    """Return the leaf that each point falls into in each tree, `[n, n_trees]`, as a node's number.

    Parameters
    ----------
    points
        `[n, n_features]`.
    roots
        First node of each tree, `[n_trees]`.
    feature, threshold
        Of each node: where a point's feature is above the threshold it goes to the right.
    branches
        Left and right child of each node, `[2, n_nodes]`.
    """
    at = roots.expand(len(points), -1)
    while True:
        goes_right = points.gather(1, feature[at]) > threshold[at]
        below = branches[goes_right.long(), at]
        if torch.equal(below, at):
            return at
        at = below


def roots_of(n_nodes: Sequence[int]) -> Int64:
    """Return the first node of each tree, given how many each has."""
    return np.cumsum([0, *n_nodes], dtype=np.int64)[:-1]


def branches_of(children: Sequence[tuple[Int64, Int64]]) -> Int64:
    """Return left and right child of all nodes, `[2, n_nodes]`, from those of each tree.

    In a tree of scikit-learn's a node without children has numbers below 1: no node has the root
    below it.
    """
    roots = roots_of([len(left) for left, _ in children])
    joined = []
    for (left, right), root in zip(children, roots, strict=True):
        own = np.arange(len(left))
        is_leaf = left < 1
        both = np.stack([np.where(is_leaf, own, left), np.where(is_leaf, own, right)])
        joined.append(root + both)
    return np.concatenate(joined, axis=1) if joined else np.zeros((2, 0), np.int64)
