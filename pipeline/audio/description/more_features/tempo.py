"""The tempo of a recording, and how sure it is: one column for all of it."""

from __future__ import annotations

import librosa
import numpy as np

from pipeline.audio.description import spectral
from pipeline.audio.description.analysis import Analysis, Matrix
from pipeline.audio.description.feature import Feature, named


def tempo(analysis: Analysis) -> Matrix:
    """Return tempo in beats a minute and confidence (0 to 1), `[2, 1]`.

    The tempo is of the lag at which the onset strength is most like itself (the mean of the
    tempogram), with a prior about 120 a minute; the confidence is that likeness, 1 at lag 0. A
    recording without onsets has 0 and 0.

    References
    ----------
    Ellis, "Beat tracking by dynamic programming", Journal of New Music Research 36(1), 2007,
    section 3 (the prior); librosa 0.11, `feature.tempo`.
    """
    rate_hz, hop = analysis.spec.sample_rate_hz, analysis.spec.hop
    tempogram = spectral.tempogram(analysis)
    likeness = tempogram.mean(axis=1)
    if not likeness[1:].max(initial=0) > 1e-6:
        return np.zeros((2, 1), np.float32)
    (bpm,) = librosa.feature.tempo(tg=tempogram, sr=rate_hz, hop_length=hop)
    lag = round(60 * rate_hz / (hop * bpm))
    return np.array([[bpm], [min(likeness[lag], 1)]], np.float32)


FEATURE = Feature(
    "tempo",
    named("tempo_bpm", "tempo_confidence"),
    "beats a minute, ratio",
    "Ellis 2007; librosa 0.11",
    tempo,
    columns="recording",
    settings={"start_bpm": 120.0, "win_length": spectral.TEMPO_FRAMES},
)
