"""Roughness: how much the partials of each 50 ms beat against each other."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import scipy.fft

from pipeline.arrays import Float64
from pipeline.audio.description.timbral.peaks import find_peaks
from pipeline.audio.description.timbral.sound import Sound

_FRAME_S = 0.05
_N_SILENT = 512  # samples of silence before the sound
_PEAK_CONTRAST = 0.01
_LEAST = 0.01
_LOG_ROUGHNESS, _OFFSET = 13.98779569, 48.97606571545886
_BLOCK_FRAMES = 256


def roughness(sound: Sound) -> float:
    """Return the roughness, about 0 to 100; 0 where hardly any partials beat.

    References
    ----------
    Vassilakis, "SRA: a web-based research tool for spectral and roughness analysis of sound
    signals", SMC 2007; AudioCommons D5.6; timbral_models 0.4.0.
    """
    frames = _Frames(sound)
    low, high = frames.extremes()
    if not high > low:
        return float("nan")
    total = sum(
        pair_roughness(*peaks)
        for magnitudes in frames.magnitudes()
        for peaks in _peaks(magnitudes, frames.frequencies_hz, low, high)
    )
    mean = total / frames.n_frames
    return _LOG_ROUGHNESS * float(np.log10(mean)) + _OFFSET if mean >= _LEAST else 0.0


def pair_roughness(frequencies_hz: Float64, heights: Float64) -> float:
    """Return the roughness of all pairs of partials, `[n]` each, the highest partial first."""
    first, second = np.tril_indices(len(frequencies_hz), -1)
    lower_hz = np.minimum(frequencies_hz[first], frequencies_hz[second])
    bandwidths = 0.24 * np.abs(frequencies_hz[first] - frequencies_hz[second])
    bandwidths /= 0.0207 * lower_hz + 18.96
    beats = np.exp(-3.51 * bandwidths) - np.exp(-5.75 * bandwidths)
    a, b = heights[first], heights[second]  # b stands before a: it is the higher one
    fluctuation = 0.5 * (2 * b / (a + b)) ** 3.11
    tenth = heights**0.1
    return float(np.dot(tenth[first] * tenth[second] * fluctuation, beats))


class _Frames:
    """Magnitudes of frames of 50 ms, half of it apart, in blocks: they are asked for twice."""

    def __init__(self, sound: Sound) -> None:
        self._samples = np.pad(sound.samples, (_N_SILENT, 0))
        self._length = int(sound.sample_rate_hz * _FRAME_S)
        self._n_fft = 2 ** int(np.log2(self._length) + 1)
        n_whole = int((len(self._samples) - self._length) / (self._length / 2)) + 1
        is_short = len(self._samples) <= self._length
        self._begins = [0] if is_short else [int(i * self._length / 2) for i in range(n_whole)]
        # One frame more than are whole, as timbral_models counts them.
        self.n_frames = max(1, int(len(self._samples) / (self._length / 2)))
        window = np.hamming(self._length + 2)[1:-1]
        self._window = np.ones(self._length) if is_short else window
        self.frequencies_hz = np.linspace(0, sound.sample_rate_hz / 2, self._n_fft // 2 + 1)

    def magnitudes(self) -> Iterator[Float64]:
        """Yield the magnitudes of at most 256 frames, `[n, n_bins]`."""
        steps = np.arange(self._length)
        samples = np.pad(self._samples, (0, max(0, self._length - len(self._samples))))
        for first in range(0, len(self._begins), _BLOCK_FRAMES):
            begins = np.array(self._begins[first : first + _BLOCK_FRAMES])
            frames = samples[begins[:, np.newaxis] + steps] * self._window
            yield np.abs(scipy.fft.rfft(frames, self._n_fft))

    def extremes(self) -> tuple[float, float]:
        """Return the least and the largest magnitude of all frames."""
        ends = np.array([(block.min(), block.max()) for block in self.magnitudes()])
        has_silent = self.n_frames > len(self._begins)
        return 0.0 if has_silent else float(ends[:, 0].min()), float(ends[:, 1].max())


def _peaks(
    magnitudes: Float64, frequencies_hz: Float64, low: float, high: float
) -> Iterator[tuple[Float64, Float64]]:
    """Yield the frequencies and heights of the peaks of each frame."""
    for magnitude in magnitudes:
        scaled = (magnitude - low) / (high - low)
        peaks = find_peaks(scaled, frequencies_hz, _PEAK_CONTRAST, spectrum=magnitude)
        yield peaks.frequencies_hz, peaks.heights
