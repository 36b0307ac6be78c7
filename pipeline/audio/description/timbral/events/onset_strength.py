"""Magnitudes of an STFT in, strength of onsets and the frames of its peaks out: as librosa 0.11."""

from __future__ import annotations

import librosa
import numpy as np
import scipy.ndimage

from pipeline.arrays import Float64, Int64

N_FFT, HOP = 2048, 512
"""Length and distance of the frames, in samples."""
_N_BEFORE = N_FFT // (2 * HOP) + 1  # frames: half a frame, and the one that is compared with
_LEAST_RISE = 0.07


def stft(samples: Float64) -> Float64:
    """Return the STFT of samples, centred frames, `[1025, 1 + n_samples // 512]`, complex."""
    # Padded here: librosa's own centring warns where the input is shorter than a frame.
    padded = np.pad(samples, N_FFT // 2)
    return np.asarray(librosa.stft(padded, n_fft=N_FFT, hop_length=HOP, center=False))


def onset_strength(magnitude: Float64, sample_rate_hz: int) -> Float64:
    """Return the mean rise of 128 mel bands in dB from frame to frame, `[n_frames]`.

    Of magnitudes `[1025, n_frames]`. A rise is dated half a frame and one hop later.

    References
    ----------
    Böck and Widmer, "Maximum filter vibrato suppression for onset detection", DAFx 2013, without
    the maximum filter; librosa 0.11, `onset_strength`.
    """
    mel = librosa.feature.melspectrogram(
        S=np.square(magnitude), sr=sample_rate_hz, n_fft=N_FFT, fmax=0.5 * sample_rate_hz
    )
    rise = np.maximum(np.diff(librosa.power_to_db(mel), axis=1), 0).mean(axis=0)
    return np.pad(rise, (_N_BEFORE, 0))[: magnitude.shape[1]]


def onset_frames(strength: Float64, sample_rate_hz: int) -> Int64:
    """Return the frames in which onsets begin: minima of the strength before its peaks, ascending.

    A frame may stand there twice.

    References
    ----------
    Böck, Krebs and Schedl, "Evaluating the online capabilities of onset detection methods", ISMIR
    2012; librosa 0.11, `onset_detect(backtrack=True)`.
    """
    lifted = strength - strength.min()
    if not lifted.any():
        return np.zeros(0, np.int64)
    scaled = lifted / lifted.max()
    is_minimum = (scaled[1:-1] <= scaled[:-2]) & (scaled[1:-1] < scaled[2:])
    minima = np.append(0, 1 + np.flatnonzero(is_minimum))
    peaks = _peaks(scaled, sample_rate_hz / HOP)
    return np.asarray(minima[np.searchsorted(minima, peaks, side="right") - 1])


def _peaks(strength: Float64, frame_rate_hz: float) -> Int64:
    """Return the frames that are the largest of 30 ms, above the mean of 200 ms around them."""
    n_before, n_around = int(0.03 * frame_rate_hz), int(0.1 * frame_rate_hz)
    padded = np.pad(strength, (n_before, 0))
    largest = np.lib.stride_tricks.sliding_window_view(padded, n_before + 1).max(axis=1)
    window = np.ones(2 * n_around + 1)
    sums, counts = (
        scipy.ndimage.convolve1d(values, window, mode="constant")
        for values in (strength, np.ones_like(strength))
    )
    is_high = (strength > 0) & (strength >= sums / counts + _LEAST_RISE)
    peaks: list[int] = []
    for frame in np.flatnonzero((strength == largest) & is_high).tolist():
        if not peaks or frame > peaks[-1] + n_before:
            peaks.append(frame)
    return np.array(peaks, np.int64)
