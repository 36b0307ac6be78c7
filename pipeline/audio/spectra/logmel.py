"""Samples in, log-mel out: one spec and one function, at training and at serving.

Two paths, equal to 3e-3 dB: the fused kernel (`pipeline.audio.spectra.fused`), and the plain one of
scipy's FFT and a banded product, for frames that are no power of two, and where numba fails.
Equal to librosa's `power_to_db(melspectrogram(...), top_db=None)`. There is no `top_db`: it would
make a frame depend on the loudest frame of its clip, and then a window cut from a clip would differ
from the same second of a whole track.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, Any

import librosa
import numpy as np
import scipy.fft

from pipeline.arrays import Float32
from pipeline.audio.spectra.input_spec import BandSpec, Spec

if TYPE_CHECKING:
    from pipeline.audio.spectra import fused

_log = logging.getLogger(__name__)

PADDINGS = ("constant", "reflect")
_CHUNK_FRAMES = 128  # window and spectrum of a chunk stay in the second-level cache
_BAND_BLOCK = 32  # mel bands are narrow: a block of 32 sees a small part of the spectrum


@dataclass(frozen=True)
class LogMelSpec(Spec):
    """Everything that decides a log-mel; travels in FEATURES' metadata and in model.json."""

    called = "feature"

    sample_rate_hz: int = 44_100
    """Sample rate of the audio."""
    n_fft: int = 2048
    """Length of a frame, in samples."""
    hop: int = 512
    """Distance of frames, in samples."""
    n_mels: int = 256
    """How many mel bands there are."""
    f_min_hz: float = 0.0
    """Lower edge of the lowest band."""
    f_max_hz: float | None = None
    """Upper edge of the highest band; half the sample rate when None."""
    htk: bool = False
    """HTK's mel scale instead of Slaney's."""
    amin: float = 1e-10
    """Power floor: silence is `10 log10(amin)` dB."""
    padding: str = "constant"
    """What lies beyond the ends: zeros ('constant'), or the signal mirrored ('reflect')."""

    def __post_init__(self) -> None:
        if self.hop <= 0 or self.n_fft < self.hop:
            raise ValueError(f"0 < hop <= n_fft must hold: hop={self.hop}, n_fft={self.n_fft}")
        if self.padding not in PADDINGS:
            raise ValueError(f"padding {self.padding!r}: expected one of {', '.join(PADDINGS)}")

    @property
    def floor_db(self) -> float:
        """The value of silence, in dB."""
        return float(10 * np.log10(self.amin))

    @property
    def mirrors(self) -> bool:
        """Whether the signal goes on mirrored beyond its ends, and not silent."""
        return self.padding == "reflect"

    def n_frames(self, n_samples: int) -> int:
        """Return how many frames `n_samples` samples give (frames are centred)."""
        return 1 + n_samples // self.hop

    def margins(self, n_samples: int) -> tuple[int, int]:
        """Return how many samples the frames of `n_samples` see before and behind them."""
        half = self.n_fft // 2
        last = (self.n_frames(n_samples) - 1) * self.hop
        return half, max(0, last + half - n_samples)


def log_mel(samples: Float32, spec: LogMelSpec) -> Float32:
    """Return the log-mel power spectrogram in dB, `[..., n_mels, n_frames]`.

    Parameters
    ----------
    samples
        Mono audio at `spec.sample_rate_hz`, `[..., n_samples]`, at least one sample each.
    spec
        Frames are centred and the ends padded, so there are `1 + n_samples // hop`.

    References
    ----------
    librosa 0.11, `feature.melspectrogram` and `power_to_db`.

    Examples
    --------
    >>> log_mel(np.zeros(44_100, np.float32), LogMelSpec()).shape
    (256, 87)
    """
    if samples.ndim > 1:
        rows = samples.reshape(-1, samples.shape[-1])
        mels = np.stack([log_mel(row, spec) for row in rows])
        return mels.reshape(*samples.shape[:-1], *mels.shape[1:])
    fused = fused_kernel(spec.n_fft)
    if fused is None:
        return plain_log_mel(samples, spec)
    mel: Float32 = fused.fused_log_mel(
        np.ascontiguousarray(samples, np.float32),
        _fused_tables(spec),
        hop=spec.hop,
        n_frames=spec.n_frames(len(samples)),
        amin=spec.amin,
        mirrored=spec.mirrors,
    )
    return mel


