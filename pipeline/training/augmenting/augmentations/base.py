"""What an augmentation is: a batch of windows, their targets and a generator in; both out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

LOG_MELS, SAMPLES = "log-mels", "samples"


@dataclass(frozen=True)
class Augmentation:
    """One way to disturb the windows of a batch."""

    name: str
    """Name of the augmentation, as `jobs.train --augment` takes it."""
    domain: str
    """`LOG_MELS` or `SAMPLES`: where a network sees something else, the augmentation is skipped."""
    apply: Callable[[Tensor, Tensor, torch.Generator], tuple[Tensor, Tensor]]
    """From windows, `[n, n_mels, n_frames]` in dB or `[n, n_samples]`, and targets,
    `[n, n_classes]`: the same shapes. What is drawn comes from the generator only."""


def uniform(n: int, low: float, high: float, like: Tensor, rng: torch.Generator) -> Tensor:
    """Draw `n` numbers from `low` to `high`; they are on the device of `like`."""
    draw = torch.rand(n, generator=rng, device=rng.device)
    return (low + (high - low) * draw).to(like.device)
