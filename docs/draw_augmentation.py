"""Draw docs/augmentation.png: what every augmentation does to one second.

python docs/draw_augmentation.py
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from matplotlib.figure import Figure

from pipeline.audio.spectra.logmel import LogMelSpec, log_mel
from pipeline.training.augmenting.augment import (
    augment,
    masks,
    mix,
    mix_samples,
    noise,
    shift,
    tilt,
)
from pipeline.training.augmenting.pitch import shifted
from pipeline.training.augmenting.randomise.chain import randomised

SPEC = LogMelSpec()
RANGE_DB = 90.0


def note(f0_hz: float, begin_s: float, n_partials: int) -> np.ndarray:
    """Return a plucked note in a second of silence, with vibrato."""
    time_s = np.arange(44_100) / 44_100 - begin_s
    phase = 2 * np.pi * f0_hz * (time_s + 0.002 * np.sin(2 * np.pi * 5 * time_s))
    partials = [np.sin(k * phase) / k for k in range(1, n_partials)]
    return np.where(time_s >= 0, np.exp(-3 * time_s), 0) * np.sum(partials, axis=0) * 0.2


def main() -> None:
    """Draw the grid: samples in the first row, log-mels in the second."""
    rng = torch.Generator().manual_seed(4)
    melody = sum(note(f, t, 20) for f, t in ((262, 0.05), (330, 0.3), (392, 0.55), (523, 0.8)))
    other = note(1100, 0.1, 4) + note(990, 0.6, 4)
    samples = torch.from_numpy(np.stack([melody, other]).astype(np.float32))
    targets, one = torch.eye(2), torch.ones(1, 1)
    spread = samples.std() * one
    both = [t for t in (mix_samples(samples, targets, rng) for _ in range(20)) if t[1][0].sum() > 1]
    db = torch.from_numpy(log_mel(samples.numpy(), SPEC))
    db_mix = [t for t in (mix(db, targets, rng) for _ in range(20)) if t[1][0].sum() > 1]
    loud_noise = noise(samples, rng, mean=0 * one, deviation=spread)
    on_samples = {
        "one second": samples[0],
        "noise": loud_noise[0],
        "pitch, +4 semitones": shifted(samples[:1], torch.tensor([4.0]))[0],
        "shift": shift(samples, rng)[0],
        "mix": both[0][0][0],
    }
    pictures = {k: log_mel(v.numpy(), SPEC) for k, v in on_samples.items()}
    pictures |= {
        "masks": masks(db, rng)[0].numpy(),
        "tilt": tilt(db, rng)[0].numpy(),
        "mix of log-mels": db_mix[0][0][0].numpy(),
        "all of the default": augment(db, targets, rng, ("mix", "tilt", "masks"))[0][0].numpy(),
        "randomise": log_mel(
            randomised(samples[0].numpy(), np.random.default_rng(5), SPEC.sample_rate_hz), SPEC
        ),
    }
    figure = Figure(figsize=(12, 5.2), layout="constrained")
    axes = figure.subplots(2, 5, sharex=True, sharey=True).ravel()
    for place, (name, picture) in zip(range(10), pictures.items(), strict=True):
        top = picture.max()
        axes[place].imshow(
            picture, origin="lower", aspect="auto", cmap="magma", vmin=top - RANGE_DB, vmax=top
        )
        axes[place].set_title(name, fontsize=10, loc="left")
    for axis in (axes[0], axes[5]):
        axis.set_ylabel("mel band")
    for axis in axes[5:]:
        axis.set_xlabel("frame")
    figure.savefig(Path(__file__).with_name("augmentation.png"), dpi=72)


if __name__ == "__main__":
    main()
