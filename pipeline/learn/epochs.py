"""Windows in, the batches of an epoch out: each window once, on any number of ranks."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from pipeline.learn.sampling import n_draws, others, true_dynamic
from pipeline.learn.windows import Batch, WindowSet

T = TypeVar("T")

SHIFT_SHARE = 0.4
"""How far a window may be moved, as a share of its length."""


@dataclass(frozen=True)
class Mixing:
    """How clips are put together while training."""

    sampling: str = "plain"
    """plain, dynamic or persistent."""
    least: int = 1
    """Clips a draw has, at least,"""
    most: int = 3
    """and at most."""
    missed: float = 0.001
    """Dynamic: the share of clips that an epoch may miss on average."""

    def size(self, data: WindowSet) -> int:
        """Return how many items an epoch has, over all ranks."""
        if self.sampling != "dynamic":
            return len(data)
        n_clips = len(data.matrices)
        return n_draws(n_clips, missed=self.missed, least=self.least, most=self.most)

    def draw(self, data: WindowSet, rng: np.random.Generator) -> list[list[int]]:
        """Return the windows of every item of an epoch, one or several that sound together."""
        if self.sampling == "plain":
            return [[int(window)] for window in rng.permutation(len(data))]
        if self.sampling == "dynamic":
            draws = true_dynamic(
                data.targets, rng, n=self.size(data), least=self.least, most=self.most
            )
            return [[data.any_window(clip, rng) for clip in clips] for clips in draws]
        order = rng.permutation(len(data))
        draws = others(
            data.targets, data.clip_of[order], rng, least=self.least - 1, most=self.most - 1
        )
        return [
            [int(window), *(data.any_window(clip, rng) for clip in clips)]
            for window, clips in zip(order, draws, strict=True)
        ]


PLAIN = Mixing()


def n_steps(n_items: int, *, batch_size: int, n_ranks: int) -> int:
    """Return the steps of an epoch: the same on every rank."""
    return -(-n_items // (batch_size * n_ranks))


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
    each window begins up to 40 % of a window sooner or later, within its clip.
    """
    rng = np.random.default_rng([seed, epoch])
    items = mixing.draw(data, rng)
    reach = round(SHIFT_SHARE * data.n_frames) if jitter else 0
    shifts = rng.integers(-reach, reach + 1, len(data))
    step_size = batch_size * n_ranks
    for start in range(0, len(items), step_size):
        n_here = min(step_size, len(items) - start)
        mine = np.array_split(np.arange(start, start + n_here), n_ranks)[rank]
        yield data.batch([items[k] for k in mine], n_here, shifts)


def prefetched(items: Iterator[T]) -> Iterator[T]:
    """Yield the items while a thread makes the next one."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, items, None)
        while (item := waiting.result()) is not None:
            waiting = pool.submit(next, items, None)
            yield item
