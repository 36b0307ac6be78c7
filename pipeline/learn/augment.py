"""Log-mel windows in, disturbed ones out, by a seeded generator. Torch, any device.

Spectrogram masks are the report's: two along frequency and two along time, each up to 10 % of the
axis, filled with the window's mean (after SpecAugment, Park et al. 2019). Level and tilt imitate
other recordings of the instrument; mixing adds the powers of two windows and joins their labels.
"""

from __future__ import annotations

import torch
from torch import Tensor

N_MASKS = 2
MASK_SHARE = 0.1
LEVEL_DB = 6.0
TILT_DB = 9.0
MIX_SHARE = 0.3


def augment(windows_db: Tensor, targets: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return windows, `[n, n_mels, n_frames]` in dB, and targets, `[n, n_classes]`, disturbed."""
    windows_db, targets = mix(windows_db, targets, rng)
    windows_db = tilt(windows_db, rng)
    for axis in (1, 2):
        for _ in range(N_MASKS):
            windows_db = mask(windows_db, axis, rng)
    return windows_db, targets


def mask(windows_db: Tensor, axis: int, rng: torch.Generator) -> Tensor:
    """Return the windows with one band of `axis`, 0 to 10 % wide, set to each window's mean."""
    n, size = len(windows_db), windows_db.shape[axis]
    width = _uniform(n, 0, MASK_SHARE * size, windows_db, rng)
    start = _uniform(n, 0, 1, windows_db, rng) * (size - width)
    position = torch.arange(size, device=windows_db.device)
    inside = (position >= start[:, None]) & (position < (start + width)[:, None])
    inside = inside.unsqueeze(2 if axis == 1 else 1)
    return torch.where(inside, windows_db.mean(dim=(1, 2), keepdim=True), windows_db)


def tilt(windows_db: Tensor, rng: torch.Generator) -> Tensor:
    """Return the windows at another level and with a linear tilt over the mel bands."""
    n, n_mels = windows_db.shape[:2]
    level = _uniform(n, -LEVEL_DB, LEVEL_DB, windows_db, rng)
    slope = _uniform(n, -TILT_DB, TILT_DB, windows_db, rng)
    ramp = torch.linspace(-0.5, 0.5, n_mels, device=windows_db.device)
    return windows_db + (level[:, None] + slope[:, None] * ramp)[:, :, None]


def mix(windows_db: Tensor, targets: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the windows, a share of them with another window of the batch played along."""
    n = len(windows_db)
    partner = torch.randperm(n, generator=rng, device=rng.device).to(windows_db.device)
    gain_db = _uniform(n, -6, 6, windows_db, rng)[:, None, None]
    chosen = _uniform(n, 0, 1, windows_db, rng) < MIX_SHARE
    other_db = (windows_db[partner] + gain_db)[chosen]
    power = 10 ** (windows_db[chosen] / 10) + 10 ** (other_db / 10)
    mixed = windows_db.clone()
    mixed[chosen] = 10 * torch.log10(power)
    return mixed, torch.where(chosen[:, None], torch.maximum(targets, targets[partner]), targets)


def _uniform(n: int, low: float, high: float, like: Tensor, rng: torch.Generator) -> Tensor:
    draw = torch.rand(n, generator=rng, device=rng.device)
    return (low + (high - low) * draw).to(like.device)
