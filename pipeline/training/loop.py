"""A model and two window sets in, epochs of training out: a checkpoint holds all of the state.

The loop reads from top to bottom: batches, step, validate, report. It runs on one process or,
inside an initialised torch.distributed group, on many; every window is seen once an epoch and
weighs the same.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn

from pipeline.models.engines.bf16_trial import n_to_try, step_fault
from pipeline.models.engines.compiler import NOT_COMPILED, compiler_fault
from pipeline.models.engines.precision import resolved
from pipeline.models.model import Tagger
from pipeline.models.networks.parts.blocks import hold_frozen_norms
from pipeline.training.config import TrainConfig
from pipeline.training.data.epochs import epoch_batches, mixing_of, n_steps, prefetched
from pipeline.training.data.loader import Loader, Waits, made
from pipeline.training.data.window_set import Batch, WindowSet
from pipeline.training.determinism import as_configured
from pipeline.training.schedule import optimizer_of, set_learning_rate
from pipeline.training.selection import best_row, check_selection, n_stale
from pipeline.training.step.averaging import Averaging
from pipeline.training.step.gradients import Gradients, SamplesToInput
from pipeline.training.step.ranks import (
    alone,
    from_all_ranks,
    mean_over_ranks,
    rank_and_count,
    shared,
    take_over_buffers,
)
from pipeline.training.validation import validation_figures

_LOOK_EVERY = 100  # steps between two looks at the losses: a look waits for the GPU


@dataclass
class Progress:
    """The state of a run between epochs; with model and optimiser it is the checkpoint."""

    epoch: int = 0
    """How many epochs are done."""
    best_val_loss: float = float("inf")
    """Of the epoch that is kept, which `TrainConfig.select` chooses."""
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    precision: str = ""
    """The arithmetic of the last epoch: f32 or bf16; empty before the first."""
    note: str = ""
    """Why it is that one, where another was to be expected."""
    diverged_at: int | None = None
    """The step (counted from 1 over all epochs) whose loss was no number, where that ended it."""
    windows: dict[str, int] = field(default_factory=dict)
    """Of the training set: those learned from, and those left out as silence or noise."""


@dataclass(frozen=True)
class Hooks:
    """The caller's functions: after each step, after each epoch with the checkpoint, for a line."""

    on_step: Callable[[int], None]
    on_epoch: Callable[[dict[str, float], dict[str, Any]], None]
    on_note: Callable[[str], None] = lambda line: None
    measure: Callable[[], dict[str, float]] = dict
    """What else the history says of an epoch; asked on every rank."""
    on_waits: Callable[[float, float], None] = lambda waited_s, steps_s: None
    """Before that: for how long the epoch's steps waited for batches, and how long they took."""


