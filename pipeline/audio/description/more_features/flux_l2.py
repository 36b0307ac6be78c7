"""How far the shape of the spectrum moves from a frame to the next, however loud they are."""

from __future__ import annotations

import numpy as np

from pipeline.audio.description.analysis import Analysis, Matrix
from pipeline.audio.description.feature import Feature, named


def flux_l2(analysis: Analysis) -> Matrix:
    """Return the L2 distance of a frame's spectrum to the one before, `[1, n_frames]`.

    Spectra are of length 1, so it is 0 where only the level changes and root 2 where two spectra
    have no bin in common. The first frame has 0, and so has silence beside silence; silence beside
    sound has 1. (`flux` is another definition: the rise of the magnitudes, by which onsets are
    found.)

    References
    ----------
    Tzanetakis and Cook, "Musical genre classification of audio signals", IEEE TSAP 10(5), 2002,
    section III.A: of the normalised magnitudes of two successive frames.
    """
    lengths = np.linalg.norm(analysis.magnitude, axis=0, keepdims=True)
    shapes = analysis.magnitude / np.where(lengths > 0, lengths, 1)
    steps = np.diff(shapes, axis=1, prepend=shapes[:, :1])
    return np.asarray(np.linalg.norm(steps, axis=0, keepdims=True))


FEATURE = Feature("flux_l2", named("flux_l2"), "ratio", "Tzanetakis and Cook 2002", flux_l2)
