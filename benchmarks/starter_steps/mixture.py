"""One clip that sounds like several clips together."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.arrays import Float32
from pipeline.training.augmenting.randomise.base import ratio, rms


@dataclass(frozen=True)
class Mixture:
    """How many clips sound together, and how loud the others are."""

    share: float = 0.45
    """Share of the draws that have more than one clip."""
    most: int = 3
    """Clips at most, the first one counted."""
    gain_db: tuple[float, float] = (-12.0, 4.0)
    """Level (RMS) of every other clip over the first one's, uniform."""

    def draw_n(self, rng: np.random.Generator) -> int:
        """Draw how many clips sound together, 1 to `most`: each number above 1 is as likely."""
        if self.most < 2 or rng.random() >= self.share:
            return 1
        return int(rng.integers(2, self.most + 1))


def mixed(clips: Sequence[Float32], gains_db: Sequence[float]) -> Float32:
    """Return the sum of clips of one length, each brought to `gains_db` over the first (RMS).

    The first gain is not asked. A silent first clip takes the others' levels as they are, and a
    silent other adds nothing.
    """
    total = clips[0].astype(np.float32, copy=True)
    level = rms(clips[0])
    for clip, gain_db in zip(clips[1:], gains_db[1:], strict=True):
        own = rms(clip)
        if own > 0:
            total += clip * np.float32(ratio(gain_db) * ((level or own) / own))
    return total
