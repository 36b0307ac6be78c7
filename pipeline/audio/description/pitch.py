"""One recording in, its pitch out: YIN and pYIN in Hz, and a roll of 88 notes; CREPE's: `crepe`."""

from __future__ import annotations

import librosa
import numpy as np

from pipeline.audio.description.analysis import PITCH_MAX_HZ, PITCH_MIN_HZ, Analysis, Matrix

FIRST_MIDI, N_NOTES = 21, 88
"""The roll is a piano's keyboard: A0 (MIDI 21) to C8 (MIDI 108)."""


def yin(analysis: Analysis) -> Matrix:
    """Return YIN's pitch in Hz, `[1, n_frames]`; a number in every frame, silent ones too.

    References
    ----------
    de Cheveigné and Kawahara, "YIN, a fundamental frequency estimator for speech and music", JASA
    2002; librosa 0.11, `yin`.
    """
    f0_hz = librosa.yin(
        analysis.samples,
        sr=analysis.spec.sample_rate_hz,
        fmin=PITCH_MIN_HZ,
        fmax=PITCH_MAX_HZ,
        frame_length=analysis.spec.pitch_length,
        hop_length=analysis.spec.hop,
    )
    return np.asarray(f0_hz, np.float32)[np.newaxis]


def pyin(analysis: Analysis) -> Matrix:
    """Return pYIN's pitch in Hz, NaN where unvoiced, and its voiced probability, `[2, n_frames]`.

    References
    ----------
    Mauch and Dixon, "pYIN: a fundamental frequency estimator using probabilistic threshold
    distributions", ICASSP 2014; librosa 0.11, `pyin`.
    """
    return analysis.voiced_pitch


def pitch_roll(analysis: Analysis) -> Matrix:
    """Return the pitch-activity roll, `[88, n_frames]`, rows MIDI 21 to 108.

    The value is pYIN's voiced probability in the row of the nearest note, and 0 in every other row
    and where pYIN finds no pitch. pYIN looks from C2 to C7: rows beyond are 0.
    """
    f0_hz, probability = analysis.voiced_pitch
    roll = np.zeros((N_NOTES, len(f0_hz)), np.float32)
    frames = np.flatnonzero(np.isfinite(f0_hz))
    notes = np.rint(librosa.hz_to_midi(f0_hz[frames])).astype(int) - FIRST_MIDI
    roll[notes, frames] = probability[frames]
    return roll
