"""All transforms of one recording in the order in which sound meets them."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import chain

import numpy as np

from pipeline.arrays import Float32
from pipeline.seams import declared
from pipeline.training.augmenting.randomise.base import Transform
from pipeline.training.augmenting.randomise.silence import placed
from pipeline.training.augmenting.randomise.speed import Speed

AFTER_SPEED: tuple[Transform, ...] = tuple(
    chain.from_iterable(
        declared(
            "pipeline.training.augmenting.randomise",
            "TRANSFORMS",
            first=("room", "eq", "band", "dynamics", "noise", "codec", "gain"),
        )
    )
)
"""What follows a change of speed: room, desk, amplifier, line, codec, level; then added files'.

The order decides what a seed gives, so that of the first stays as it is."""


@dataclass(frozen=True)
class Randomisation:
    """The transforms in their order, each with its ranges and its probability."""

    speed: Speed = Speed()  # noqa: RUF009 (frozen, so it may be shared)
    transforms: tuple[Transform, ...] = AFTER_SPEED
    """The transforms that follow `speed`, in their order."""

    def n_asked(self, n_samples: int) -> int:
        """Return the samples to read so that a window of `n_samples` is full at every speed."""
        return int(np.ceil(n_samples * self.speed.most)) + 1


DEFAULT = Randomisation()


def randomised(
    samples: Float32,
    rng: np.random.Generator,
    sample_rate_hz: int,
    config: Randomisation = DEFAULT,
    *,
    n_samples: int | None = None,
) -> Float32:
    """Return the samples as another recording of the same sound; float32, `[n_samples]`.

    Parameters
    ----------
    samples
        Mono float32, `[n]`; not written into. Of one clip, or of several together.
    rng
        All that is drawn comes from it.
    sample_rate_hz
        Of the samples.
    config
        The transforms and their ranges.
    n_samples
        Length of the window that comes out; by default `len(samples)`. Longer samples are cut at a
        random place after the change of speed, shorter ones are put at a random place in silence.
        `config.n_asked(n_samples)` samples fill the window at every speed.
    """
    n_samples = len(samples) if n_samples is None else n_samples
    window = placed(config.speed(samples, rng, sample_rate_hz), rng, n_samples)
    for transform in config.transforms:
        window = transform(window, rng, sample_rate_hz)
    return window
