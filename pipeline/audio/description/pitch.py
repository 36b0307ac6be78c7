"""One recording in, its pitch out: YIN, pYIN and CREPE in Hz, and a roll of 88 notes.

Pitch by CREPE needs `pip install '.[crepe]'`: it brings torchcrepe and the network's weights.
"""

from __future__ import annotations

from importlib import import_module

import librosa
import numpy as np

from pipeline.arrays import Float64
from pipeline.audio.description.analysis import PITCH_MAX_HZ, PITCH_MIN_HZ, Analysis, Matrix
from pipeline.errors import UsageError

FIRST_MIDI, N_NOTES = 21, 88
"""The roll is a piano's keyboard: A0 (MIDI 21) to C8 (MIDI 108)."""

CREPE_MODEL = "tiny"
"""torchcrepe's network: tiny (0.5 M weights) or full (22 M, ten times slower)."""
CREPE_RATE_HZ = 16_000
"""Sample rate of CREPE's network in Hz; it takes 1,024 samples at a time."""
_CREPE_SAMPLES = 1024
_CREPE_CENTS = 1997.3794084376191 + 20 * np.arange(360)  # of the network's bins, above 10 Hz
_CREPE_BATCH = 128  # frames at a time: bounds the memory of a long track
_CREPE_REACH = 4  # bins beside the peak that count in the average


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


def crepe(analysis: Analysis) -> Matrix:
    """Return CREPE's pitch in Hz and its periodicity (0 to 1), `[2, n_frames]`.

    The frames are cut here and not by torchcrepe, which wants a hop of whole samples at 16 kHz: 512
    at 44.1 kHz is 185.76, and 186 would be 13 ms late after 10 s. Frame `t` is centred at the
    sample nearest to `t * hop`, so none is off by more than 31 microseconds. The pitch is the
    paper's average of the bins around the highest one; torchcrepe's decoders add random dither, and
    its Viterbi path would make a frame depend on all others.

    References
    ----------
    Kim, Salamon, Li and Bello, "CREPE: a convolutional representation for pitch estimation", ICASSP
    2018; torchcrepe 0.0.24.
    """
    frames = _crepe_frames(analysis)
    batches = range(0, len(frames), _CREPE_BATCH)
    return np.hstack([_averaged(_activation(frames[i : i + _CREPE_BATCH])) for i in batches])


def _crepe_frames(analysis: Analysis) -> Matrix:
    """Return frames of 1,024 samples at 16 kHz, each of mean 0 and deviation 1."""
    spec = analysis.spec
    resampled = librosa.resample(
        analysis.samples, orig_sr=spec.sample_rate_hz, target_sr=CREPE_RATE_HZ
    )
    times_s = np.arange(analysis.n_frames) * spec.hop / spec.sample_rate_hz
    starts = np.rint(times_s * CREPE_RATE_HZ).astype(int)
    padded = np.pad(resampled, (_CREPE_SAMPLES // 2, _CREPE_SAMPLES))
    frames = np.lib.stride_tricks.sliding_window_view(padded, _CREPE_SAMPLES)[starts]
    frames = frames - frames.mean(axis=1, keepdims=True)
    deviation = frames.std(axis=1, ddof=1, keepdims=True)
    return np.asarray(frames / np.maximum(deviation, 1e-10), np.float32)


def _activation(frames: Matrix) -> Matrix:
    """Return what the network says of each bin of 20 cents, `[n_frames, 360]`, 0 to 1."""
    try:
        torchcrepe = import_module("torchcrepe")
    except ImportError as error:
        raise UsageError("crepe needs torchcrepe: pip install '.[crepe]'") from error
    torch = import_module(
        "torch"
    )  # torchcrepe brings it; this package does not import torch itself
    with torch.inference_mode():
        activation = torchcrepe.infer(torch.from_numpy(frames), CREPE_MODEL)
    return np.asarray(activation.numpy(), np.float32)


def _averaged(activation: Matrix) -> Matrix:
    """Return pitch in Hz and height of the peak, `[2, n_frames]`, of activations."""
    peak = activation.argmax(axis=1)
    near = np.abs(np.arange(activation.shape[1]) - peak[:, np.newaxis]) <= _CREPE_REACH
    weights: Float64 = np.where(near, activation, 0).astype(np.float64)
    cents = weights @ _CREPE_CENTS / np.maximum(weights.sum(axis=1), np.finfo(float).tiny)
    return np.stack([10 * 2 ** (cents / 1200), activation.max(axis=1)]).astype(np.float32)
