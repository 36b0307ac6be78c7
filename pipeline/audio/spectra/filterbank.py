"""Samples in, a log mel filter bank out, by a spec that describes most front ends of the field.

The pretrained taggers (`pipeline.models.pretrained`) were each trained on a filter bank of its own:
another window, mel scale, logarithm. What they have in common is here once: pre-emphasis, frames,
window, spectrum, mel filters, logarithm. A matrix is made of the whole recording and windows are
cut from it, as with `LogMelInput`. Two paths, equal to 1e-4 neper (2e-3 dB where a loud
partial strains float32): the fused kernel (`pipeline.audio.spectra.fused`), and the plain one of
scipy's FFT, where numba fails. PURE.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import scipy.fft

from pipeline.arrays import Float32
from pipeline.audio.spectra.input_spec import BandInput, Spec
from pipeline.audio.spectra.kaldi import DB_PER_NEPER, kaldi_mel_filters
from pipeline.audio.spectra.logmel import fused_kernel, hz_triangles

if TYPE_CHECKING:
    from pipeline.audio.spectra import fused

WINDOWS = ("hann_periodic", "hann_symmetric")
MEL_SCALES = ("slaney", "htk", "kaldi")
"""slaney and htk: triangles in Hz; kaldi: HTK's scale, triangles in mel."""
LOGARITHMS = ("ln", "db")
_CHUNK_FRAMES = 128  # window and spectrum of a chunk stay in the second-level cache


