"""Windows in, the batches of an epoch out: each window once, on any number of ranks."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from pipeline.training.config import TrainConfig
from pipeline.training.data.sampling import balanced_order, epoch_size, others, true_dynamic
from pipeline.training.data.window_set import SHIFT_SHARE, Batch, WindowSet

T = TypeVar("T")

GAIN_DB = 6.0
"""How much louder or softer than the first one a window is that is played along with it."""


@dataclass(frozen=True)
class Mixing:
    """How clips are put together while training."""

    sampling: str = "plain"
    """How windows are drawn: plain, dynamic or persistent."""
    least: int = 1
    """Clips a draw has, at least,"""
    most: int = 3
    """How many classes a mixture has at most."""
    missed: float = 0.001
    """Dynamic: the share of windows that an epoch may miss on average."""
    balance: str = "none"
    """Plain and persistent: none, sqrt or full (`sampling.balanced_order`)."""

    def size(self, data: WindowSet) -> int:
        """Return how many items an epoch has, over all ranks."""
        if self.sampling != "dynamic":
            return len(data)
        return epoch_size(
            data.targets[data.clip_of], missed=self.missed, least=self.least, most=self.most
        )

    def draw(self, data: WindowSet, rng: np.random.Generator) -> list[list[int]]:
        """Return the windows of every item of an epoch, one or several that sound together."""
        targets, clips = data.targets[data.clip_of], data.clip_of
        if self.sampling == "dynamic":
            n = self.size(data)
            return true_dynamic(targets, rng, n=n, least=self.least, most=self.most, clip_of=clips)
        if self.balance == "none":
            order = rng.permutation(len(data))
        else:
            order = balanced_order(data.targets, clips, rng, self.balance)
        if self.sampling == "plain":
            return [[int(window)] for window in order]
        draws = others(targets, order, rng, least=self.least - 1, most=self.most - 1, clip_of=clips)
        return [[int(window), *draw] for window, draw in zip(order, draws, strict=True)]


PLAIN = Mixing()


def mixing_of(config: TrainConfig) -> Mixing:
    """Return how a training puts clips together."""
    return Mixing(config.sampling, config.mix_min, config.mix_max, balance=config.balance)


def n_steps(data: WindowSet, config: TrainConfig, n_ranks: int) -> int:
    """Return the batches of an epoch: the same number on every rank."""
    return -(-mixing_of(config).size(data) // (config.batch_size * n_ranks))


def epoch_batches(
    data: WindowSet,
    *,
    epoch: int,
    seed: int,
    batch_size: int,
    rank: int,
    n_ranks: int,
    jitter: bool = False,
    mixing: Mixing = PLAIN,
) -> Iterator[Batch]:
    """Yield a rank's batches of one epoch, in an order that depends on seed and epoch only.

    Over all ranks every item comes exactly once; ranks agree on the number of steps. With `jitter`
    each window begins up to 40 % of a window sooner or later. Windows that are played along are
    brought to -6 to 6 dB of the first.
    """
    rng = np.random.default_rng([seed, epoch])
    items = mixing.draw(data, rng)
    ends = np.cumsum([len(item) for item in items])
    n_played = int(ends[-1]) if items else 0
    reach = round(SHIFT_SHARE * data.n_frames) if jitter else 0
    shifts = rng.integers(-reach, reach + 1, n_played)
    gains_db = rng.uniform(-GAIN_DB, GAIN_DB, n_played)
    step_size = batch_size * n_ranks
    for start in range(0, len(items), step_size):
        n_here = min(step_size, len(items) - start)
        mine = np.array_split(np.arange(start, start + n_here), n_ranks)[rank]
        parts = [np.arange(ends[k] - len(items[k]), ends[k]) for k in mine]
        played = np.concatenate([np.zeros(0, np.int64), *parts])
        yield data.batch([items[k] for k in mine], n_here, shifts[played], gains_db[played])


def prefetched(items: Iterator[T]) -> Iterator[T]:
    """Yield the items while a thread makes the next one."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, items, None)
        while (item := waiting.result()) is not None:
            waiting = pool.submit(next, items, None)
            yield item
