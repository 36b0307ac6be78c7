"""An STFT in, the share of its percussive part out: vertical lines against horizontal ones."""

from __future__ import annotations

import librosa
import numpy as np
import scipy.ndimage

from pipeline.arrays import Float64
from pipeline.audio.description.timbral.events.envelope import rms_envelope
from pipeline.audio.description.timbral.sound import weighted_mean

_N_MEDIAN = 31
"""Frames, or bins, that a median is taken of."""


def percussive_share(samples: Float64, stft: Float64) -> float:
    """Return the share of the percussive part in the level, 0 to 1; NaN for silence.

    Parameters
    ----------
    samples
        `[n_samples]`.
    stft
        Their STFT with a hop of 512, centred frames, `[n_bins, n_frames]`, complex.

    References
    ----------
    Fitzgerald, "Harmonic/percussive separation using median filtering", DAFx 2010; equal to librosa
    0.11, `hpss`.
    """
    magnitude = np.abs(stft)
    along, across = _medians(magnitude), _medians(magnitude.T).T
    mask = librosa.util.softmask(along, across, power=2.0, split_zeros=True)
    harmonic = librosa.istft(stft * mask)
    parts = (harmonic, samples[: len(harmonic)] - harmonic)  # the two masks add up to 1
    soft, hard = (rms_envelope(part, length=1024, hop=512) for part in parts)
    total = soft + hard
    return weighted_mean(hard / np.where(total > 0, total, 1.0), total)


def _medians(rows: Float64) -> Float64:
    """Return the median of 31 values around each, along the rows; mirrored at the ends.

    All rows as one: scipy's filter of one dimension is ten times as fast as that of two.
    """
    half = _N_MEDIAN // 2
    padded = np.pad(rows, ((0, 0), (half, half)), mode="symmetric")
    medians = scipy.ndimage.median_filter(padded.ravel(), _N_MEDIAN).reshape(padded.shape)
    return np.asarray(medians[:, half:-half])