@dataclass(frozen=True)
class FilterBankSpec(Spec):
    """Everything that decides a log mel filter bank; travels in model.json."""

    called = "filter bank"

    sample_rate_hz: int
    """Sample rate of the audio."""
    frame_length: int
    """Length of a frame, in samples: those under the window."""
    n_fft: int
    """Length of the FFT, in samples: zeros stand around the frame."""
    hop: int
    """Distance of frames, in samples."""
    n_mels: int
    """Number of mel bands: rows of the matrix."""
    f_min_hz: float
    """Lower edge of the lowest band."""
    f_max_hz: float
    """Upper edge of the highest band."""
    mel_scale: str = "slaney"
    """Scale on which the bands are evenly apart: one of `MEL_SCALES`."""
    equal_area: bool = False
    """Whether triangles have the same area (Slaney's norm), or all the height 1."""
    window: str = "hann_periodic"
    """Function that each frame is weighted by: one of `WINDOWS`."""
    is_centred: bool = True
    """Whether frame t is centred on sample `t * hop`, the ends mirrored; else it begins there."""
    pre_emphasis: float = 0.0
    """Share of each sample that is taken off the next one; then there is one sample less."""
    power: int = 2
    """2 for bands of power, 1 for bands of magnitude."""
    logarithm: str = "ln"
    """One of `LOGARITHMS`; db is `10 log10`."""
    offset: float = 0.0
    """Added to a band before the logarithm."""
    floor: float = 0.0
    """Least value of a band before the logarithm."""
    mean: float = 0.0
    """Value of a band that the network sees as 0."""
    deviation: float = 1.0
    """Distance of values that the network sees as 1: it sees `(x - mean) / deviation`."""

    def __post_init__(self) -> None:
        choices = {"window": WINDOWS, "mel_scale": MEL_SCALES, "logarithm": LOGARITHMS}
        for name, allowed in choices.items():
            if getattr(self, name) not in allowed:
                raise ValueError(f"{name} {getattr(self, name)!r}: expected {', '.join(allowed)}")
        if not 0 < self.hop <= self.frame_length <= self.n_fft:
            raise ValueError(
                f"0 < hop <= frame_length <= n_fft must hold: hop={self.hop}, "
                f"frame_length={self.frame_length}, n_fft={self.n_fft}"
            )
        if not self.offset + self.floor > 0:
            raise ValueError("offset or floor must be more than 0: silence has no logarithm")

    @property
    def silence(self) -> float:
        """The value of a band without power."""
        return math.log(max(self.offset, self.floor)) * self.per_neper

    @property
    def per_neper(self) -> float:
        """What e times the power is in the values: 1, or 4.34 dB."""
        return DB_PER_NEPER if self.logarithm == "db" else 1.0

    @property
    def lead(self) -> int:
        """Samples of a frame, in the FFT, that stand before sample `t * hop`."""
        return self.n_fft // 2 if self.is_centred else 0

    @property
    def mirrors(self) -> bool:
        """Whether the signal goes on mirrored beyond its ends: where frames are centred."""
        return self.is_centred

    def margins(self, n_samples: int) -> tuple[int, int]:
        """Return how many samples the frames of `n_samples` see before and behind them."""
        if not self.is_centred:
            return 0, 0
        last = (self.n_frames(n_samples) - 1) * self.hop + (self.pre_emphasis != 0)
        return self.lead, max(0, last + self.lead - n_samples)

    def n_frames(self, n_samples: int) -> int:
        """Return how many frames `n_samples` samples give."""
        n = n_samples - (self.pre_emphasis != 0)
        if self.is_centred:
            return 1 + n // self.hop if n > 0 else 0
        return max(0, 1 + (n - self.frame_length) // self.hop)


def filter_bank(samples: Float32, spec: FilterBankSpec) -> Float32:
    """Return the log mel filter bank, `[n_mels, n_frames]`, not scaled yet.

    Of each frame: the window, the spectrum's power or magnitude, mel filters, an offset and a
    floor, the logarithm.

    Parameters
    ----------
    samples
        Mono audio at `spec.sample_rate_hz`, `[n_samples]`, 1.0 for full scale.
    spec
        Centred frames stand on samples beyond the ends, which are the recording mirrored: again
        and again where it is shorter than half a frame. Frames that are not centred stand on their
        own samples only, so fewer samples than a frame give no frame at all.

    References
    ----------
    librosa 0.11, `feature.melspectrogram` and `power_to_db`; Kaldi, `compute-fbank-feats` (the mel
    scale); Hershey and others, "CNN architectures for large-scale audio classification", ICASSP
    2017 (magnitudes and an offset).

    Examples
    --------
    >>> spec = FilterBankSpec(16_000, 512, 512, 160, 64, 0.0, 8000.0, floor=1e-10)
    >>> filter_bank(np.zeros(16_000, np.float32), spec).shape
    (64, 101)
    """
    kernel, n_frames = fused_kernel(spec.n_fft), spec.n_frames(len(samples))
    if kernel is None or not n_frames:
        return plain_filter_bank(samples, spec)
    bank: Float32 = kernel.fused_log_mel(
        np.ascontiguousarray(emphasised(samples, spec), np.float32),
        _fused_tables(spec),
        hop=spec.hop,
        n_frames=n_frames,
        amin=max(spec.floor, spec.offset),
        mirrored=spec.is_centred,
        lead=spec.lead,
        per_octave=math.log(2) * spec.per_neper,
        added=spec.offset,
        of_magnitude=spec.power == 1,
    )
    return bank


def plain_filter_bank(samples: Float32, spec: FilterBankSpec) -> Float32:
    """Return what `filter_bank` does, by scipy's FFT."""
    n_frames = spec.n_frames(len(samples))
    out = np.empty((n_frames, spec.n_mels), np.float32)
    if not n_frames:
        return np.ascontiguousarray(out.T)
    frames = _frames(samples.astype(np.float32, copy=False), spec)
    window, filters = window_of(spec), mel_filters_of(spec).T
    for start in range(0, n_frames, _CHUNK_FRAMES):
        part = slice(start, min(start + _CHUNK_FRAMES, n_frames))
        spectrum = np.abs(scipy.fft.rfft(frames[part] * window))
        if spec.power == 2:
            spectrum *= spectrum
        np.maximum(spectrum @ filters + spec.offset, spec.floor, out=out[part])
    np.log(out, out=out)
    out *= np.float32(spec.per_neper)
    return np.ascontiguousarray(out.T)


def emphasised(samples: Float32, spec: FilterBankSpec) -> Float32:
    """Return each sample less its share of the one before, `[n_samples - 1]`, where asked for."""
    if not spec.pre_emphasis:
        return samples
    return samples[1:] - np.float32(spec.pre_emphasis) * samples[:-1]


def _frames(samples: Float32, spec: FilterBankSpec) -> Float32:
    """Return frames of `n_fft` samples, `[at least n_frames, n_fft]`."""
    samples = emphasised(samples, spec)
    if spec.is_centred:
        padded = np.pad(samples, spec.lead, mode="reflect")
    else:
        padded = np.pad(samples, (0, spec.n_fft - spec.frame_length))
    return np.lib.stride_tricks.sliding_window_view(padded, spec.n_fft)[:: spec.hop]


@lru_cache(maxsize=8)
def _fused_tables(spec: FilterBankSpec) -> fused.Tables:
    from pipeline.audio.spectra import fused

    return fused.make_tables(window_of(spec), mel_filters_of(spec))


@lru_cache(maxsize=8)
def window_of(spec: FilterBankSpec) -> Float32:
    """Return the window, `[n_fft]`: in its middle where frames are centred, else at its start."""
    n, length = spec.n_fft, spec.frame_length
    periodic = spec.window == "hann_periodic"
    hann = np.hanning(length + 1)[:-1] if periodic else np.hanning(length)
    window = np.zeros(n, np.float32)
    first = (n - length) // 2 if spec.is_centred else 0
    window[first : first + length] = hann
    return window


@lru_cache(maxsize=8)
def mel_filters_of(spec: FilterBankSpec) -> Float32:
    """Return the mel filters, `[n_mels, 1 + n_fft / 2]`."""
    if spec.mel_scale == "kaldi":
        return kaldi_mel_filters(spec)
    return hz_triangles(spec, htk=spec.mel_scale == "htk", equal_area=spec.equal_area)


@dataclass(frozen=True)
class FilterBankInput(BandInput):
    """The InputSpec (front end) that a filter bank is; it keeps the recording's level."""

    spec: FilterBankSpec
    """Everything that decides the filter bank."""
    kind = "filter bank"
    dtype = "<f4"

    @property
    def silence(self) -> float:
        """What stands beyond the end of a clip: a band without power."""
        return self.spec.silence

    @property
    def db_per_unit(self) -> float:
        """Decibels in one unit: of power or, where the bands are magnitudes, of those."""
        of_power = 1.0 if self.spec.logarithm == "db" else DB_PER_NEPER
        return of_power * 2 / self.spec.power

    @property
    def scaling(self) -> tuple[float, float]:
        """Mean, and what is 1 to the network."""
        return self.spec.mean, self.spec.deviation

    def matrix(self, samples: Float32) -> Float32:
        """Return the filter bank, not scaled yet."""
        return filter_bank(samples, self.spec).astype(self.dtype, copy=False)
