"""All transforms of one recording in the order in which sound meets them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np

from pipeline.arrays import Float32
from pipeline.training.augmenting.randomise.band import HighPass, LowPass
from pipeline.training.augmenting.randomise.base import Transform
from pipeline.training.augmenting.randomise.codec import Codec
from pipeline.training.augmenting.randomise.dynamics import Clipping, Compressor, Gain
from pipeline.training.augmenting.randomise.eq import Equaliser
from pipeline.training.augmenting.randomise.noise import Noise
from pipeline.training.augmenting.randomise.room import Room
from pipeline.training.augmenting.randomise.silence import placed
from pipeline.training.augmenting.randomise.speed import Speed


@dataclass(frozen=True)
class Randomisation:
    """The transforms in their order: tape, room, desk, amplifier, line, codec, level."""

    speed: Speed = field(default_factory=Speed)
    room: Room = field(default_factory=Room)
    equaliser: Equaliser = field(default_factory=Equaliser)
    low_pass: LowPass = field(default_factory=LowPass)
    high_pass: HighPass = field(default_factory=HighPass)
    compressor: Compressor = field(default_factory=Compressor)
    clipping: Clipping = field(default_factory=Clipping)
    noise: Noise = field(default_factory=Noise)
    codec: Codec = field(default_factory=Codec)
    gain: Gain = field(default_factory=Gain)

    def transforms(self) -> Iterator[Transform]:
        """Yield what follows `speed`, in order."""
        yield self.room
        yield self.equaliser
        yield self.low_pass
        yield self.high_pass
        yield self.compressor
        yield self.clipping
        yield self.noise
        yield self.codec
        yield self.gain

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
        Mono float32, `[n]`; not written into. Of one clip, or of a mixture (`mixture.mixed`).
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
    for transform in config.transforms():
        window = transform(window, rng, sample_rate_hz)
    return window
