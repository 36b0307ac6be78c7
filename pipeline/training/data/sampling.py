"""Which windows an epoch is made of: all once, by classes, or mixed with others. PURE.

A draw is a list of windows that are played together. True dynamic: draw how many, draw that many
distinct classes, one window of each. Base-sample-persistent: go through the training set, and mix
each window with others drawn so. The windows of a class come in a shuffled order, each once before
any comes again: so none is missed by chance, and all are used evenly.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

import numpy as np

from pipeline.arrays import Float32, Float64, Int64
from pipeline.errors import UsageError

BALANCES: Mapping[str, float] = MappingProxyType({"none": 0.0, "sqrt": 0.5, "full": 1.0})
"""By name, the power of a class's share that balancing takes away."""

Draw = list[int]


def n_draws(n_windows: int, *, missed: float, least: int, most: int) -> int:
    """Return how many draws an epoch needs so that on average a share `missed` is never drawn.

    N = log(P) / log(1 - 1/n) * 2 / (min + max), the report's formula.

    >>> n_draws(6705, missed=0.001, least=1, most=2)
    30875
    """
    if n_windows < 2:
        return n_windows
    return int(math.log(missed) / math.log(1 - 1 / n_windows) * 2 / (least + most))


def epoch_size(targets: Float32, *, missed: float, least: int, most: int) -> int:
    """Return how many draws take all of `targets`, `[n_windows, n_classes]`, but a share `missed`.

    The report's formula takes each window for as likely as another, but classes are drawn evenly:
    where one has most of the windows, it takes more draws until it has had its turns.
    """
    by_class = windows_by_class(targets)
    largest = max(map(len, by_class.values()), default=0)
    turns = (largest + 4 * math.sqrt(largest)) * len(by_class)  # they come by chance: 4 deviations
    by_formula = n_draws(len(targets), missed=missed, least=least, most=most)
    return max(by_formula, math.ceil(turns * 2 / (least + most)))


def true_dynamic(
    targets: Float32,
    rng: np.random.Generator,
    *,
    n: int,
    least: int,
    most: int,
    clip_of: Int64 | None = None,
) -> list[Draw]:
    """Return `n` draws of `least` to `most` windows with distinct classes, uniformly chosen.

    `targets` is `[n_windows, n_classes]`, NaN where unknown; a window with several classes stands
    for one of them. No two are of one clip, `clip_of` each window (without it, each is a clip).
    """
    decks = _decks(targets, rng)
    _check(len(decks), least, most)
    clips = np.arange(len(targets)) if clip_of is None else clip_of
    classes = np.array(list(decks))
    draws = []
    for _ in range(n):
        chosen = rng.choice(classes, size=int(rng.integers(least, most + 1)), replace=False)
        draws.append(_one_of_each([decks[int(c)] for c in chosen], clips, []))
    return draws


def others(
    targets: Float32,
    base: Int64,
    rng: np.random.Generator,
    *,
    least: int,
    most: int,
    clip_of: Int64 | None = None,
) -> list[Draw]:
    """Return, for each window of `base`, `least` to `most` windows of classes that it has not.

    A class that is unknown (NaN) in the base is none of these.
    """
    decks = _decks(targets, rng)
    _check(len(decks), least + 1, most + 1)
    clips = np.arange(len(targets)) if clip_of is None else clip_of
    draws = []
    for window in base:
        free = [c for c in decks if targets[window, c] == 0]
        n = min(int(rng.integers(least, most + 1)), len(free))
        chosen = rng.choice(np.array(free, np.int64), size=n, replace=False)
        draw = _one_of_each([decks[int(c)] for c in chosen], clips, [int(window)])
        draws.append(draw[1:])
    return draws


def windows_by_class(targets: Float32) -> dict[int, Int64]:
    """Return the windows of each class that has any."""
    columns = {c: np.flatnonzero(targets[:, c] > 0.5) for c in range(targets.shape[1])}
    return {c: windows for c, windows in columns.items() if len(windows)}


def balanced_order(
    targets: Float32, clip_of: Int64, rng: np.random.Generator, balance: str
) -> Int64:
    """Return as many windows as there are, in a random order, by the rarest class of their clip.

    Parameters
    ----------
    targets
        `[n_clips, n_classes]`: above 0.5 is there.
    clip_of
        The clip of each window.
    rng
        Of the order, and of what is left out or comes again.
    balance
        none: each window once. full: clips whose rarest class is the same are drawn as often, all
        together, as those of another one. sqrt: half way, in decibels.

    Each window comes as often as its share says, rounded up or down: that is systematic sampling
    (Madow and Madow 1944), of less spread than independent draws.
    """
    shares = clip_shares(targets, BALANCES[balance])[clip_of]
    edges = np.cumsum(shares) / shares.sum() * len(clip_of)
    ticks = np.arange(len(clip_of)) + rng.random()
    windows = np.minimum(np.searchsorted(edges, ticks, side="right"), len(clip_of) - 1)
    return rng.permutation(windows)


def clip_shares(targets: Float32, power: float) -> Float64:
    """Return one weight per clip: the number of clips of its rarest class to the power of `-power`.

    Clips without any class count as one class more.
    """
    there = targets > 0.5
    counts = np.where(there, there.sum(axis=0), np.inf).min(axis=1, initial=np.inf)
    is_none = np.isinf(counts)
    return np.asarray(np.where(is_none, max(1, is_none.sum()), counts) ** -power)


class _Deck:
    """Windows in a shuffled order, each once before any comes again."""

    def __init__(self, windows: Int64, rng: np.random.Generator) -> None:
        self._windows, self._rng = windows, rng
        self._left: list[int] = []

    def take(self, clips: Any, taken: set[int]) -> int | None:
        """Return the next window whose clip is not taken; what is passed over comes later."""
        for _ in range(2):
            for at in range(len(self._left) - 1, -1, -1):
                if clips[self._left[at]] not in taken:
                    return self._left.pop(at)
            if len(self._left) < len(self._windows):  # else all of them are of clips taken
                self._left = [*self._rng.permutation(self._windows).tolist(), *self._left]
        return None


def _decks(targets: Float32, rng: np.random.Generator) -> dict[int, _Deck]:
    return {c: _Deck(windows, rng) for c, windows in windows_by_class(targets).items()}


def _one_of_each(decks: list[_Deck], clips: Any, draw: Draw) -> Draw:
    """Add a window of each deck to a draw, where there is one of a clip that is not in it."""
    for deck in decks:
        window = deck.take(clips, {int(clips[one]) for one in draw})
        if window is not None:
            draw.append(window)
    return draw


def _check(n_classes: int, least: int, most: int) -> None:
    if not 1 <= least <= most <= n_classes:
        raise UsageError(
            f"--mix-min {least} --mix-max {most}: expected 1 <= min <= max <= {n_classes}, the "
            "classes of the training split"
        )
