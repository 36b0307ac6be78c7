"""How loud a recording is for a listener, and how much that changes: one column for all of it."""

from __future__ import annotations

import math
import warnings

import numpy as np

from pipeline.arrays import Float64
from pipeline.audio.description.analysis import Analysis, Matrix
from pipeline.audio.description.feature import Feature, named
from pipeline.audio.description.integrated_loudness import BLOCK_S, integrated_lufs

_LEAST_LUFS = -70.0  # the absolute gate of BS.1770: below it nothing counts
_RANGE_BLOCK_S = 3.0


def loudness(analysis: Analysis) -> Matrix:
    """Return the integrated loudness in LUFS, and the loudness range in LU, `[2, 1]`.

    Loudness is gated over blocks of 0.4 s; a shorter recording gets silence behind it. The range
    is the distance of the 10th and the 95th percentile of blocks of 3 s; what is shorter has 0.
    Silence has -70 LUFS, the least there is.

    References
    ----------
    ITU-R BS.1770-4; EBU Tech 3342; pyloudnorm 0.2.
    """
    rate_hz, samples = analysis.spec.sample_rate_hz, analysis.samples.astype(np.float64)
    level_lufs = max(integrated_lufs(samples, rate_hz), _LEAST_LUFS)
    return np.array([[level_lufs], [_range_lu(samples, rate_hz)]], np.float32)


def _range_lu(samples: Float64, rate_hz: int) -> float:
    """Return the loudness range; 0 of what is short, or nowhere above the gate."""
    import pyloudnorm  # here, as few ask for it

    if len(samples) < _RANGE_BLOCK_S * rate_hz:
        return 0.0
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # means of no blocks, logs of 0
        found = float(pyloudnorm.Meter(rate_hz).loudness_range(samples))
    return 0.0 if math.isnan(found) else found


FEATURE = Feature(
    "loudness",
    named("integrated_loudness_lufs", "loudness_range_lu"),
    "LUFS, LU",
    "ITU-R BS.1770-4; EBU Tech 3342; pyloudnorm 0.2",
    loudness,
    columns="recording",
    settings={"block_s": BLOCK_S, "range_block_s": _RANGE_BLOCK_S},
)
