"""One recording in, one matrix out: timbre, harmony, rhythm and factors of its spectrum.

Everything here takes an `Analysis` and nothing else, and returns float `[n_rows, n_frames]`; what
the rows are is in `pipeline.audio.description.feature_table`. Equal to librosa's functions on the
samples.
"""

from __future__ import annotations

import librosa
import numpy as np

from pipeline.audio.description.analysis import Analysis, Matrix, constant_q
from pipeline.audio.spectra.logmel import LogMelSpec, log_mel

N_LOGMEL = 256
"""Mel bands of the log-mel."""
_FAR_DOWN = 1e-5  # a full-scale sine's 512 becomes -23 dB, and librosa's least value is -100
TEMPO_FRAMES = 384
"""Window of the tempogram, in frames."""


def logmel(analysis: Analysis) -> Matrix:
    """Return the log-mel of the image models, in dB, `[256, n_frames]`."""
    spec = analysis.spec
    frames = LogMelSpec(
        sample_rate_hz=spec.sample_rate_hz, n_fft=spec.n_fft, hop=spec.hop, n_mels=N_LOGMEL
    )
    return log_mel(analysis.samples, frames)


def mfcc(analysis: Analysis, *, n_mfcc: int) -> Matrix:
    """Return mel-frequency cepstral coefficients, `[n_mfcc, n_frames]`.

    References
    ----------
    Davis and Mermelstein, "Comparison of parametric representations for monosyllabic word
    recognition", IEEE TASSP 1980; librosa 0.11, `mfcc`: orthonormal DCT-II of 128 bands in dB.
    """
    return librosa.feature.mfcc(S=analysis.mel_db, n_mfcc=n_mfcc)


def zcr(analysis: Analysis) -> Matrix:
    """Return the share of neighbouring samples that differ in sign, `[1, n_frames]`."""
    spec = analysis.spec
    return librosa.feature.zero_crossing_rate(
        analysis.samples, frame_length=spec.n_fft, hop_length=spec.hop
    )


def rms(analysis: Analysis) -> Matrix:
    """Return the root of the mean square, 1 is full scale, `[1, n_frames]`."""
    spec = analysis.spec
    return librosa.feature.rms(
        y=analysis.centred, frame_length=spec.n_fft, hop_length=spec.hop, center=False
    )


def centroid(analysis: Analysis) -> Matrix:
    """Return the mean frequency of the magnitude spectrum, in Hz, `[1, n_frames]`."""
    return librosa.feature.spectral_centroid(S=analysis.magnitude, sr=analysis.spec.sample_rate_hz)


def bandwidth(analysis: Analysis) -> Matrix:
    """Return the deviation about the centroid, in Hz, `[1, n_frames]`."""
    return librosa.feature.spectral_bandwidth(S=analysis.magnitude, sr=analysis.spec.sample_rate_hz)


def contrast(analysis: Analysis) -> Matrix:
    """Return peak against valley in seven bands, in dB, `[7, n_frames]`.

    References
    ----------
    Jiang et al., "Music type classification by spectral contrast feature", ICME 2002.
    """
    magnitude = analysis.magnitude
    if analysis.is_local:  # librosa's floor, 80 dB below the largest, then lies below its least
        magnitude = magnitude * np.float32(_FAR_DOWN)
    return librosa.feature.spectral_contrast(S=magnitude, sr=analysis.spec.sample_rate_hz)


def rolloff(analysis: Analysis) -> Matrix:
    """Return the frequency below which 85 % of the magnitude is, in Hz, `[1, n_frames]`."""
    return librosa.feature.spectral_rolloff(S=analysis.magnitude, sr=analysis.spec.sample_rate_hz)


def flatness(analysis: Analysis) -> Matrix:
    """Return geometric over arithmetic mean of the power, 0 to 1, `[1, n_frames]`."""
    return librosa.feature.spectral_flatness(S=analysis.magnitude)


def poly(analysis: Analysis) -> Matrix:
    """Return slope and offset of a line through the magnitude spectrum, `[2, n_frames]`."""
    return librosa.feature.poly_features(
        S=analysis.magnitude, sr=analysis.spec.sample_rate_hz, order=1
    )


def flux(analysis: Analysis) -> Matrix:
    """Return the increase of the magnitudes, summed over the bins, `[1, n_frames]`; first frame 0.

    References
    ----------
    Dixon, "Onset detection revisited", DAFx 2006: half-wave rectified, L1.
    """
    rise = np.maximum(np.diff(analysis.magnitude, axis=1, prepend=analysis.magnitude[:, :1]), 0)
    return np.asarray(rise.sum(axis=0, keepdims=True))


def chroma_stft(analysis: Analysis) -> Matrix:
    """Return energy per pitch class from the STFT, largest 1, `[12, n_frames]`.

    The tuning is estimated from the whole recording, as librosa does.
    """
    return librosa.feature.chroma_stft(
        S=analysis.power, sr=analysis.spec.sample_rate_hz, tuning=analysis.stft_tuning
    )


def chroma_cqt(analysis: Analysis) -> Matrix:
    """Return energy per pitch class from the CQT, largest 1, `[12, n_frames]`."""
    return librosa.feature.chroma_cqt(C=analysis.constant_q)


def chroma_cens(analysis: Analysis) -> Matrix:
    """Return quantised, smoothed (41 frames) chroma of length 1, `[12, n_frames]`.

    References
    ----------
    Müller and Ewert, "Chroma toolbox", ISMIR 2011.
    """
    return librosa.feature.chroma_cens(C=analysis.constant_q)


def tonnetz(analysis: Analysis) -> Matrix:
    """Return the tonal centroid, `[6, n_frames]`: fifths, minor thirds, major thirds.

    References
    ----------
    Harte, Sandler and Gasser, "Detecting harmonic change in musical audio", AMCMM 2006.
    """
    return librosa.feature.tonnetz(chroma=chroma_cqt(analysis))


def cqt(analysis: Analysis) -> Matrix:
    """Return the magnitude of the constant-Q transform, C1 to B7, `[84, n_frames]`."""
    return constant_q(analysis, bins_per_octave=12)


def tempogram(analysis: Analysis) -> Matrix:
    """Return the autocorrelation of the onset strength per lag in frames, `[384, n_frames]`.

    References
    ----------
    Grosche, Müller and Kurth, "Cyclic tempogram", ICASSP 2010.
    """
    spec = analysis.spec
    onset = librosa.onset.onset_strength(
        S=analysis.mel_db, sr=spec.sample_rate_hz, n_fft=spec.n_fft, hop_length=spec.hop
    )
    return librosa.feature.tempogram(onset_envelope=onset, win_length=TEMPO_FRAMES, norm=np.inf)


def nmf_components(analysis: Analysis) -> Matrix:
    """Return the spectra that the magnitudes are made of, `[1 + n_fft / 2, 16]`.

    References
    ----------
    Smaragdis and Brown, "Non-negative matrix factorization for polyphonic music transcription",
    WASPAA 2003; scikit-learn's NMF from Boutsidis and Gallopoulos' NNDSVD, which is deterministic.
    """
    return analysis.factors[0]


def nmf_activations(analysis: Analysis) -> Matrix:
    """Return how strong each of those spectra is over time, `[16, n_frames]`."""
    return analysis.factors[1]
