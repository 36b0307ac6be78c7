"""A pool and its soft targets in, the starter's network out."""

from __future__ import annotations

import copy
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.arrays import Float32, Int64
from pipeline.models.engines.precision import autocast, has_fast_bf16
from pipeline.models.model import Architecture, Tagger
from pipeline.models.networks.compact import Compact
from starter_steps.notes import CODES
from starter_steps.pool import INPUT_SPEC, WINDOWS
from starter_steps.teacher import masked_loss

CPU = torch.device("cpu")

ARCHITECTURE = Architecture(
    name="compact",
    n_classes=len(CODES),
    dropout=0.3,
    input_shape=(INPUT_SPEC.n_rows, WINDOWS.n_frames(INPUT_SPEC)),
)


@dataclass(frozen=True)
class StudentConfig:
    """How it is trained."""

    n_steps: int = 6000
    batch: int = 64
    lr: float = 2e-3
    soft: float = 0.6
    """Share of the loss that is against the teachers' scores."""
    embeddings: float = 0.3
    """Weight of the error at predicting what the teachers make of a window."""
    seed: int = 0
    mix: float = 0.3
    """Share of the windows that another one of the batch sounds in as well."""


class Batch(NamedTuple):
    """Windows in dB, `[n, n_mels, n_frames]`, and what they are of, `[n, n_classes]`."""

    mels: Tensor
    targets: Tensor
    is_known: Tensor
    soft: Tensor
    features: Tensor
    """The teachers', standardised, `[n, n_features]`."""
    is_pure: Tensor
    """1 where no other window was added, `[n, 1]`: features are of the window alone."""


def train_student(pool: Mapping[str, Float32], soft: Float32, config: StudentConfig) -> Tagger:
    """Return the running mean of a network that learns from the pool; one line every 100 steps."""
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    tagger = Tagger(ARCHITECTURE).train()
    mean = copy.deepcopy(tagger).eval()
    standard = _standardised(pool["features"])
    network = tagger.backbone
    assert isinstance(network, Compact)
    further = nn.Linear(network.head.in_features, standard.shape[1])  # it does not ship
    seen: list[Tensor] = []
    network.embedding.register_forward_hook(lambda _, __, out: seen.append(out))
    parameters = [*tagger.parameters(), *further.parameters()]
    optimizer = torch.optim.AdamW(parameters, config.lr, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config.lr, config.n_steps, pct_start=0.1
    )
    batches = _batches(len(soft), config.batch, rng)
    for step in range(config.n_steps):
        batch = mixed_in(_taken(pool, soft, standard, next(batches)), config.mix)
        windows = masked(tagger.scaled(tilted(batch.mels)), rng)
        with autocast(CPU, "bf16" if has_fast_bf16(CPU) else "f32"):
            logits = network(windows).float()
            standards = further(seen.pop()).float()
        wrong = (standards - batch.features).square().mean(dim=1, keepdim=True)
        beside = (wrong * batch.is_pure).sum() / batch.is_pure.sum().clamp(min=1)
        loss = _loss(logits, batch, config.soft) + config.embeddings * beside
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 5.0)
        optimizer.step()
        schedule.step()
        _follow(mean, tagger, min(0.998, (1 + step) / (10 + step)))
        if step % 100 == 0:
            print(f"student {step}: {loss.item():.4f}", flush=True)
    return mean


def _standardised(features: Float32) -> npt.NDArray[np.float16]:
    some = features[:10_000].astype(np.float32)
    scaled = (features - some.mean(axis=0)) / (some.std(axis=0) + 1e-3)
    return np.asarray(np.clip(scaled, -4, 4), np.float16)


def _taken(
    pool: Mapping[str, Float32], soft: Float32, standard: npt.NDArray[np.float16], rows: Int64
) -> Batch:
    mels, targets, is_known = (pool[key][rows] for key in ("mels", "targets", "is_known"))
    found = mels, targets, is_known, soft[rows], standard[rows], np.ones((len(rows), 1))
    return Batch(*(torch.from_numpy(one).float() for one in found))


def _batches(n: int, size: int, rng: np.random.Generator) -> Iterator[Int64]:
    if n < size:
        raise SystemExit(f"{n} windows are left to learn from; expected {size} or more")
    while True:
        order = rng.permutation(n)
        for start in range(0, n - size + 1, size):
            yield order[start : start + size]


def _loss(logits: Tensor, batch: Batch, soft: float) -> Tensor:
    hard = masked_loss(logits, batch.targets, batch.is_known)
    return (1 - soft) * hard + soft * functional.binary_cross_entropy_with_logits(
        logits, batch.soft
    )


def mixed_in(batch: Batch, share: float) -> Batch:
    """Return windows some of which have another one's power added, -6 to 6 dB over their own."""
    n = len(batch.mels)
    other = torch.randperm(n)
    is_mixed = torch.rand(n) < share
    gain_db = torch.empty(n, 1, 1).uniform_(-6, 6)
    peaks = batch.mels.amax(dim=(1, 2), keepdim=True)
    beside = batch.mels[other] - peaks[other] + peaks + gain_db
    total = 10 * torch.log10(10 ** (batch.mels / 10) + 10 ** (beside / 10))
    targets = torch.maximum(batch.targets, batch.targets[other])
    is_known = torch.maximum(batch.is_known * batch.is_known[other], targets)
    soft = 1 - (1 - batch.soft) * (1 - batch.soft[other])
    new = (total, targets, is_known, soft, batch.features, torch.zeros(n, 1))
    return Batch(*(_where(is_mixed, a, b) for a, b in zip(new, batch, strict=True)))


def _where(is_new: Tensor, new: Tensor, old: Tensor) -> Tensor:
    return torch.where(is_new.view(-1, *[1] * (old.ndim - 1)), new, old)


def tilted(mels: Tensor) -> Tensor:
    """Return windows in dB with up to 3 dB more at one end of the bands than in their middle."""
    n, n_mels, _ = mels.shape
    slope = torch.linspace(-0.5, 0.5, n_mels)[None, :, None]
    return mels + torch.empty(n, 1, 1).uniform_(-6, 6) * slope


def masked(windows: Tensor, rng: np.random.Generator) -> Tensor:
    """Return scaled windows with some bands and some frames silent."""
    windows = windows.clone()
    n_mels, n_frames = windows.shape[1:]
    for window in windows:
        if rng.random() < 0.5:
            first = rng.integers(0, n_mels - 9)
            window[first : first + rng.integers(1, 10)] = -1
        if rng.random() < 0.3:
            first = rng.integers(0, n_frames - 15)
            window[:, first : first + rng.integers(1, 16)] = -1
    return windows


@torch.no_grad()
def scores_of(tagger: Tagger, windows: npt.NDArray[Any]) -> Float32:
    """Return scores, `[n, n_classes]`, of windows as they are stored, `[n, n_mels, n_frames]`."""
    parts = torch.split(torch.from_numpy(windows), 64)
    return np.asarray(torch.cat([tagger(part).sigmoid() for part in parts]).numpy())


@torch.no_grad()
def _follow(mean: Tagger, tagger: Tagger, decay: float) -> None:
    for kept, new in zip(mean.state_dict().values(), tagger.state_dict().values(), strict=True):
        if kept.is_floating_point():
            kept.lerp_(new, 1 - decay)
        else:
            kept.copy_(new)
