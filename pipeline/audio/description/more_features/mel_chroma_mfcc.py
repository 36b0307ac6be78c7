"""Timbre and harmony as one matrix: a mel spectrum, pitch classes and MFCC, one below the other.

`jobs.train --input mel-chroma-mfcc` makes it what a network sees.
"""

from __future__ import annotations

import numpy as np

from pipeline.audio.description.analysis import N_MELS, PITCH_CLASSES, Analysis, Matrix
from pipeline.audio.description.feature import Feature, named, numbered
from pipeline.audio.description.spectral import chroma_stft, mfcc

_N_MFCC = 40


def _mel(analysis: Analysis) -> Matrix:
    return analysis.mel_shape_db


def _mfcc(analysis: Analysis) -> Matrix:
    return mfcc(analysis, n_mfcc=_N_MFCC)


_SOURCE = "librosa 0.11"
_CHROMA = named(*(f"chroma_{name}" for name in PITCH_CLASSES))
_PARTS = (
    Feature("mel", numbered("mel", N_MELS), "dB", _SOURCE, _mel),
    Feature("chroma", _CHROMA, "ratio", _SOURCE, chroma_stft),
    Feature("mfcc", numbered("mfcc", _N_MFCC), "dB", _SOURCE, _mfcc),
)


def mel_chroma_mfcc(analysis: Analysis) -> Matrix:
    """Return 128 mel bands in dB, 12 pitch classes and 40 MFCC, `[180, n_frames]`.

    Of a model's input each frame is described at its own level: of all rows only the first MFCC
    says how loud it is.

    References
    ----------
    librosa 0.11, `feature.melspectrogram`, `chroma_stft` and `mfcc`.
    """
    return np.concatenate([part.compute(analysis) for part in _PARTS])


FEATURE = Feature(
    "mel_chroma_mfcc",
    lambda spec: tuple(row for part in _PARTS for row in part.rows(spec)),
    "; ".join(f"{part.name} {part.unit}" for part in _PARTS),
    _SOURCE,
    mel_chroma_mfcc,
    settings={"n_mels": N_MELS, "n_mfcc": _N_MFCC, "top_db": 80.0, "tuning": "estimated"},
    parts=_PARTS,
)
