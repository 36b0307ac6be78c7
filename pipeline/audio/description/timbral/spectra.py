"""Samples in, sums over spectra of frames out, computed in blocks: little memory for a track."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import scipy.fft
import scipy.signal

from pipeline.arrays import Float64

_BLOCK_FRAMES = 256


@dataclass(frozen=True)
class FrameSums:
    """What is kept of a power spectrogram, frame by frame and bin by bin."""

    power: Float64
    """Sum over the bins, `[n_frames]`; 0.5 for a full-scale sine."""
    moment_hz: Float64
    """Sum over the bins of power times frequency, `[n_frames]`."""
    spectrum: Float64
    """Sum over the frames, `[n_bins]`."""
    frequencies_hz: Float64
    """Frequencies of the bins, `[n_bins]`."""

    @property
    def centroid_hz(self) -> Float64:
        """Mean frequency of each frame, weighted by power, `[n_frames]`; 0 for silence."""
        return self.moment_hz / np.where(self.power > 0, self.power, 1.0)


def frame_sums(samples: Float64, sample_rate_hz: int, n_fft: int) -> FrameSums:
    """Return the sums of the power spectrogram, Hamming frames of `n_fft`, a quarter of it apart.

    The mean of each frame is taken from it. Samples shorter than a frame give one frame.
    """
    length = min(n_fft, len(samples))
    window = scipy.signal.get_window("hamming", length)
    frequencies_hz = scipy.fft.rfftfreq(n_fft, 1 / sample_rate_hz)
    sides = np.r_[1.0, np.full(n_fft // 2 - 1, 2.0), 1.0] / window.sum() ** 2
    power, moment_hz, spectrum = [], [], np.zeros(len(frequencies_hz))
    for frames in blocks(samples, length, max(1, n_fft // 4)):
        centred = (frames - frames.mean(axis=1, keepdims=True)) * window
        block = np.square(np.abs(scipy.fft.rfft(centred, n_fft))) * sides
        power.append(block.sum(axis=1))
        moment_hz.append(block @ frequencies_hz)
        spectrum += block.sum(axis=0)
    return FrameSums(np.concatenate(power), np.concatenate(moment_hz), spectrum, frequencies_hz)


def blocks(samples: Float64, length: int, hop: int) -> Iterator[Float64]:
    """Yield the whole frames of samples in blocks, `[at most 256, length]`; at least one frame."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, length)[::hop]
    for first in range(0, len(frames), _BLOCK_FRAMES):
        yield frames[first : first + _BLOCK_FRAMES]


def cut_off(samples: Float64, kind: str, frequency_hz: float, sample_rate_hz: int) -> Float64:
    """Return samples after three Butterworth filters of 2nd order in a row, `[n_samples]`.

    `kind` is "highpass" or "lowpass"; at the frequency the level is -9 dB.
    """
    section = scipy.signal.butter(2, frequency_hz, kind, fs=sample_rate_hz, output="sos")
    return np.asarray(scipy.signal.sosfilt(np.tile(section, (3, 1)), samples))
