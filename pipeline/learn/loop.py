"""A model and two window sets in, epochs of training out: a checkpoint holds all of the state.

The loop reads from top to bottom: batches, step, validate, report. It runs on one process or,
inside an initialised torch.distributed group, on many; every window is seen once an epoch and
weighs the same.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from pipeline.learn.augment import augment, augment_samples, masks
from pipeline.learn.config import TrainConfig
from pipeline.learn.epochs import Mixing, epoch_batches, n_steps, prefetched
from pipeline.learn.logmel import SamplesToLogMel
from pipeline.learn.model import Tagger
from pipeline.learn.schedule import learning_rate, optimizer_of
from pipeline.learn.windows import Batch, WindowSet
from pipeline.score.aggregate import aggregate


@dataclass
class Progress:
    """The state of a run between epochs; with model and optimiser it is the checkpoint."""

    epoch: int = 0
    """Epochs done."""
    best_val_loss: float = float("inf")
    best_weights: dict[str, Tensor] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    windows: dict[str, int] = field(default_factory=dict)
    """Of the training set: those learned from, and those left out as silence or noise."""


@dataclass(frozen=True)
class Hooks:
    """What the caller wants to hear: after each step, and after each epoch with the checkpoint."""

    on_step: Callable[[int], None]
    on_epoch: Callable[[dict[str, float], dict[str, Any]], None]


def train(
    config: TrainConfig,
    model: Tagger,
    train_set: WindowSet,
    val_set: WindowSet,
    *,
    device: torch.device,
    checkpoint: dict[str, Any] | None,
    hooks: Hooks,
    samples: SamplesToLogMel | None = None,
) -> Progress:
    """Train to `config.epochs`, from a checkpoint where one is given; return how it went.

    It ends before that where there is nothing to gain (`patience`), or its loss is no number.
    With `samples`, the training set's windows are samples, and disturbed as such, before they
    become the log-mels that the model hears.
    """
    rank, n_ranks = _rank()
    model.to(device)
    optimizer = optimizer_of(model, config)
    average = copy.deepcopy(model)
    progress = restore(checkpoint, model, average, optimizer)
    progress.windows = {"learned": len(train_set), "left_out": train_set.n_left_out}
    network = DistributedDataParallel(model, gradient_as_bucket_view=True) if n_ranks > 1 else model
    mixing = Mixing(config.sampling, config.mix_min, config.mix_max, balance=config.balance)
    steps = n_steps(mixing.size(train_set), batch_size=config.batch_size, n_ranks=n_ranks)
    for epoch in range(progress.epoch, config.epochs):
        if config.patience is not None and _stale(progress) >= config.patience:
            break
        batches = epoch_batches(
            train_set,
            epoch=epoch,
            seed=config.seed,
            batch_size=config.batch_size,
            rank=rank,
            n_ranks=n_ranks,
            jitter="shift" in config.augment and model.architecture.input_shape[0] > 1,
            mixing=mixing,
        )
        rng = torch.Generator(device).manual_seed(_seed_of(config.seed, epoch, rank))
        torch.manual_seed(_seed_of(config.seed, epoch, rank))  # dropout
        network.train()
        losses = []
        for number, batch in enumerate(prefetched(batches), start=epoch * steps):
            for group in optimizer.param_groups:
                total = steps * config.epochs
                group["lr"] = learning_rate(number, total, config, group["span"])
            is_last = number + 1 == (epoch + 1) * steps
            steps_now = (number + 1 - epoch * steps) % config.accumulate == 0 or is_last
            with nullcontext() if steps_now else _alone(network):
                losses.append(_backward(model, network, batch, config, rng, n_ranks, samples))
            if steps_now:
                optimizer.step()
                optimizer.zero_grad(set_to_none=True)
                follow(average, model, decay=min(config.ema, (1 + number) / (10 + number)))
            hooks.on_step(number + 1)
        _take_over_buffers(average)
        scores = clip_scores(average, val_set, config.aggregation, device)
        metrics = {
            "epoch": epoch + 1.0,
            "train_loss": _mean(losses),
            **clip_metrics(scores, val_set.targets),
        }
        if not all(map(math.isfinite, metrics.values())):
            break  # it has diverged, and no later step brings it back
        progress.history.append(metrics)
        progress.epoch = epoch + 1
        if metrics["val_loss"] < progress.best_val_loss:
            progress.best_val_loss = metrics["val_loss"]
            progress.best_weights = weights_of(average)
        hooks.on_epoch(metrics, snapshot(progress, model, average, optimizer))
    return progress


def _alone(network: nn.Module) -> AbstractContextManager[None]:
    """Let a rank keep its gradients to itself, as long as more are to be added to them."""
    return network.no_sync() if isinstance(network, DistributedDataParallel) else nullcontext()


def _take_over_buffers(model: nn.Module) -> None:
    """Give every rank the first one's running statistics: its weights are those that are kept."""
    if _rank()[1] > 1:
        for buffer in model.buffers():
            dist.broadcast(buffer, 0)


def _stale(progress: Progress) -> int:
    """Return how many epochs ago the best one was."""
    losses = [row["val_loss"] for row in progress.history]
    return len(losses) - 1 - losses.index(min(losses)) if losses else 0


