"""A model and two window sets in, epochs of training out: a checkpoint holds all of the state.

The loop reads from top to bottom: batches, step, validate, report. It runs on one process or,
inside an initialised torch.distributed group, on many; every window is seen once an epoch and
weighs the same.
"""

from __future__ import annotations

import copy
import math
import os
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.algorithms.ddp_comm_hooks.default_hooks import bf16_compress_hook
from torch.nn.parallel import DistributedDataParallel

from pipeline.arrays import Float32
from pipeline.evaluation.labels.aggregate import aggregate, equal_on_clips
from pipeline.evaluation.labels.targets import is_known, is_there
from pipeline.models.engines.compiler import NOT_COMPILED, compiler_fault
from pipeline.models.engines.engines import TorchEngine
from pipeline.models.engines.precision import autocast, resolved, step_fault
from pipeline.models.model import Tagger
from pipeline.models.networks.parts.blocks import hold_frozen_norms
from pipeline.training.augmenting.augment import augment, augment_samples, masks
from pipeline.training.averaging import Averaging
from pipeline.training.config import TrainConfig
from pipeline.training.data.epochs import Mixing, epoch_batches, n_steps, prefetched
from pipeline.training.data.loader import Loader, Waits, made
from pipeline.training.data.windows import Batch, WindowSet
from pipeline.training.determinism import as_configured
from pipeline.training.losses import one_label_losses, window_losses
from pipeline.training.regression.checks import REGRESSION
from pipeline.training.regression.figures import absolute_errors, clip_errors
from pipeline.training.schedule import optimizer_of, set_learning_rate
from pipeline.training.selection import METHODS, best_row, check_selection, figures, n_stale
from pipeline.training.spectra.logmel import SamplesToLogMel
from pipeline.training.transfer.distillation import Distiller, joint_losses, students_own
from pipeline.training.triplets import triplet_losses, with_embeddings

SamplesToInput = SamplesToLogMel | Distiller
"""What makes the model's input of windows of samples; of a distiller also soft targets."""
_LOOK_EVERY = 100  # steps between two looks at the losses: a look waits for the GPU
_MOST_TRIED = 64  # windows on which bfloat16 is compared with float32


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
    rank, n_ranks = _rank()
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
    network = _shared(model, device, progress.precision)
    mixing = Mixing(config.sampling, config.mix_min, config.mix_max, balance=config.balance)
    steps = n_steps(mixing.size(train_set), batch_size=config.batch_size, n_ranks=n_ranks)
    for epoch in range(progress.epoch, config.epochs):
        stale = n_stale(progress.history, config.select)
        if config.patience is not None and stale >= config.patience:
            break
        batches = epoch_batches(
            train_set,
            epoch=epoch,
            seed=config.seed,
            batch_size=config.batch_size,
            rank=rank,
            n_ranks=n_ranks,
            jitter=_moves_windows(config, model, loader),
            mixing=mixing,
        )
        waits = Waits(prefetched(made(batches, loader, (config.seed, epoch, rank))))
        began_s = perf_counter()
        rng = torch.Generator(device).manual_seed(_seed_of(config.seed, epoch, rank))
        torch.manual_seed(_seed_of(config.seed, epoch, rank))  # dropout
        network.train()
        hold_frozen_norms(model)
        losses = []
        for number, batch in enumerate(waits, start=epoch * steps):
            set_learning_rate(optimizer, number, steps * config.epochs, config)
            is_last = number + 1 == (epoch + 1) * steps
            steps_now = (number + 1 - epoch * steps) % config.accumulate == 0 or is_last
            with nullcontext() if steps_now else _alone(network):
                loss = _backward(
                    model, network, batch, config, rng, n_ranks, samples, progress.precision
                )
                losses.append(loss)
            if steps_now:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                averaging.follow(min(config.ema, (1 + number) / (10 + number)))
            hooks.on_step(number + 1)
            if _has_diverged(progress, losses, epoch * steps, is_last=is_last):
                return progress  # no later step brings it back
        hooks.on_waits(waits.waited_s, perf_counter() - began_s)
        _take_over_buffers(average)
        metrics = {
            "epoch": epoch + 1.0,
            "train_loss": _mean(losses),
            **validation_figures(average, val_set, config, device, precision=progress.precision),
            **hooks.measure(),
        }
        if not all(map(math.isfinite, metrics.values())):
            progress.diverged_at = (epoch + 1) * steps
            return progress
        progress.history.append(metrics)
        progress.epoch = epoch + 1
        if best_row(progress.history, config.select) is metrics:
            progress.best_val_loss = metrics["val_loss"]
            progress.best_weights = weights_of(average)
        hooks.on_epoch(metrics, snapshot(progress, model, average, optimizer))
    return progress


