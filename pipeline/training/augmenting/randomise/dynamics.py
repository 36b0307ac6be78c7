"""Level over time: a compressor, clipping."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.arrays import Float32, Float64
from pipeline.training.augmenting.randomise.base import Transform, ratio, rms

_BLOCK_S = 0.002  # the compressor's level is measured in blocks of this length
_SILENCE = 1e-6


@dataclass(frozen=True)
class Clipping(Transform):
    """Overload: the samples' peak is driven over full scale, by tanh or with hard corners.

    The level (RMS) stays what it was; odd harmonics come in.
    """

    probability: float = 0.15
    drive_db: tuple[float, float] = (3.0, 20.0)
    """How far over full scale the peak is driven."""
    hard_share: float = 0.4
    """Share of the overloads that have hard corners."""

    def apply(self, samples: Float32, rng: np.random.Generator, sample_rate_hz: int) -> Float32:
        """Return the samples with their peaks cut off."""
        driven = samples * np.float32(ratio(rng.uniform(*self.drive_db)) / np.abs(samples).max())
        is_hard = rng.random() < self.hard_share
        clipped = driven.clip(-1, 1) if is_hard else np.tanh(driven)
        return clipped * np.float32(rms(samples) / rms(clipped))


@dataclass(frozen=True)
class Compressor(Transform):
    """A feed-forward compressor with a hard knee (Giannoulis, Massberg, Reiss 2012, section 2).

    The threshold lies below the loudest block; what is over it is divided by the ratio. The level
    (RMS) stays what it was, so soft parts and decays come up.
    """

    probability: float = 0.25
    threshold_db: tuple[float, float] = (-30.0, -6.0)
    """Over the level of the loudest 2 ms."""
    ratio: tuple[float, float] = (2.0, 8.0)
    attack_s: tuple[float, float] = (0.002, 0.03)
    release_s: tuple[float, float] = (0.05, 0.4)

    def apply(self, samples: Float32, rng: np.random.Generator, sample_rate_hz: int) -> Float32:
        """Return the samples with loud parts made softer."""
        block = max(1, round(_BLOCK_S * sample_rate_hz))
        level_db = block_levels_db(samples, block)
        over_db = level_db - (level_db.max() + rng.uniform(*self.threshold_db))
        wanted_db = np.maximum(over_db, 0) * (1 / rng.uniform(*self.ratio) - 1)
        attack_s, release_s = rng.uniform(*self.attack_s), rng.uniform(*self.release_s)
        gain_db = smoothed(wanted_db, attack_s / _BLOCK_S, release_s / _BLOCK_S)
        middles = (np.arange(len(gain_db)) + 0.5) * block
        gain = np.interp(np.arange(len(samples)), middles, 10 ** (gain_db / 20)).astype(np.float32)
        compressed = samples * gain
        return compressed * np.float32(rms(samples) / rms(compressed))


def block_levels_db(samples: Float32, block: int) -> Float64:
    """Return the RMS in dB of each block of `block` samples, the last one filled up with zeros."""
    n_blocks = -(-len(samples) // block)
    filled = np.pad(samples, (0, n_blocks * block - len(samples))).reshape(n_blocks, block)
    return 20 * np.log10(np.sqrt(np.mean(np.square(filled), axis=1, dtype=np.float64)) + _SILENCE)


def smoothed(gains_db: Float64, attack: float, release: float) -> Float64:
    """Return gains that follow the given ones, by time constants counted in values.

    They fall with `attack` and rise with `release`; the first is 0 dB or the given one.
    """
    fall, rise = np.exp(-1 / attack), np.exp(-1 / release)
    now, found = 0.0, []
    for wanted in gains_db.tolist():
        keep = fall if wanted < now else rise
        now = keep * now + (1 - keep) * wanted
        found.append(now)
    return np.asarray(found)


TRANSFORMS = (Compressor(), Clipping())