def _backward(
    model: Tagger,
    network: nn.Module,
    batch: Batch,
    config: TrainConfig,
    rng: torch.Generator,
    n_ranks: int,
    samples: SamplesToLogMel | None,
) -> Tensor:
    """Add a batch's gradients; return this rank's share of the mean loss over all ranks."""
    device = rng.device
    windows = torch.from_numpy(batch.windows).to(device, non_blocking=True)
    if samples is not None:
        windows = samples(windows, rng, config.augment)
    windows = model.resized(windows)
    targets = torch.from_numpy(batch.targets).to(device, non_blocking=True)
    weights = torch.from_numpy(batch.weights).to(device, non_blocking=True)
    windows, targets = augmented(model, windows, targets, config, rng)
    with torch.autocast(device.type, torch.bfloat16, enabled=has_fast_bf16(device)):
        logits = network(windows).float()
    loss = nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    total = (loss.mean(dim=1) * weights).sum() / batch.n_global
    scaled = total * n_ranks / config.accumulate  # DDP takes the mean over ranks, we want the sum
    scaled.backward()  # type: ignore[no-untyped-call]
    return total.detach()


def augmented(
    model: Tagger, windows: Tensor, targets: Tensor, config: TrainConfig, rng: torch.Generator
) -> tuple[Tensor, Tensor]:
    """Disturb windows as fits what they are: dB, samples, or rows of a feature."""
    if model.architecture.below_peak:
        return augment(windows, targets, rng, config.augment)
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


@torch.inference_mode()
def clip_scores(
    model: Tagger, data: WindowSet, aggregation: str, device: torch.device
) -> npt.NDArray[np.float32]:
    """Return the score of every clip, `[n_clips, n_classes]`, gathered from all ranks by clip."""
    rank, n_ranks = _rank()
    model.eval()
    mine = {
        clip: aggregate(window_scores(model, data.clip_windows(clip), device), aggregation)
        for clip in range(rank, len(data.matrices), n_ranks)
    }
    gathered: list[Any] = [mine]
    if n_ranks > 1:
        gathered = [None] * n_ranks
        dist.all_gather_object(gathered, mine)
    by_clip = {clip: scores for part in gathered for clip, scores in part.items()}
    return np.stack([by_clip[clip] for clip in range(len(data.matrices))]).astype(np.float32)


@torch.inference_mode()
def window_scores(
    model: Tagger, windows: npt.NDArray[Any], device: torch.device, *, batch_size: int = 32
) -> npt.NDArray[np.float32]:
    """Return the sigmoid outputs of windows, `[n, n_classes]`; the one inference path."""
    parts = [np.zeros((0, model.architecture.n_classes), np.float32)]
    for start in range(0, len(windows), batch_size):
        batch = torch.from_numpy(windows[start : start + batch_size]).to(device)
        with torch.autocast(device.type, torch.bfloat16, enabled=has_fast_bf16(device)):
            logits = model(batch)
        parts.append(torch.sigmoid(logits.float()).cpu().numpy())
    return np.concatenate(parts)


def has_fast_bf16(device: torch.device) -> bool:
    """Say whether bfloat16 is the faster one: GPUs since Ampere, CPUs with AMX or AVX-512-BF16."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return bool(torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported())


@torch.no_grad()
def follow(average: nn.Module, model: nn.Module, *, decay: float) -> None:
    """Move the running mean of the weights, buffers included, towards the model's."""
    old, new = average.state_dict(), model.state_dict()
    floating = [name for name, mean in old.items() if mean.is_floating_point()]
    torch._foreach_lerp_([old[n] for n in floating], [new[n] for n in floating], 1 - decay)
    for name in old.keys() - set(floating):
        old[name].copy_(new[name])


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


def clip_metrics(
    scores: npt.NDArray[np.float32], targets: npt.NDArray[np.float32]
) -> dict[str, float]:
    """Return what an epoch is judged by: loss and macro F1 of clips, `[n_clips, n_classes]`."""
    clipped = np.clip(scores, 1e-6, 1 - 1e-6)
    val_loss = -np.mean(targets * np.log(clipped) + (1 - targets) * np.log(1 - clipped))
    there, named = targets > 0.5, scores >= 0.5
    both = there.sum(axis=0) + named.sum(axis=0)
    f1 = 2 * (there & named).sum(axis=0) / np.maximum(1, both)
    return {"val_loss": float(val_loss), "val_macro_f1": float(f1.mean())}


def _mean(losses: list[Tensor]) -> float:
    total = torch.stack(losses).mean()
    if _rank()[1] > 1:
        dist.all_reduce(total)  # each rank holds its share of the mean
    return float(total)


def _rank() -> tuple[int, int]:
    if dist.is_available() and dist.is_initialized():
        return dist.get_rank(), dist.get_world_size()
    return 0, 1


def _seed_of(*parts: int) -> int:
    return int(np.random.SeedSequence(parts).generate_state(1)[0])


def weights_of(model: nn.Module) -> dict[str, Tensor]:
    """Return a copy of a model's weights, on the CPU."""
    return {name: tensor.detach().cpu().clone() for name, tensor in model.state_dict().items()}
