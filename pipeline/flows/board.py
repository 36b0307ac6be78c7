"""Where the first worker of a training says how far it is, and the driver shows it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

from pipeline.flows.logs import progress_bar

_LOOK_EVERY_S = 1.0


@ray.remote(num_cpus=0)
class Board:
    """Steps done, steps in all, and what each epoch came to."""

    def __init__(self) -> None:
        self._state: tuple[int, int, list[dict[str, float]]] = (0, 0, [])

    def step(self, step: int, total: int) -> None:
        """Note the number of steps done, and of all."""
        self._state = (step, total, self._state[2])

    def epoch(self, metrics: dict[str, float]) -> None:
        """Note what an epoch came to."""
        self._state[2].append(metrics)

    def read(self) -> tuple[int, int, list[dict[str, float]]]:
        """Return steps done, steps in all, and the epochs' metrics."""
        return self._state


@contextmanager
def shown(board: Any, title: str) -> Iterator[None]:
    """Show the board on a progress bar while the driver waits for the run."""
    stop = threading.Event()

    def watch() -> None:
        waits = "waiting for the workers to start and to read the dataset"
        with progress_bar(unit=" steps", desc=title, postfix=waits) as bar:
            while not stop.wait(_LOOK_EVERY_S):
                bar.n, total, epochs = ray.get(board.read.remote())
                bar.total = total or None
                if bar.n:
                    bar.set_postfix_str("", refresh=False)
                if epochs:
                    bar.set_postfix({k: f"{v:.3g}" for k, v in epochs[-1].items()}, refresh=False)
                bar.update(0)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