def _shared(model: Tagger, device: torch.device, precision: str) -> nn.Module:
    """Return the network whose gradients all ranks share; of one rank, the model itself.

    Between nodes of GPUs that compute in bfloat16 gradients are sent in it, too: half the bytes.
    """
    n_ranks = _rank()[1]
    if n_ranks == 1:
        return model
    network = DistributedDataParallel(model, gradient_as_bucket_view=True)
    n_here = int(os.environ.get("LOCAL_WORLD_SIZE", n_ranks))
    if sends_bf16(n_here, n_ranks, device, precision):
        network.register_comm_hook(None, bf16_compress_hook)
    return network


def sends_bf16(n_here: int, n_ranks: int, device: torch.device, precision: str) -> bool:
    """Say whether gradients are sent in bfloat16, with `n_here` of all ranks on this node."""
    return n_here < n_ranks and device.type == "cuda" and precision == "bf16"


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
        found = _from_all_ranks((precision, note))
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
    if fault := max(_from_all_ranks(compiler_fault())):
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
    n = min(max(2, config.batch_size), _MOST_TRIED)
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
        if _rank()[1] > 1:
            dist.all_reduce(is_bad, dist.ReduceOp.MAX)
        if is_bad.any():
            progress.diverged_at = n_before + int(is_bad.argmax()) + 1
    return progress.diverged_at is not None


def _alone(network: nn.Module) -> AbstractContextManager[None]:
    """Let a rank keep its gradients to itself, as long as more are to be added to them."""
    return network.no_sync() if isinstance(network, DistributedDataParallel) else nullcontext()


def _take_over_buffers(model: nn.Module) -> None:
    """Give every rank the first one's running statistics: its weights are those that are kept."""
    if _rank()[1] > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)


def _backward(
    model: Tagger,
    network: nn.Module,
    batch: Batch,
    config: TrainConfig,
    rng: torch.Generator,
    n_ranks: int,
    samples: SamplesToInput | None,
    precision: str,
) -> Tensor:
    """Add a batch's gradients; return this rank's share of the mean loss over all ranks."""
    device = rng.device
    windows = torch.from_numpy(batch.windows).to(device, non_blocking=True)
    targets = torch.from_numpy(batch.targets).to(device, non_blocking=True)
    soft = None
    if isinstance(samples, Distiller):
        windows, targets, soft = samples.taught(windows, targets, rng, config.augment)
        config = students_own(config)
    elif samples is not None:
        windows = samples(windows, rng, config.augment)
    windows = model.resized(windows)
    weights = torch.from_numpy(batch.weights).to(device, non_blocking=True)
    windows, targets = augmented(model, windows, targets, config, rng)
    losses, logits = _losses(config, network, model, windows, targets, precision)
    if soft is not None:
        losses = joint_losses(logits, targets, soft, config.hard_share)
    total = (losses * weights).sum() / batch.n_global
    scaled = total * n_ranks / config.accumulate  # DDP takes the mean over ranks, we want the sum
    scaled.backward()  # type: ignore[no-untyped-call]
    return total.detach()


def _losses(
    config: TrainConfig,
    network: nn.Module,
    model: Tagger,
    windows: Tensor,
    targets: Tensor,
    precision: str,
) -> tuple[Tensor, Tensor]:
    """Return the losses of a batch's windows by the task and its loss, `[n]`, and its logits."""
    if config.loss == "triplet":
        with autocast(windows.device, precision):
            logits, embeddings = with_embeddings(network, model, windows)
        logits = logits.float()
        return window_losses(logits, targets) + triplet_losses(embeddings, targets), logits
    with autocast(windows.device, precision):
        logits = network(windows).float()
    if config.task == REGRESSION:
        is_linear = config.output_activation == "linear"
        return absolute_errors(logits if is_linear else logits.sigmoid(), targets), logits
    of_windows = one_label_losses if config.loss == "softmax" else window_losses
    return of_windows(logits, targets), logits


