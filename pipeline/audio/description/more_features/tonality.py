"""The key of a recording, and how sure it is: one column for all of it."""

from __future__ import annotations

import numpy as np

from pipeline.audio.description import spectral
from pipeline.audio.description.analysis import Analysis, Matrix
from pipeline.audio.description.feature import Feature, named

_MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
_MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)


def tonality(analysis: Analysis) -> Matrix:
    """Return tonic (0 C to 11 B), mode (1 major, 0 minor) and confidence (0 to 1), `[3, 1]`.

    The key is the one of 24 whose profile correlates most with the mean of the chroma (of the
    constant-Q transform); the confidence is that correlation. Where all pitch classes are alike,
    as in silence, it is C major with a confidence of 0.

    References
    ----------
    Krumhansl, "Cognitive Foundations of Musical Pitch", 1990, chapter 2 (the profiles of Krumhansl
    and Kessler, 1982) and chapter 4 (the algorithm).
    """
    classes = spectral.chroma_cqt(analysis).mean(axis=1).astype(np.float64)
    away = classes - classes.mean()
    if not np.linalg.norm(away) > 1e-9:
        return np.array([[0], [1], [0]], np.float32)
    keys = [np.roll(profile, tonic) for profile in (_MAJOR, _MINOR) for tonic in range(12)]
    found = np.corrcoef(np.vstack([away, *keys]))[0, 1:]
    best = int(found.argmax())
    return np.array([[best % 12], [best < 12], [max(found[best], 0)]], np.float32)


FEATURE = Feature(
    "tonality",
    named("key_tonic", "key_is_major", "key_confidence"),
    "pitch class, flag, ratio",
    "Krumhansl 1990; librosa 0.11 (chroma_cqt)",
    tonality,
    columns="recording",
)
