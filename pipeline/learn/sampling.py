"""Dynamic sampling: single-label clips mixed into multi-label ones while training. PURE.

A draw is a list of clips that are played together. True dynamic: draw how many, draw that many
distinct classes, one clip of each. Base-sample-persistent: go through the training set, and mix
each clip with others drawn so.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

from pipeline.errors import UsageError

SAMPLINGS = ("plain", "dynamic", "persistent")

Draw = list[int]


def n_draws(n_clips: int, *, missed: float, least: int, most: int) -> int:
    """Return how many draws an epoch needs so that on average a share `missed` is never heard.

    N = log(P) / log(1 - 1/n) * 2 / (min + max), the report's formula.

    >>> n_draws(6705, missed=0.001, least=1, most=2)
    30875
    """
    if n_clips < 2:
        return n_clips
    return int(math.log(missed) / math.log(1 - 1 / n_clips) * 2 / (least + most))


def true_dynamic(
    targets: npt.NDArray[np.float32], rng: np.random.Generator, *, n: int, least: int, most: int
) -> list[Draw]:
    """Return `n` draws of `least` to `most` clips with distinct classes, uniformly chosen.

    `targets` is `[n_clips, n_classes]`, NaN where unknown; a clip with several classes stands for
    one of them.
    """
    by_class = clips_by_class(targets)
    _check(len(by_class), least, most)
    return [_one_of_each(by_class, rng, int(rng.integers(least, most + 1))) for _ in range(n)]


def others(
    targets: npt.NDArray[np.float32],
    base: npt.NDArray[np.int64],
    rng: np.random.Generator,
    *,
    least: int,
    most: int,
) -> list[Draw]:
    """Return, for each clip of `base`, `least` to `most` clips of classes that it has not.

    One that is unknown in the clip may be there, and is not among them.
    """
    by_class = clips_by_class(targets)
    _check(len(by_class), least + 1, most + 1)
    draws = []
    for clip in base:
        free = {c: clips for c, clips in by_class.items() if targets[clip, c] == 0}
        draws.append(_one_of_each(free, rng, min(int(rng.integers(least, most + 1)), len(free))))
    return draws


def clips_by_class(targets: npt.NDArray[np.float32]) -> dict[int, npt.NDArray[np.int64]]:
    """Return the clips of each class that has any."""
    columns = {c: np.flatnonzero(targets[:, c] == 1) for c in range(targets.shape[1])}
    return {c: clips for c, clips in columns.items() if len(clips)}


def _one_of_each(
    by_class: dict[int, npt.NDArray[np.int64]], rng: np.random.Generator, n: int
) -> Draw:
    if not n:
        return []
    classes = rng.choice(np.array(list(by_class)), size=n, replace=False)
    return [int(rng.choice(by_class[int(c)])) for c in classes]


def _check(n_classes: int, least: int, most: int) -> None:
    if not 1 <= least <= most <= n_classes:
        raise UsageError(
            f"--mix-min {least} --mix-max {most}: expected 1 <= min <= max <= {n_classes}, the "
            "classes of the training split"
        )
