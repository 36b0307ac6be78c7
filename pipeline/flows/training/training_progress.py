"""Where the first worker of a training writes its progress, and the driver shows it."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray

from pipeline.errors import TimbreError
from pipeline.flows.metrics import show, show_epoch
from pipeline.runs.logs import progress_bar, say

_LOOK_EVERY_S = 1.0
_SHOWN = ("epoch", "train_loss", "val_loss", "val_macro_f1")


# It may lie on a node that is taken away: it begins anew elsewhere then, and callers try again.
@ray.remote(num_cpus=0, max_restarts=-1, max_task_retries=-1)
class ProgressActor:
    """Steps done, steps in all, the metrics of each epoch, and lines for the user.

    It also shows them to Prometheus, as those of the named `model`.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        self._state: tuple[int, int, list[dict[str, float]]] = (0, 0, [])
        self._notes: list[str] = []
        self._refusal: TimbreError | None = None

    def note(self, line: str) -> None:
        """Keep a line that the user should read."""
        self._notes.append(line)

    def notes(self) -> list[str]:
        """Return all lines so far."""
        return self._notes

    def step(self, step: int, total: int) -> None:
        """Note the number of steps done, and of all."""
        self._state = (step, total, self._state[2])
        show("timbre_training_step", step, self._model)
        show("timbre_training_steps", total, self._model)

    def epoch(self, metrics: dict[str, float]) -> None:
        """Note what an epoch came to."""
        self._state[2].append(metrics)
        show_epoch(metrics, self._model)

    def refuse(self, error: TimbreError) -> None:
        """Note what a user has to mend: raised in a worker, it would be tried again and again."""
        self._refusal = error

    def refusal(self) -> TimbreError | None:
        """Return what a user has to mend, None where all is well."""
        return self._refusal

    def read(self) -> tuple[int, int, list[dict[str, float]]]:
        """Return steps done, steps in all, and the epochs' metrics."""
        return self._state


@contextmanager
def show_progress(progress_actor: Any, title: str) -> Iterator[None]:
    """Show an actor's progress on a bar while the driver waits for the run."""
    stop = threading.Event()
    n_said = 0

    def say_notes() -> None:
        nonlocal n_said
        for line in (notes := ray.get(progress_actor.notes.remote()))[n_said:]:
            say("note", text=f"{title}: {line}")
        n_said = len(notes)

    def watch() -> None:
        waits = "waiting for the workers to start and to read the dataset"
        with progress_bar(unit=" steps", desc=title, postfix=waits) as bar:
            while not stop.wait(_LOOK_EVERY_S):
                say_notes()
                bar.n, total, epochs = ray.get(progress_actor.read.remote())
                bar.total = total or None
                if bar.n:
                    bar.set_postfix_str("", refresh=False)
                if epochs:
                    last = {k: f"{epochs[-1][k]:.3g}" for k in _SHOWN if k in epochs[-1]}
                    bar.set_postfix(last, refresh=False)
                bar.update(0)

    thread = threading.Thread(target=watch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        say_notes()
