"""Which windows of some samples hold sound: silence and noise name no instrument. PURE.

A model gives scores to whatever it gets, a pause or applause too. Silence is told by its level.
Noise is told by its spectrum: between neighbouring bins it is as flat as chance allows, whatever
its colour, where music has partials. So each of eight bands, about an octave wide, is looked at
alone, without its tilt; and as a tone may show in some bands only (a flute has nothing but breath
high up), the half of the bands that is least flat decides.

References
----------
Gray and Markel, "A spectral-flatness measure for studying the autocorrelation method of linear
prediction of speech analysis", IEEE TASSP 22(3), 1974; Welch, "The use of fast Fourier transform
for the estimation of power spectra", IEEE Transactions on Audio and Electroacoustics 15(2), 1967.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import scipy.fft

from pipeline.arrays import Bools, Float32, Float64, Int64
from pipeline.errors import UsageError

Edges = tuple[int, ...]

_FRAME_S = 0.093  # at 21 Hz a bin, the partials of a bass would be one
_FRAMES = 5  # a window's spectrum is their mean: a single one of noise is far from flat
_LOWEST_HZ, _HIGHEST_HZ, _HIGHEST_SHARE = 60.0, 10_000.0, 0.45
_BANDS, _LEAST_BINS, _LEAST_HEARD = 8, 6, 5  # a Hann window's main lobe has four bins
_RANGE = np.float32(6 * np.log(10))  # 60 dB, as the models see below a window's peak
_CHUNK = 16  # windows at once: their frames and spectra stay in the second-level cache
_FLOOR = np.float32(1e-20)


@dataclass(frozen=True)
class Activity:
    """From what level on, and up to what flatness, a window counts."""

    min_level_dbfs: float = -60.0
    """A window whose RMS, without its mean, lies below is silence."""
    max_flatness: float = 0.75
    """0 for partials, 1 for bins all alike: a window above is noise. Of white, pink and brown noise
    99 in 100 windows lie above 0.86, of real recordings of single instruments 1 in 1000 above 0.65.
    """

    def __post_init__(self) -> None:
        if not self.min_level_dbfs <= 0:
            raise UsageError(f"level {self.min_level_dbfs:g} dBFS: expected 0 or less")
        if not 0 <= self.max_flatness <= 1:
            raise UsageError(f"flatness {self.max_flatness:g}: expected 0 to 1")


def active_windows(
    samples: Float32,
    starts: Int64,
    window_samples: int,
    *,
    sample_rate_hz: int,
    rule: Activity,
) -> Bools:
    """Return which windows are neither silence nor noise, `[n_windows]`.

    Parameters
    ----------
    samples
        Mono audio, full scale 1, `[n_samples]`.
    starts
        The sample at which each window begins, `[n_windows]`. Windows may overlap.
    window_samples
        How long a window is. Of one that reaches over the end of the samples only the part within
        counts; one that has no such part is silence.
    sample_rate_hz
        8 kHz or more.
    rule
        The limits. Where the part is shorter than a frame (93 ms) noise and music cannot be told
        apart, and the level alone decides; where it is less than twice as long, little noise is
        told, as a few frames that overlap are no mean.
    """
    starts = np.asarray(starts, np.int64)
    lengths = np.clip(len(samples) - starts, 0, window_samples)
    active = _levels_dbfs(samples, starts, lengths) >= rule.min_level_dbfs
    asked = np.flatnonzero(active & (lengths >= frame_length(sample_rate_hz)))
    for at in range(0, len(asked), _CHUNK):
        chunk = asked[at : at + _CHUNK]
        found = _flatness(samples, starts[chunk], lengths[chunk], sample_rate_hz)
        active[chunk] = found <= rule.max_flatness
    return active


def frame_length(sample_rate_hz: int) -> int:
    """Return the samples of a frame: the power of two nearest to 93 ms, 4096 at 44.1 kHz."""
    return int(2 ** round(np.log2(_FRAME_S * sample_rate_hz)))


def _levels_dbfs(samples: Float32, starts: Int64, lengths: Int64) -> Float64:
    """Return each window's level; its mean is left out, as an offset makes no sound."""
    power = np.zeros(len(starts))
    ones = np.ones(lengths.max(initial=0), np.float32)  # a product sums twice as fast as `mean`
    for k, (start, length) in enumerate(zip(starts, lengths, strict=True)):
        part = samples[start : start + length]
        if length:
            mean = float(np.dot(part, ones[:length])) / length
            power[k] = float(np.dot(part, part)) / length - mean**2
    return np.asarray(10 * np.log10(np.maximum(power, 1e-20)))


