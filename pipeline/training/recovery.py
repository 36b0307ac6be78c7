"""A training to its end: one that diverges in bfloat16 goes on in float32."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch

from pipeline.errors import UsageError
from pipeline.models.engines.graphs import first_line
from pipeline.models.model import Tagger
from pipeline.models.names import TrainPrecision
from pipeline.training.config import TrainConfig
from pipeline.training.data.loader import Loader
from pipeline.training.data.window_set import WindowSet
from pipeline.training.loop import Hooks, Progress, train
from pipeline.training.step.gradients import SamplesToInput

State = dict[str, Any]


def train_to_the_end(
    config: TrainConfig,
    new_model: Callable[[], Tagger],
    train_set: WindowSet,
    val_set: WindowSet,
    *,
    device: torch.device,
    last_state: Callable[[], State | None],
    hooks: Hooks,
    samples: SamplesToInput | None = None,
    loader: Loader | None = None,
) -> Progress:
    """Train (see `loop.train`); where the loss is no number in bfloat16, go on in float32.

    Parameters
    ----------
    config, train_set, val_set, device, hooks, samples, loader
        As in `loop.train`.
    new_model
        Makes the model as it is before its first step.
    last_state
        Returns the checkpoint that `hooks.on_epoch` was given last, by this process or by one
        before it; None where there is none. From there the training goes on.

    Raises
    ------
    UsageError
        Where the network was to be compiled and cannot be.
    """

    def run(precision: TrainPrecision, state: State | None) -> Progress:
        try:
            return train(
                replace(config, precision=precision),
                new_model(),
                train_set,
                val_set,
                device=device,
                checkpoint=state,
                hooks=hooks,
                samples=samples,
                loader=loader,
            )
        except RuntimeError as error:
            from torch._dynamo.exc import TorchDynamoException  # takes a second to import

            if not isinstance(error, TorchDynamoException):
                raise
            why = f"torch cannot compile {config.model} here: {first_line(error)}"
            raise UsageError(f"--compile: {why}; leave it out") from error

    progress = run(config.precision, last_state())
    if progress.diverged_at is None or progress.precision != "bf16":
        return progress
    note = f"float32 from epoch {progress.epoch + 1} on, as {divergence(progress)}"
    hooks.on_note(note)
    state = last_state()
    if state is not None:  # what is kept from here on knows of it, also in a later process
        state["progress"] = {**state["progress"], "precision": "f32", "note": note}
    progress = run("f32", state)
    progress.note = note
    return progress


def divergence(progress: Progress) -> str:
    """Say at which step, and in which arithmetic, a training's loss was no number any more."""
    return f"the loss of step {progress.diverged_at} was no number in {progress.precision}"
