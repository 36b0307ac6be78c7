"""Batches in, the same batches with their windows made ready by other processes, ahead of time.

The training process cuts the windows, which costs a copy; what costs more (`randomise`) is done by
a pool of processes that import no torch and hold no data. Whatever their number, batches come in
order and are the same to the bit. No more of them wait than there are processes, and one.

The processes end with the pool, and when the training process ends in any way, a SIGKILL included.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor, ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from threading import Thread
from time import perf_counter
from typing import TypeVar

from pipeline.training.augmenting.randomise.windows import RandomisedWindows
from pipeline.training.data.window_set import Batch, Windows

T = TypeVar("T")


@dataclass(frozen=True)
class Loader:
    """A pool of processes, and what they do to the windows of a batch."""

    work: RandomisedWindows
    pool: Executor
    n_ahead: int
    """Batches that are made while one is learned from."""

    def made(self, batches: Iterable[Batch], seed: Sequence[int]) -> Iterator[Batch]:
        """Yield the batches in order, their windows made; of batch k by the seed `[*seed, k]`."""
        waiting: deque[tuple[Batch, Future[Windows]]] = deque()
        for step, batch in enumerate(batches):
            waiting.append((batch, self.pool.submit(self.work, batch.windows, [*seed, step])))
            if len(waiting) > self.n_ahead:
                yield _done(*waiting.popleft())
        while waiting:
            yield _done(*waiting.popleft())


def made(batches: Iterator[Batch], loader: Loader | None, seed: Sequence[int]) -> Iterator[Batch]:
    """Return the batches as the loader makes them; without one, as they are."""
    return batches if loader is None else loader.made(batches, seed)


def _done(batch: Batch, windows: Future[Windows]) -> Batch:
    return replace(batch, windows=windows.result())


@contextmanager
def loader(work: RandomisedWindows, n_processes: int) -> Iterator[Loader]:
    """Give a loader of so many processes; with 0, of a thread of this one."""
    with _pool(n_processes) as pool:
        try:
            yield Loader(work, pool, n_ahead=max(1, n_processes))
        finally:
            pool.shutdown(wait=True, cancel_futures=True)


def _pool(n_processes: int) -> Executor:
    return ThreadPoolExecutor(1) if n_processes == 0 else process_pool(n_processes)


def process_pool(n_processes: int) -> Executor:
    """Return a pool of processes of one thread each, that end with it or with their parent."""
    # Not by fork: this process has threads, and perhaps a GPU.
    context = multiprocessing.get_context("spawn")
    return ProcessPoolExecutor(n_processes, mp_context=context, initializer=_begin)


def _begin() -> None:
    """Set up a loader process: one thread of arithmetic, deaf to Ctrl-C, no longer than its parent.

    The pool's own processes would wait for ever for a parent that was killed: each holds the other
    end of the queue that it reads from.
    """
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the parent ends them
    Thread(target=_end_with_parent, daemon=True).start()


def _end_with_parent() -> None:
    parent = multiprocessing.parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)


def default_processes(n_cores: int) -> int:
    """Return how many processes a training with so many cores has: all but one, at least one."""
    return max(1, n_cores - 1)


class Waits(Iterator[T]):
    """An iterator that adds up the seconds for which its next item was waited for."""

    def __init__(self, items: Iterator[T]) -> None:
        self._items = items
        self.waited_s = 0.0

    def __next__(self) -> T:
        """Return the next batch, when its windows are ready."""
        began_s = perf_counter()
        try:
            return next(self._items)
        finally:
            self.waited_s += perf_counter() - began_s