def _flatness(samples: Float32, starts: Int64, lengths: Int64, sample_rate_hz: int) -> Float32:
    """Return the mean flatness of the half of the bands that is least flat, `[n_windows]`."""
    edges = _band_edges(frame_length(sample_rate_hz), sample_rate_hz)
    logs = _log_spectra(samples, starts, lengths, edges, frame_length(sample_rate_hz))
    bands = np.sort(_band_flatness(logs, edges), axis=1)
    n_judged = np.isfinite(bands).sum(axis=1, keepdims=True)
    n_least = (n_judged + 1) // 2
    sums = np.take_along_axis(bands.cumsum(axis=1), np.maximum(n_least - 1, 0), axis=1)
    return np.where(n_judged > 0, sums / np.maximum(n_least, 1), 0)[:, 0]


def _log_spectra(
    samples: Float32, starts: Int64, lengths: Int64, edges: Edges, n_fft: int
) -> Float32:
    """Return the logarithm of each window's mean power in the bands' bins, `[n_windows, n_bins]`.

    A frame counts by the root of its energy: by the energy itself, noise that swells or fades
    would be little more than its loudest frame, which alone is not flat.
    """
    room = (lengths - n_fft)[:, None] * np.arange(_FRAMES)
    frames = np.lib.stride_tricks.sliding_window_view(samples, n_fft)[
        starts[:, None] + room // (_FRAMES - 1)
    ]
    frames *= _hann(n_fft)
    spectra = scipy.fft.rfft(frames, overwrite_x=True)[..., edges[0] : edges[-1]]
    power = np.square(spectra.real)
    power += np.square(spectra.imag)
    power /= np.sqrt(power.sum(axis=2, keepdims=True) + _FLOOR)
    logs: Float32 = np.log(power.sum(axis=1) + _FLOOR)
    return logs


def _band_flatness(logs: Float32, edges: Edges) -> Float32:
    """Return geometric over arithmetic mean by band, less its tilt, `[n_windows, n_bands]`.

    Only audible bins count: what lies far below the strongest one is the recorder's noise,
    or nothing where a recording was sampled at a lower rate. A band with too few is infinite.
    """
    begins, band_of, place = _layout(edges)
    audible = (logs >= logs.max(axis=1, keepdims=True) - _RANGE).astype(np.float32)

    def by_band(values: Float32) -> Float32:
        return np.add.reduceat(values * audible, begins, axis=1)

    n_audible = np.add.reduceat(audible, begins, axis=1)
    n_bins = np.maximum(n_audible, 1)
    level = (logs - (by_band(logs) / n_bins)[:, band_of]) * audible
    away = (place - (by_band(place) / n_bins)[:, band_of]) * audible
    tilt = by_band(level * away) / np.maximum(by_band(away * away), 1)
    power = by_band(np.exp(level - tilt[:, band_of] * away))  # its geometric mean is 1
    judged = n_audible >= _LEAST_HEARD
    return np.where(judged, n_bins / np.where(judged, power, 1), np.float32(np.inf))


@lru_cache(maxsize=8)
def _band_edges(n_fft: int, sample_rate_hz: int) -> Edges:
    """Return the bins at which the bands begin, and the end of the last: equal steps of pitch."""
    highest_hz = min(_HIGHEST_HZ, _HIGHEST_SHARE * sample_rate_hz)
    steps_hz = np.geomspace(_LOWEST_HZ, highest_hz, _BANDS + 1)
    edges = [round(hz * n_fft / sample_rate_hz) for hz in steps_hz]
    for k in range(_BANDS):
        edges[k + 1] = max(edges[k + 1], edges[k] + _LEAST_BINS)
    return tuple(edges)


@lru_cache(maxsize=8)
def _layout(edges: Edges) -> tuple[Int64, Int64, Float32]:
    """Return where each band begins, the band of each bin, and each bin's place in its band."""
    bins = np.arange(edges[0], edges[-1])
    band_of = np.searchsorted(edges, bins, side="right") - 1
    begins = np.array(edges[:-1], np.int64)
    return begins - edges[0], band_of, (bins - begins[band_of]).astype(np.float32)


@lru_cache(maxsize=8)
def _hann(n_fft: int) -> Float32:
    return np.hanning(n_fft + 1)[:-1].astype(np.float32)  # periodic
