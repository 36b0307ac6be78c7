"""Samples in, Kaldi's log filter bank out: the front end of AST (EAT, SSLAM and others share it).

A frame stands on its own 25 ms of samples and on nothing else: it is not centred, and there is no
frame that would reach beyond the end (Kaldi's `snip_edges`). So a window cut from a track's matrix
is what its samples alone would give. Two paths, equal to 1e-4: the fused kernel
(`pipeline.audio.spectra.fused`), and the plain one of scipy's FFT, where numba fails. PURE.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import numpy.typing as npt
import scipy.fft

from pipeline.arrays import Float32, Float64
from pipeline.audio.spectra.input_spec import BandInput, BandSpec, Spec
from pipeline.audio.spectra.logmel import fused_kernel

if TYPE_CHECKING:
    from pipeline.audio.spectra import fused

DB_PER_NEPER = 10 / math.log(10)
"""Decibels in one unit of the natural logarithm of a power."""
_CHUNK_FRAMES = 128  # window and spectrum of a chunk stay in the second-level cache


@dataclass(frozen=True)
class KaldiSpec(Spec):
    """Everything that decides a Kaldi filter bank; travels in model.json. Defaults are AST's."""

    called = "Kaldi"

    sample_rate_hz: int = 16_000
    """Sample rate of the audio."""
    frame_length: int = 400
    """Length of a frame, in samples; the FFT is of the next power of two."""
    hop: int = 160
    """Distance of frames, in samples."""
    n_mels: int = 128
    """How many mel bands there are."""
    f_min_hz: float = 20.0
    """Lower edge of the lowest band."""
    f_max_hz: float | None = None
    """Upper edge of the highest band; half the sample rate when None."""
    pre_emphasis: float = 0.97
    """Share of the sample before that is taken off each sample."""
    floor: float = 2.0**-23
    """Least power of a band: silence is `ln(floor)`. Kaldi's is float32's epsilon."""
    mean: float = -4.2677393
    """What the network's input is centred on: AudioSet's mean, as AST's authors measured it."""
    deviation: float = 4.5689974
    """AudioSet's deviation; the network sees `(x - mean) / (2 * deviation)`."""

    def __post_init__(self) -> None:
        if self.hop <= 0 or self.frame_length < self.hop:
            raise ValueError(
                f"0 < hop <= frame_length must hold: hop={self.hop}, "
                f"frame_length={self.frame_length}"
            )

    @property
    def n_fft(self) -> int:
        """Length of the FFT, in samples: zeros stand behind the frame."""
        return 1 << (self.frame_length - 1).bit_length()

    mirrors = False
    """Whether the signal goes on mirrored beyond its ends: no frame reaches there."""

    def n_frames(self, n_samples: int) -> int:
        """Return how many whole frames `n_samples` samples hold: 98 for 1 s."""
        return max(0, 1 + (n_samples - self.frame_length) // self.hop)

    def margins(self, n_samples: int) -> tuple[int, int]:
        """Return how many samples frames see before and behind `n_samples`: none."""
        return 0, 0


def kaldi_fbank(samples: Float32, spec: KaldiSpec) -> Float32:
    """Return the log mel filter bank, `[n_mels, n_frames]`, as natural logarithms of power.

    Of each frame: its mean is taken off, then pre-emphasis, a symmetric Hann window, the power
    spectrum, triangles of height 1 on Kaldi's mel scale, a floor, the logarithm. There is no
    dither.

    Parameters
    ----------
    samples
        Mono audio at `spec.sample_rate_hz`, `[n_samples]`, 1.0 for full scale.
    spec
        Fewer samples than a frame give no frame at all.

    References
    ----------
    Kaldi, `compute-fbank-feats`; torchaudio 2.11, `compliance.kaldi.fbank` with `htk_compat=True,
    window_type="hanning", dither=0`; Gong, Chung and Glass, "AST: Audio Spectrogram Transformer",
    Interspeech 2021.

    Examples
    --------
    >>> kaldi_fbank(np.zeros(16_000, np.float32), KaldiSpec()).shape
    (128, 98)
    """
    kernel, n_frames = fused_kernel(spec.n_fft), spec.n_frames(len(samples))
    if kernel is None or not n_frames:
        return plain_kaldi_fbank(samples, spec)
    # The window's first weight is 0, so a frame's first sample does not matter, and pre-emphasis of
    # the whole recording is that of each frame. What a frame's mean m is after it, (1 - p) m, is
    # taken off in the kernel. The recording's own mean goes first: it would cost float32's digits.
    samples = samples - samples.mean(dtype=np.float64).astype(np.float32)
    offsets = (1 - spec.pre_emphasis) * _frame_means(samples, spec, n_frames)
    samples[1:] -= np.float32(spec.pre_emphasis) * samples[:-1]
    fbank: Float32 = kernel.fused_log_mel(
        np.ascontiguousarray(samples, np.float32),
        _fused_tables(spec),
        hop=spec.hop,
        n_frames=n_frames,
        amin=spec.floor,
        mirrored=False,
        lead=0,
        per_octave=math.log(2),
        offsets=offsets,
    )
    return fbank


def plain_kaldi_fbank(samples: Float32, spec: KaldiSpec) -> Float32:
    """Return what `kaldi_fbank` does, by scipy's FFT."""
    n_frames = spec.n_frames(len(samples))
    fbank = np.full((n_frames, spec.n_mels), spec.floor, np.float32)
    if not n_frames:
        return np.ascontiguousarray(fbank.T)
    frames = np.lib.stride_tricks.sliding_window_view(samples, spec.frame_length)[:: spec.hop]
    window, filters = _window(spec.frame_length), kaldi_mel_filters(spec).T
    for start in range(0, n_frames, _CHUNK_FRAMES):
        part = slice(start, start + _CHUNK_FRAMES)
        power = np.abs(scipy.fft.rfft(_emphasised(frames[part], spec) * window, n=spec.n_fft))
        power *= power
        np.maximum(power @ filters, spec.floor, out=fbank[part])
    np.log(fbank, out=fbank)
    return np.ascontiguousarray(fbank.T)


def _emphasised(frames: Float32, spec: KaldiSpec) -> Float32:
    """Return frames without their means, pre-emphasised; their first samples count twice."""
    frames = (frames - frames.mean(axis=1, keepdims=True)).astype(np.float32, copy=False)
    before = np.concatenate([frames[:, :1], frames[:, :-1]], axis=1)
    frames -= np.float32(spec.pre_emphasis) * before
    return frames


def _frame_means(samples: Float32, spec: KaldiSpec, n_frames: int) -> Float64:
    """Return the mean of each frame, `[n_frames]`, from running sums."""
    sums = np.concatenate([[0.0], np.cumsum(samples, dtype=np.float64)])
    first = np.arange(n_frames) * spec.hop
    inside: Float64 = sums[first + spec.frame_length] - sums[first]
    return inside / spec.frame_length


def _window(length: int) -> Float32:
    """Return the symmetric Hann window, `[length]`: 0 at both ends."""
    return np.hanning(length).astype(np.float32)


def kaldi_mel_filters(spec: BandSpec) -> Float32:
    """Return Kaldi's mel filters, `[n_mels, 1 + n_fft / 2]`: triangles in mel, of height 1.

    The highest bin, half the sample rate, has no weight. At low frequencies a band may be so narrow
    that no bin lies in it: it stays at the floor, in Kaldi as here.
    """
    f_max_hz = spec.sample_rate_hz / 2 if spec.f_max_hz is None else spec.f_max_hz
    edges = np.linspace(_mel(spec.f_min_hz), _mel(f_max_hz), spec.n_mels + 2)
    bins = _mel(np.fft.rfftfreq(spec.n_fft, 1 / spec.sample_rate_hz))
    widths = np.diff(edges)[:, None]
    rising = (bins - edges[:-2, None]) / widths[:-1]
    falling = (edges[2:, None] - bins) / widths[1:]
    filters: Float32 = np.maximum(0, np.minimum(rising, falling)).astype(np.float32)
    filters[:, -1] = 0
    return filters


def _mel(frequency_hz: npt.ArrayLike) -> Float64:
    return 1127.0 * np.log1p(np.asarray(frequency_hz, np.float64) / 700.0)


@lru_cache(maxsize=8)
def _fused_tables(spec: KaldiSpec) -> fused.Tables:
    from pipeline.audio.spectra import fused

    window = np.zeros(spec.n_fft, np.float32)
    window[: spec.frame_length] = _window(spec.frame_length)
    return fused.make_tables(window, kaldi_mel_filters(spec))


@dataclass(frozen=True)
class KaldiInput(BandInput):
    """The InputSpec (front end) of AST: Kaldi's filter bank, scaled by AudioSet's two figures.

    It keeps the recording's level, as AST has learned from levels as they are.
    """

    spec: KaldiSpec = KaldiSpec()
    """How the filter bank is made: rate, frames, bands."""
    kind = "kaldi"
    dtype = "<f4"
    silence = 0.0
    """What stands beyond the end: AST was trained with zeros there, before they are scaled."""
    db_per_unit = DB_PER_NEPER

    @property
    def scaling(self) -> tuple[float, float]:
        """Mean, and what is 1 to the network: twice AudioSet's deviation."""
        return self.spec.mean, 2 * self.spec.deviation

    def matrix(self, samples: Float32) -> Float32:
        """Return the filter bank, not scaled yet."""
        return kaldi_fbank(samples, self.spec).astype(self.dtype, copy=False)
