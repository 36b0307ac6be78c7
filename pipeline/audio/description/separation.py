"""A recording in, parts that add up to it out: what has one spectrum is one part (NMF). PURE."""

from __future__ import annotations

import librosa
import numpy as np

from pipeline.arrays import Float32
from pipeline.audio.description.analysis import nmf
from pipeline.audio.spectra.compiled import import_alone
from pipeline.errors import UsageError

N_FFT, HOP = 2048, 512
"""Frames of the spectrum that is factored, in samples."""


def separate(samples: Float32, *, n_parts: int = 4) -> Float32:
    """Return a recording as parts, `[n_parts, n_samples]`, the one of the most energy first.

    The magnitude spectrum is factored into spectra and how strong each is over time. Each part gets
    its share of every value of the complex spectrum (a soft mask), and so the recording's phases:
    the parts add up to the recording, to 1e-5. A part is what has one spectrum, such as a note or
    a drum, and no instrument; which part is what differs between recordings.

    Parameters
    ----------
    samples
        Mono audio at any rate, `[n_samples]`, at least one sample. The time that it takes grows
        with its length: some hundredths of a second a second.
    n_parts
        How many parts, 1 or more.

    References
    ----------
    Smaragdis and Brown, "Non-negative matrix factorization for polyphonic music transcription",
    WASPAA 2003; Virtanen, "Monaural sound source separation by nonnegative matrix factorization",
    IEEE TASLP 15(3), 2007, section II (the masks); scikit-learn, `NMF`.

    Examples
    --------
    >>> separate(np.zeros(44_100, np.float32), n_parts=3).shape
    (3, 44100)
    """
    if samples.ndim != 1 or not len(samples) or n_parts < 1:
        raise UsageError(
            f"found samples of shape {list(samples.shape)} and {n_parts} parts; expected mono "
            "samples, at least one, and 1 part or more"
        )
    import_alone()
    padded = np.pad(samples.astype(np.float32, copy=False), N_FFT // 2)
    padded = np.pad(padded, (0, -len(padded) % HOP))
    spectrum = librosa.stft(padded, n_fft=N_FFT, hop_length=HOP, center=False)
    parts = np.stack([_sound(spectrum * mask, len(samples)) for mask in _masks(spectrum, n_parts)])
    return np.asarray(parts[np.argsort(-np.square(parts).sum(axis=1), kind="stable")])


def _masks(spectrum: Float32, n_parts: int) -> Float32:
    """Return each part's share of every value, `[n_parts, n_bins, n_frames]`; their sum is 1."""
    components, activations = nmf(np.abs(spectrum), n_parts)
    strengths = components.T[:, :, np.newaxis] * activations[:, np.newaxis, :]
    strengths += np.finfo(np.float32).tiny  # silence is shared alike
    return np.asarray(strengths / strengths.sum(axis=0), np.float32)


def _sound(spectrum: Float32, n_samples: int) -> Float32:
    whole = librosa.istft(spectrum, hop_length=HOP, center=False)
    return np.asarray(whole[N_FFT // 2 :][:n_samples], np.float32)