@as_configured
def train(
    config: TrainConfig,
    model: Tagger,
    train_set: WindowSet,
    val_set: WindowSet,
    *,
    device: torch.device,
    checkpoint: dict[str, Any] | None,
    hooks: Hooks,
    samples: SamplesToInput | None = None,
    loader: Loader | None = None,
) -> Progress:
    """Train to `config.epochs`, from a checkpoint where one is given; return how it went.

    It ends before that where there is nothing to gain (`patience`), or where its loss is no number
    (`Progress.diverged_at`). Bfloat16 is compared with float32 on a batch before it is used.
    With `samples`, the training set's windows are samples, and disturbed as such, before they
    become the log-mels that the model sees; a distiller gives them to its teachers, too. With
    `loader`, they are samples as well, and its processes make of them what the model sees, or what
    `samples` is to get.
    """
    check_selection(config.select, val_set.targets)
    model.to(device)
    optimizer = optimizer_of(model, config)
    average = copy.deepcopy(model)
    progress = restore(checkpoint, model, average, optimizer)
    progress.windows = {"learned": len(train_set), "left_out": train_set.n_left_out}
    fault = partial(_fault, model, train_set, config, device, samples, loader)
    _choose_precision(progress, config, device, fault, hooks)
    averaging = Averaging(average, model)
    _compile(model, config, hooks)
    network = shared(model, device, progress.precision)
    gradients = Gradients(config, model, network, samples, progress.precision)
    n_batches = n_steps(train_set, config, rank_and_count()[1])
    steps = _Steps(gradients, optimizer, averaging, n_batches)
    for epoch in range(progress.epoch, config.epochs):
        stale = n_stale(progress.history, config.select)
        if config.patience is not None and stale >= config.patience:
            break
        batches = _batches(train_set, config, model, loader, epoch)
        losses = steps.epoch(batches, progress, hooks, device)
        if progress.diverged_at is not None:
            return progress
        take_over_buffers(average)
        metrics = {
            "epoch": epoch + 1.0,
            "train_loss": mean_over_ranks(losses),
            **validation_figures(average, val_set, config, device, precision=progress.precision),
            **hooks.measure(),
        }
        if not all(map(math.isfinite, metrics.values())):
            progress.diverged_at = (epoch + 1) * n_batches
            return progress
        progress.history.append(metrics)
        progress.epoch = epoch + 1
        if best_row(progress.history, config.select) is metrics:
            progress.best_val_loss = metrics["val_loss"]
            progress.best_weights = weights_of(average)
        hooks.on_epoch(metrics, snapshot(progress, model, average, optimizer))
    return progress


def _batches(
    data: WindowSet, config: TrainConfig, model: Tagger, loader: Loader | None, epoch: int
) -> Iterator[Batch]:
    """Return this rank's batches of an epoch, as the loader makes them where there is one."""
    rank, n_ranks = rank_and_count()
    batches = epoch_batches(
        data,
        epoch=epoch,
        seed=config.seed,
        batch_size=config.batch_size,
        rank=rank,
        n_ranks=n_ranks,
        jitter=_moves_windows(config, model, loader),
        mixing=mixing_of(config),
    )
    return made(batches, loader, (config.seed, epoch, rank))


@dataclass(frozen=True)
class _Steps:
    """What takes a rank's steps."""

    gradients: Gradients
    optimizer: torch.optim.Optimizer
    averaging: Averaging
    n_batches: int
    """Batches of an epoch: of `TrainConfig.accumulate` of them an optimiser's step is made."""

    def epoch(
        self, batches: Iterator[Batch], progress: Progress, hooks: Hooks, device: torch.device
    ) -> list[Tensor]:
        """Learn from an epoch's batches; return this rank's share of the loss of each.

        It ends at once where a loss is no number (`Progress.diverged_at`): no later step brings
        the network back.
        """
        waits = Waits(prefetched(batches))
        began_s = perf_counter()
        seed = _seed_of(self.gradients.config.seed, progress.epoch, rank_and_count()[0])
        rng = torch.Generator(device).manual_seed(seed)
        torch.manual_seed(seed)  # dropout
        self.gradients.network.train()
        hold_frozen_norms(self.gradients.model)
        n_before = progress.epoch * self.n_batches
        losses = []
        for number, batch in enumerate(waits, start=n_before):
            losses.append(self._step(number, batch, rng))
            hooks.on_step(number + 1)
            if _has_diverged(progress, losses, n_before, is_last=self._is_last(number)):
                return losses
        hooks.on_waits(waits.waited_s, perf_counter() - began_s)
        return losses

    def _step(self, number: int, batch: Batch, rng: torch.Generator) -> Tensor:
        """Learn from a batch, numbered from 0 over all epochs; return the share of its loss."""
        config, network = self.gradients.config, self.gradients.network
        set_learning_rate(self.optimizer, number, self.n_batches * config.epochs, config)
        n_done = number % self.n_batches + 1
        is_whole = n_done % config.accumulate == 0 or self._is_last(number)
        with nullcontext() if is_whole else alone(network):
            loss = self.gradients.add(batch, rng)
        if is_whole:
            self.optimizer.step()
            self.optimizer.zero_grad(set_to_none=True)
            self.averaging.follow(min(config.ema, (1 + number) / (10 + number)))
        return loss

    def _is_last(self, number: int) -> bool:
        """Whether a batch ends its epoch."""
        return (number + 1) % self.n_batches == 0


