"""Which classes were mixed up, as counts, from truth and named classes. PURE.

One class does not exclude another here, so there is no single confusion matrix: each class has its
own table of two by two, and beside it stands what was named for the items that it was missed in.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.metrics import multilabel_confusion_matrix

from pipeline.arrays import Bools, Int64
from pipeline.evaluation.labels.targets import Targets, is_known, is_there

Counts = Int64

KINDS = ("true_positive", "false_negative", "false_positive", "true_negative")


def confusion_counts(targets: Targets, predicted: Bools) -> Counts:
    """Return how many items every class has of each of `KINDS`, `[n_classes, 4]`.

    Items of which a class is unknown are in none of its kinds.
    """
    truth, known = is_there(targets), is_known(targets)
    predicted = predicted & known
    if not len(truth):
        return np.zeros((truth.shape[1], 4), np.int64)
    if truth.shape[1] < 2:  # scikit-learn takes one column for a list of two classes
        tables = multilabel_confusion_matrix(truth.ravel(), predicted.ravel(), labels=[True])
    else:
        tables = multilabel_confusion_matrix(truth, predicted)
    (true_negative, false_positive), (false_negative, true_positive) = np.moveaxis(tables, 0, 2)
    true_negative = true_negative - (~known).sum(axis=0)
    kinds = [true_positive, false_negative, false_positive, true_negative]
    return np.stack(kinds, axis=1).astype(np.int64)


def named_instead(targets: Targets, predicted: Bools) -> Counts:
    """Return what was named for the items in which a class was missed.

    Returns
    -------
    ints, shape [n_classes, n_classes + 1]
        Row i, column j: of the items that have class i, and in which it was not named, how many
        were wrongly said to have class j. The last column counts those with no wrong class. An
        item may be in several columns. A class that is unknown is not wrong.

    Examples
    --------
    >>> truth = np.array([[True, False], [True, True], [True, False]])
    >>> predicted = np.array([[False, True], [False, True], [True, True]])
    >>> named_instead(truth, predicted).tolist()
    [[0, 1, 1], [0, 0, 0]]
    """
    truth = is_there(targets)
    missed = (truth & ~predicted).astype(np.int64)
    wrong = predicted & ~truth & is_known(targets)
    columns = np.column_stack([wrong, ~wrong.any(axis=1)])
    return np.asarray(missed.T @ columns.astype(np.int64))


def confusion_dict(truth: Targets, predicted: Bools, *, class_codes: list[str]) -> dict[str, Any]:
    """Return both as plain values, by code."""
    counts, instead = confusion_counts(truth, predicted), named_instead(truth, predicted)
    return {
        "per_class": [
            {"code": code, **dict(zip(KINDS, row, strict=True))}
            for code, row in zip(class_codes, counts.tolist(), strict=True)
        ],
        "named_instead": {
            "columns": [*class_codes, None],
            "rows": instead.tolist(),
        },
    }
