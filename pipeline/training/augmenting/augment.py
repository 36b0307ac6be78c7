"""Windows in, disturbed ones out, by a seeded generator. Torch, any device.

On samples (the report's ranges): noise, pitch, time shift. On log-mels: masks, two along frequency
and two along time, each up to 10 % of the axis and filled with the window's mean (after
SpecAugment, Park et al. 2019); tilt, as other recordings of the instrument have it. On both:
mixing, which adds two windows and joins their labels. Each has a name and can be left out.
"""

from __future__ import annotations

import torch
from torch import Tensor

from pipeline.models.names import AUGMENTATIONS as AUGMENTATIONS
from pipeline.seams import declared
from pipeline.training.augmenting.augmentations.base import LOG_MELS, SAMPLES, Augmentation, uniform
from pipeline.training.augmenting.pitch import pitch
from pipeline.training.data.epochs import GAIN_DB
from pipeline.training.data.window_set import MOST_CHANGE_DB, SHIFT_SHARE
from pipeline.training.step.losses import joined

MORE: tuple[Augmentation, ...] = tuple(
    declared("pipeline.training.augmenting.augmentations", "AUGMENTATION")
)
"""What follows those of this file: a file each."""

N_MASKS = 2
MASK_SHARE = 0.1
TILT_DB = 9.0
MIX_SHARE = 0.3
NOISE = 0.005


def augment(
    windows_db: Tensor, targets: Tensor, rng: torch.Generator, names: tuple[str, ...]
) -> tuple[Tensor, Tensor]:
    """Return log-mels, `[n, n_mels, n_frames]` in dB, and targets, `[n, n_classes]`, disturbed."""
    if "mix" in names:
        windows_db, targets = mix(windows_db, targets, rng)
    if "tilt" in names:
        windows_db = tilt(windows_db, rng)
    if "masks" in names:
        windows_db = masks(windows_db, rng)
    return _more(LOG_MELS, windows_db, targets, rng, names)


def augment_samples(
    samples: Tensor,
    targets: Tensor,
    rng: torch.Generator,
    names: tuple[str, ...],
    *,
    mean: Tensor,
    deviation: Tensor,
) -> tuple[Tensor, Tensor]:
    """Return samples, `[n, n_samples]`, and targets disturbed; given their mean and deviation."""
    if "pitch" in names:
        samples = pitch(samples, rng)
    if "shift" in names:
        samples = shift(samples, rng)
    if "mix" in names:
        samples, targets = mix_samples(samples, targets, rng)
    if "noise" in names:
        samples = noise(samples, rng, mean=mean, deviation=deviation)
    return _more(SAMPLES, samples, targets, rng, names)


def _more(
    domain: str, windows: Tensor, targets: Tensor, rng: torch.Generator, names: tuple[str, ...]
) -> tuple[Tensor, Tensor]:
    """Return windows and targets disturbed by what `MORE` has for windows of a kind."""
    for one in MORE:
        if one.domain == domain and one.name in names:
            windows, targets = one.apply(windows, targets, rng)
    return windows, targets


def noise(samples: Tensor, rng: torch.Generator, *, mean: Tensor, deviation: Tensor) -> Tensor:
    """Return x + 0.005 n, n Gaussian with the training set's mean and deviation."""
    drawn = torch.randn(samples.shape, generator=rng, device=rng.device).to(samples.device)
    return samples + NOISE * (mean + deviation * drawn)


def shift(samples: Tensor, rng: torch.Generator) -> Tensor:
    """Return each row moved by -40 to 40 % of its length; what leaves at one end comes in again."""
    n, length = samples.shape
    by = uniform(n, -SHIFT_SHARE * length, SHIFT_SHARE * length, samples, rng).round().long()
    at = (torch.arange(length, device=samples.device) - by[:, None]) % length
    return samples.gather(1, at)


def mix_samples(samples: Tensor, targets: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the rows, a share of them with another row of the batch played along."""
    power = samples.square().mean(dim=1)
    partner, gain_db, chosen = _partners(power, rng)
    other = samples[partner] * (10 ** (gain_db / 20))[:, None]
    mixed = torch.where(chosen[:, None], samples + other, samples)
    return mixed, _joined(targets, partner, chosen)


def masks(windows: Tensor, rng: torch.Generator) -> Tensor:
    """Return the windows with two bands of rows and two of columns set to each window's mean."""
    for axis in (1, 2):
        for _ in range(N_MASKS):
            windows = mask(windows, axis, rng)
    return windows


def mask(windows_db: Tensor, axis: int, rng: torch.Generator) -> Tensor:
    """Return the windows with one band of `axis`, 0 to 10 % wide, set to each window's mean."""
    n, size = len(windows_db), windows_db.shape[axis]
    width = uniform(n, 0, MASK_SHARE * size, windows_db, rng)
    start = uniform(n, 0, 1, windows_db, rng) * (size - width)
    position = torch.arange(size, device=windows_db.device)
    inside = (position >= start[:, None]) & (position < (start + width)[:, None])
    inside = inside.unsqueeze(2 if axis == 1 else 1)
    return torch.where(inside, windows_db.mean(dim=(1, 2), keepdim=True), windows_db)


def tilt(windows_db: Tensor, rng: torch.Generator) -> Tensor:
    """Return the windows with a linear tilt over the mel bands; their level is scaled away."""
    n, n_mels = windows_db.shape[:2]
    slope = uniform(n, -TILT_DB, TILT_DB, windows_db, rng)
    ramp = torch.linspace(-0.5, 0.5, n_mels, device=windows_db.device)
    return windows_db + (slope[:, None] * ramp)[:, :, None]


def mix(windows_db: Tensor, targets: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor]:
    """Return the windows, a share of them with another window of the batch played along."""
    partner, gain_db, chosen = _partners((10 ** (windows_db / 10)).mean(dim=(1, 2)), rng)
    other_db = windows_db[partner] + gain_db[:, None, None]
    mixed_db = 10 * torch.log10(10 ** (windows_db / 10) + 10 ** (other_db / 10))
    # All rows, of which some are taken: to index by `chosen` would wait for the GPU.
    mixed = torch.where(chosen[:, None, None], mixed_db, windows_db)
    return mixed, _joined(targets, partner, chosen)


def _partners(power: Tensor, rng: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Draw for each window one of the batch, the gain in dB that it gets, and whether it is mixed.

    The gain brings it to -6 to 6 dB of the window, given the mean power of each. Now and then it is
    the window itself.
    """
    n = len(power)
    partner = torch.randperm(n, generator=rng, device=rng.device).to(power.device)
    level_db = 10 * torch.log10(power + 1e-12)
    apart_db = (level_db - level_db[partner]).clamp(-MOST_CHANGE_DB, MOST_CHANGE_DB)
    gain_db = apart_db + uniform(n, -GAIN_DB, GAIN_DB, power, rng)
    return partner, gain_db, uniform(n, 0, 1, power, rng) < MIX_SHARE


def _joined(targets: Tensor, partner: Tensor, chosen: Tensor) -> Tensor:
    return torch.where(chosen[:, None], joined(targets, targets[partner]), targets)