def augmented(
    model: Tagger, windows: Tensor, targets: Tensor, config: TrainConfig, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Disturb windows as fits what they are: dB, samples, or rows of a feature."""
    if (unit := model.db_per_unit) is not None:
        windows, targets = augment(windows * unit, targets, rng, config.augment)
        return windows / unit, targets
    if model.architecture.input_shape[0] == 1:
        samples, targets = augment_samples(
            model.levelled(windows)[:, 0],
            targets,
            rng,
            config.augment,
            mean=model.row_mean,
            deviation=model.row_deviation,
        )
        return samples[:, None], targets
    if "masks" in config.augment:  # by rows of like scale: a window's mean means nothing in hertz
        scaled = masks(model.scaled(windows), rng)
        windows = scaled * model.row_deviation + model.row_mean
    return windows, targets


def clip_scores(
    model: Tagger,
    data: WindowSet,
    aggregation: str,
    device: torch.device,
    *,
    precision: str = "f32",
) -> Float32:
    """Return the score of every clip, `[n_clips, n_classes]`, gathered from all ranks by clip."""
    return clip_scores_by(model, data, [aggregation], device, precision=precision)[aggregation]


def validation_figures(
    model: Tagger, data: WindowSet, config: TrainConfig, device: torch.device, *, precision: str
) -> dict[str, float]:
    """Return what an epoch's row of the history says of the validation clips (`selection`)."""
    aggregation = config.aggregation
    if config.task == REGRESSION:
        predicted = clip_scores(model, data, aggregation, device, precision=precision)
        return clip_errors(predicted, data.targets)
    scores = clip_scores_by(model, data, [aggregation, *METHODS], device, precision=precision)
    judged = {method: clip_metrics(found, data.targets) for method, found in scores.items()}
    return figures(judged, scores[aggregation], data.targets, aggregation)


@torch.inference_mode()
def clip_scores_by(
    model: Tagger,
    data: WindowSet,
    methods: Sequence[str],
    device: torch.device,
    *,
    precision: str = "f32",
) -> dict[str, Float32]:
    """Return the score of every clip by several aggregations; each window is scored once."""
    rank, n_ranks = _rank()
    engine = TorchEngine(model.eval(), device, precision=precision)
    mine = {}
    for clip in range(rank, len(data.matrices), n_ranks):
        scores, _ = engine.scores(data.clip_windows(clip))
        mine[clip] = {method: aggregate(scores, equal_on_clips(method)) for method in methods}
    by_clip = {k: scores for part in _from_all_ranks(mine) for k, scores in part.items()}
    clips = range(len(data.matrices))
    return {
        method: np.stack([by_clip[clip][method] for clip in clips]).astype(np.float32)
        for method in methods
    }


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


def clip_metrics(scores: Float32, targets: Float32) -> dict[str, float]:
    """Return what an epoch is judged by: loss and macro F1 of clips, `[n_clips, n_classes]`.

    What is unknown (NaN) is left out. `val_macro_f1` is the mean over the classes that are there,
    `val_macro_f1_all` over all: one without clips has F1 0.
    """
    known, clipped = is_known(targets), np.clip(scores, 1e-6, 1 - 1e-6)
    losses = -(targets * np.log(clipped) + (1 - targets) * np.log(1 - clipped))
    there, named = is_there(targets), (scores >= 0.5) & known
    both = there.sum(axis=0) + named.sum(axis=0)
    f1 = 2 * (there & named).sum(axis=0) / np.maximum(1, both)
    return {
        "val_loss": float(np.mean(losses[known])) if known.any() else 0.0,
        "val_macro_f1": float(f1[there.any(axis=0)].mean()) if there.any() else 0.0,
        "val_macro_f1_all": float(f1.mean()),
    }


def _mean(losses: list[Tensor]) -> float:
    total = torch.stack(losses).mean()
    if _rank()[1] > 1:
        dist.all_reduce(total)  # each rank holds its share of the mean
    return float(total)


def _from_all_ranks(found: Any) -> list[Any]:
    """Return what each rank has found, by rank."""
    all_found = [found] * _rank()[1]
    if len(all_found) > 1:
        dist.all_gather_object(all_found, found)
    return all_found


def _rank() -> tuple[int, int]:
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def _seed_of(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Return a copy of a model's weights, on the CPU."""
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
