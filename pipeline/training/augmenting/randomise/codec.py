"""Lossy codecs at low rates: there and back through PyAV's encoders, in memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import Literal

import av
import numpy as np
import soxr

from pipeline.arrays import Float32
from pipeline.training.augmenting.randomise.base import Transform

_LOW_RATE_KBITS = 32
"""Below it MPEG-1 layer 3 has no mono rates, so encoders take a lower sample rate."""
_PAD_S = 0.125  # more than any of the codecs' delays, so that the end comes out, too
_MOST_DELAY_S = 0.12


@dataclass(frozen=True)
class Coder:
    """An encoder of PyAV's build, its decoder, and the sample rates that it is used at."""

    encoder: str
    decoder: str
    rates_hz: tuple[int, ...] = (32_000, 44_100, 48_000)
    low_rate_hz: int = 24_000
    """Sample rate that is coded at below 32 kbit/s, in hertz."""

    def rate_hz(self, sample_rate_hz: int, kbits: int) -> int:
        """Return the rate to code at: that of the samples, or the next one above."""
        if kbits < _LOW_RATE_KBITS:
            return self.low_rate_hz
        return next((rate for rate in self.rates_hz if rate >= sample_rate_hz), self.rates_hz[-1])


CODERS = {
    "mp3": Coder("libmp3lame", "mp3float"),
    "opus": Coder("libopus", "libopus", (48_000,), 48_000),
    "aac": Coder("aac", "aac"),
    "vorbis": Coder("libvorbis", "vorbis"),
}


@cache
def coders() -> tuple[str, ...]:
    """Return the names in `CODERS` whose encoders this build of PyAV has."""
    return tuple(name for name, coder in CODERS.items() if coder.encoder in av.codecs_available)


@dataclass(frozen=True)
class Codec(Transform):
    """A lossy codec at a low rate: band limits, warbling, pre-echoes. It moves no sample."""

    probability: float = 0.05
    kbits: tuple[int, ...] = (16, 24, 32, 48, 64, 96)
    """Rates in kbit/s, of one channel; each as likely."""
    names: tuple[str, ...] = tuple(CODERS)
    """In `CODERS`; those that the build cannot encode are left out."""

    def apply(self, samples: Float32, rng: np.random.Generator, sample_rate_hz: int) -> Float32:
        """Return the samples as they come back from the codec; what is over full scale, clipped."""
        names = [name for name in self.names if name in coders()]
        draw, kbits = rng.random(), int(rng.choice(self.kbits))
        if not names:
            return samples
        return coded(samples, sample_rate_hz, names[int(draw * len(names))], kbits)


def coded(samples: Float32, sample_rate_hz: int, name: str, kbits: int) -> Float32:
    """Return mono samples after a codec in `CODERS` at a rate in kbit/s: as long, and in place.

    They are coded at another sample rate where the codec has not theirs.
    """
    coder = CODERS[name]
    rate_hz = coder.rate_hz(sample_rate_hz, kbits)
    given = (
        soxr.resample(samples, sample_rate_hz, rate_hz) if rate_hz != sample_rate_hz else samples
    )
    delay = delay_of(name, rate_hz, kbits)
    found = _round_trip(given, coder, rate_hz, kbits)[delay : delay + len(given)]
    if rate_hz != sample_rate_hz:
        found = soxr.resample(found, rate_hz, sample_rate_hz)
    back = np.zeros(len(samples), np.float32)
    n = min(len(found), len(samples))
    back[:n] = found[:n]
    return back


@lru_cache(maxsize=64)
def delay_of(name: str, rate_hz: int, kbits: int) -> int:
    """Return by how many samples a codec delays: measured once, by a second of noise.

    A delay depends on the codec, its version and rate; some decoders take it off, others do not.
    """
    from scipy import signal  # here, as it takes a second, also for who imports only the loop

    noise = np.random.default_rng(0).standard_normal(rate_hz).astype(np.float32) / 8
    low = signal.sosfilt(signal.butter(2, 2000, fs=rate_hz, output="sos"), noise)
    found = _round_trip(low.astype(np.float32), CODERS[name], rate_hz, kbits)
    n_delays = round(_MOST_DELAY_S * rate_hz)
    likeness = signal.correlate(found[: rate_hz + n_delays], low, mode="full", method="fft")
    return int(np.argmax(likeness[rate_hz - 1 : rate_hz - 1 + n_delays]))


def _round_trip(samples: Float32, coder: Coder, rate_hz: int, kbits: int) -> Float32:
    """Return what the decoder makes of the encoder's packets: delayed, and somewhat longer."""
    padded = np.pad(samples.clip(-1, 1), (0, round(_PAD_S * rate_hz)))
    frame = av.AudioFrame.from_ndarray(padded[None], format="fltp", layout="mono")
    frame.sample_rate = rate_hz
    encoder = _context(coder.encoder, "w", rate_hz)
    encoder.bit_rate = 1000 * kbits
    encoder.format = (encoder.codec.audio_formats or [av.AudioFormat("fltp")])[0]
    packets = [*encoder.encode(frame), *encoder.encode(None)]
    decoder = _context(coder.decoder, "r", rate_hz)
    if encoder.extradata is not None:
        decoder.extradata = encoder.extradata
    frames = [found for packet in [*packets, None] for found in decoder.decode(packet)]
    to_float = av.AudioResampler("fltp", "mono", rate_hz)
    parts = [part.to_ndarray()[0] for found in frames for part in to_float.resample(found)]
    return np.concatenate(parts).astype(np.float32, copy=False)


def _context(name: str, mode: Literal["r", "w"], rate_hz: int) -> av.AudioCodecContext:
    context = av.CodecContext.create(name, mode)
    assert isinstance(context, av.AudioCodecContext)
    context.sample_rate, context.layout = rate_hz, "mono"
    return context


TRANSFORMS = (Codec(),)
