"""Which classes items have, as matrices `[n_items, n_classes]`: there, not there, or unknown. PURE.

1 is there, 0 is not there, NaN is unknown: the labels leave it open, so it is neither taught nor
measured. Matrices of bools are those without anything unknown.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.arrays import Bools, Float32, Int64

Targets = npt.NDArray[Any]
"""Bools, or floats of 0, 1 and NaN."""

_UNKNOWN = np.float32(0.5)  # between 0 and 1, so that a maximum prefers it as it should


def target_matrix(
    classes: Iterable[Sequence[str]],
    unknown: Iterable[Sequence[str] | None],
    codes: Sequence[str],
) -> Float32:
    """Return the targets of items, `[n_items, n_classes]`, from their lists of class codes.

    `unknown` lists the codes that are open; None, as older tables have it, is an empty list.

    >>> target_matrix([["cel"], []], [["vio"], None], ["cel", "vio"]).tolist()
    [[1.0, nan], [0.0, 0.0]]
    """
    rows = [
        [1.0 if code in there else np.nan if code in (left_open or ()) else 0.0 for code in codes]
        for there, left_open in zip(classes, unknown, strict=True)
    ]
    return np.array(rows, np.float32).reshape(len(rows), len(codes))


def is_there(targets: Targets) -> Bools:
    """Return where a class is there for certain; unknown is not."""
    return np.asarray(targets == 1, np.bool_)


def is_known(targets: Targets) -> Bools:
    """Return where it is known whether a class is there or not."""
    return np.asarray(~np.isnan(np.asarray(targets, np.float32)), np.bool_)


def joined_groups(targets: Float32, firsts: Int64) -> Float32:
    """Return the targets of items that sound together: a row for each group of rows.

    A class is there where any of the group has it, else unknown where it is so for any, else not
    there. `firsts` are the numbers of the groups' first rows.

    >>> one, other = [1, np.nan, 0], [np.nan, 0, 0]
    >>> joined_groups(np.array([one, other], np.float32), np.array([0])).tolist()
    [[1.0, nan, 0.0]]
    """
    ranked = np.where(np.isnan(targets), _UNKNOWN, targets)
    most = np.maximum.reduceat(ranked, firsts, axis=0)
    return np.where(most == _UNKNOWN, np.float32(np.nan), most)