def _moves_windows(config: TrainConfig, model: Tagger, loader: Loader | None) -> bool:
    """Whether windows begin elsewhere in their clips than at their places.

    Samples that are not randomised are shifted later (`augment_samples`).
    """
    is_of_samples = model.architecture.input_shape[0] == 1
    return loader is not None or ("shift" in config.augment and not is_of_samples)


def _choose_precision(
    progress: Progress,
    config: TrainConfig,
    device: torch.device,
    fault: Callable[[], str],
    hooks: Hooks,
) -> None:
    """Set the arithmetic of this run; a run that has gone over to float32 stays there.

    Each rank tries its own machine. Where bfloat16 is wrong on one, no rank uses it.
    """
    if progress.precision != "f32":
        precision, note = resolved(config.precision, device, fault)
        found = from_all_ranks((precision, note))
        progress.precision, progress.note = max(found)  # f32 is the larger word
        if progress.note:
            hooks.on_note(progress.note)


def _compile(model: Tagger, config: TrainConfig, hooks: Hooks) -> None:
    """Let the network compile itself at its first step, if that is wanted.

    Where one rank's machine lacks a compiler, none does, and a note says so. What is validated and
    kept is a copy that was made before, and stays as it is.
    """
    if not config.compile:
        return
    if fault := max(from_all_ranks(compiler_fault())):
        hooks.on_note(f"{NOT_COMPILED}{fault}")
    else:
        model.backbone.compile(dynamic=False)


def _fault(
    model: Tagger,
    data: WindowSet,
    config: TrainConfig,
    device: torch.device,
    samples: SamplesToInput | None,
    loader: Loader | None,
) -> str:
    """Compare both arithmetics on a batch of windows from all over the training set."""
    n = n_to_try(config.batch_size, model.architecture.input_shape)
    index = np.linspace(0, len(data) - 1, n).astype(np.int64)
    stored = data.windows(index)
    windows = torch.from_numpy(stored if loader is None else loader.work.plain(stored)).to(device)
    if samples is not None:
        windows = samples(windows, torch.Generator(device).manual_seed(0), ())
    targets = torch.from_numpy(data.targets[data.clip_of[index]]).to(device)
    return step_fault(model, windows, targets)


def _has_diverged(
    progress: Progress, losses: list[Tensor], n_before: int, *, is_last: bool
) -> bool:
    """Note the first step of this epoch, on any rank, whose loss is no number; looks now and then.

    `n_before` are the steps of the epochs before.
    """
    if is_last or len(losses) % _LOOK_EVERY == 0:
        is_bad = (~torch.isfinite(torch.stack(losses))).long()
        if rank_and_count()[1] > 1:
            dist.all_reduce(is_bad, dist.ReduceOp.MAX)
        if is_bad.any():
            progress.diverged_at = n_before + int(is_bad.argmax()) + 1
    return progress.diverged_at is not None


def snapshot(
    progress: Progress, model: Tagger, average: Tagger, optimizer: torch.optim.Optimizer
) -> dict[str, Any]:
    """Return the checkpoint: tensors and plain values only."""
    return {
        "progress": vars(progress),
        "model": model.state_dict(),
        "average": average.state_dict(),
        "optimizer": optimizer.state_dict(),
    }


def restore(
    checkpoint: dict[str, Any] | None,
    model: Tagger,
    average: Tagger,
    optimizer: torch.optim.Optimizer,
) -> Progress:
    """Load a checkpoint, where there is one, and return the progress it holds."""
    if checkpoint is None:
        return Progress()
    model.load_state_dict(checkpoint["model"])
    average.load_state_dict(checkpoint["average"])
    optimizer.load_state_dict(checkpoint["optimizer"])
    return Progress(**checkpoint["progress"])


def _seed_of(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Return a copy of a model's weights, on the CPU."""
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
