"""Log-magnitude spectra at several window lengths: fine in time above, fine in frequency below."""

from __future__ import annotations

import librosa
import numpy as np

from pipeline.audio.description.analysis import Analysis, FrameSpec, Matrix
from pipeline.audio.description.feature import Feature

_PARTS = (1, 2, 4)  # of n_fft: the window's length is n_fft / part
_LEAST = 1e-5
_N_BANDS = 64


def _rows(_spec: FrameSpec) -> tuple[str, ...]:
    return tuple(f"mel_{band}_window_{part}" for part in _PARTS for band in range(_N_BANDS))


def stft_multi(analysis: Analysis) -> Matrix:
    """Return 64 mel bands of three spectra, in dB, `[192, n_frames]`.

    The windows are `n_fft`, half and a quarter of it, all centred on the same sample, and scaled
    so that a steady sound has the same energy in all three. -100 dB is the least value.

    References
    ----------
    librosa 0.11: the STFT zero-padded to `n_fft`, and 64 bands of Slaney's mel scale.
    """
    spec, parts = analysis.spec, []
    for part in _PARTS:
        length = spec.n_fft // part
        spectrum = librosa.stft(
            analysis.centred,
            n_fft=spec.n_fft,
            win_length=length,
            hop_length=spec.hop,
            center=False,
        )
        power = np.square(np.abs(spectrum)) * part
        mel = librosa.feature.melspectrogram(S=power, sr=spec.sample_rate_hz, n_mels=_N_BANDS)
        parts.append(10 * np.log10(np.maximum(mel, _LEAST**2)))
    return np.concatenate(parts).astype(np.float32)


FEATURE = Feature(
    "stft_multi",
    _rows,
    "dB",
    "librosa 0.11 (STFT, slaney mel)",
    stft_multi,
    settings={"window_parts": list(_PARTS), "n_mels": _N_BANDS},
)