def plain_log_mel(samples: Float32, spec: LogMelSpec) -> Float32:
    """Return what `log_mel` does of `[n_samples]`, by scipy's FFT; a third as fast."""
    window, blocks = _window(spec.n_fft), _blocks(spec)
    n_frames = spec.n_frames(len(samples))
    mode: Any = spec.padding
    padded = np.pad(samples.astype(np.float32, copy=False), spec.n_fft // 2, mode=mode)
    frames = np.lib.stride_tricks.sliding_window_view(padded, spec.n_fft)[:: spec.hop][:n_frames]
    mel = np.empty((n_frames, spec.n_mels), np.float32)
    for start in range(0, n_frames, _CHUNK_FRAMES):
        chunk = slice(start, start + _CHUNK_FRAMES)
        power = np.abs(scipy.fft.rfft(frames[chunk] * window, overwrite_x=True))
        power *= power
        for bands, bins, weights in blocks:
            np.matmul(power[:, bins], weights, out=mel[chunk, bands])
    np.maximum(mel, spec.amin, out=mel)
    np.log10(mel, out=mel)
    mel *= 10
    return np.ascontiguousarray(mel.T)


@cache
def fused_kernel(n_fft: int) -> Any:
    """Return the module of the fused kernel, tried out; None where it can't be had."""
    try:
        from pipeline.audio.spectra import fused

        if not fused.can_fuse(n_fft):
            return None
        fused.fused_log_mel(
            np.zeros(n_fft, np.float32),
            fused.make_tables(*_ones(n_fft)),
            hop=1,
            n_frames=1,
            amin=1,
            mirrored=False,
        )
    except Exception as error:  # whatever LLVM or a cache folder says: the plain path always works
        _log.warning("log-mel takes its plain path, a third as fast: %r", error)
        return None
    return fused


def compile_kernel() -> None:
    """Compile the fused kernel, or load what is compiled: at first use 10 s of a core."""
    fused_kernel(64)  # for every length of frame


def _ones(n_fft: int) -> tuple[Float32, Float32]:
    return np.ones(n_fft, np.float32), np.ones((1, 1 + n_fft // 2), np.float32)


@lru_cache(maxsize=8)
def _fused_tables(spec: LogMelSpec) -> fused.Tables:
    from pipeline.audio.spectra import fused

    return fused.make_tables(_window(spec.n_fft), mel_filters(spec))


@cache
def _window(n_fft: int) -> Float32:
    """Return the periodic Hann window."""
    return (0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_fft) / n_fft)).astype(np.float32)


def mel_filters(spec: LogMelSpec) -> Float32:
    """Return the mel filters, `[n_mels, 1 + n_fft / 2]`: triangles of the same area.

    Those of `librosa.filters.mel` to the bit; importing that takes a second of CPU, as it brings
    scipy.signal, and every worker would pay it. Slaney, "Auditory Toolbox", 1998.
    """
    return hz_triangles(spec, htk=spec.htk, equal_area=True)


def hz_triangles(spec: BandSpec, *, htk: bool, equal_area: bool) -> Float32:
    """Return filters, `[n_mels, 1 + n_fft / 2]`, that are triangles in Hz between mel frequencies.

    Their height is 1 or, with `equal_area` (Slaney's norm), the area of all is the same.
    """
    f_max_hz = spec.sample_rate_hz / 2 if spec.f_max_hz is None else spec.f_max_hz
    edges_hz = librosa.mel_frequencies(spec.n_mels + 2, fmin=spec.f_min_hz, fmax=f_max_hz, htk=htk)
    above = edges_hz[:, None] - np.fft.rfftfreq(spec.n_fft, 1 / spec.sample_rate_hz)
    widths = np.diff(edges_hz)[:, None]
    rising, falling = -above[:-2] / widths[:-1], above[2:] / widths[1:]
    filters: Float32 = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    if equal_area:
        filters *= 2 / (edges_hz[2:] - edges_hz[:-2])[:, None]
    return filters


Block = tuple[slice, slice, Float32]


@lru_cache(maxsize=8)
def _blocks(spec: LogMelSpec) -> tuple[Block, ...]:
    """Return the mel filters as blocks of bands with the bins that they see."""
    filters = mel_filters(spec)
    return tuple(
        _block(filters, first, min(first + _BAND_BLOCK, spec.n_mels))
        for first in range(0, spec.n_mels, _BAND_BLOCK)
    )


def _block(filters: Float32, first: int, last: int) -> Block:
    seen = np.flatnonzero(filters[first:last].any(axis=0))
    bins = slice(int(seen[0]), int(seen[-1]) + 1) if len(seen) else slice(0, 1)
    return slice(first, last), bins, np.ascontiguousarray(filters[first:last, bins].T)
