"""Clips in, the three parts of one fold of a cross-validation out. PURE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.errors import UsageError

Clips = npt.NDArray[np.intp]


@dataclass(frozen=True)
class Fold:
    """Clips by number: what is learned from, what chooses the epoch, what is measured."""

    train: Clips
    val: Clips
    held_out: Clips


def fold_of(
    segment_ids: Sequence[str], groups: Sequence[str], *, n_folds: int, fold: int, seed: int
) -> Fold:
    """Return one fold of `n_folds`; the clips of one group (video, song) are on the same side.

    Fold k is held out, the next one chooses the epoch, the others are learned from. UsageError
    where there are fewer groups than folds.
    """
    n_groups = len(set(groups))
    if n_folds > n_groups:
        raise UsageError(f"--folds {n_folds}: there are only {n_groups} videos")
    from sklearn.model_selection import GroupKFold  # here, as it takes a second

    splitter = GroupKFold(n_folds, shuffle=True, random_state=seed)
    order = np.argsort(segment_ids)  # whatever order the shards come in
    parts = [
        np.sort(order[part])
        for _, part in splitter.split(order, groups=[groups[clip] for clip in order])
    ]
    val = (fold + 1) % n_folds
    rest = [part for k, part in enumerate(parts) if k not in (fold, val)]
    return Fold(np.sort(np.concatenate(rest)), parts[val], parts[fold])
