"""How loud a recording is for a listener, and how much that changes: one column for all of it."""

from __future__ import annotations

import warnings

import numpy as np

from pipeline.arrays import Float64
from pipeline.audio.description.analysis import Analysis, Matrix
from pipeline.audio.description.feature import Feature, named

_LEAST_LUFS = -70.0  # the absolute gate of BS.1770: below it nothing counts
_BLOCK_S, _RANGE_BLOCK_S = 0.4, 3.0


def loudness(analysis: Analysis) -> Matrix:
    """Return the integrated loudness in LUFS, and the loudness range in LU, `[2, 1]`.

    Loudness is gated over blocks of 0.4 s; a shorter recording gets silence behind it. The range
    is the distance of the 10th and the 95th percentile of blocks of 3 s; what is shorter has 0.
    Silence has -70 LUFS, the least there is.

    References
    ----------
    ITU-R BS.1770-4; EBU Tech 3342; pyloudnorm 0.2.
    """
    import pyloudnorm  # here, as few ask for it

    rate_hz = analysis.spec.sample_rate_hz
    meter = pyloudnorm.Meter(rate_hz, block_size=_BLOCK_S)
    samples = analysis.samples.astype(np.float64)
    missing = max(0, int(np.ceil(_BLOCK_S * rate_hz)) + 1 - len(samples))
    with warnings.catch_warnings(), np.errstate(all="ignore"):  # means of no blocks, logs of 0
        warnings.simplefilter("ignore", RuntimeWarning)
        level_lufs = meter.integrated_loudness(np.pad(samples, (0, missing)))
        range_lu = _range_lu(meter, samples)
    found = np.array([[max(level_lufs, _LEAST_LUFS)], [range_lu]])
    return np.asarray(np.nan_to_num(found), np.float32)  # nothing above the gate has no range


def _range_lu(meter: object, samples: Float64) -> float:
    is_short = len(samples) < _RANGE_BLOCK_S * meter.rate  # type: ignore[attr-defined]
    return 0.0 if is_short else float(meter.loudness_range(samples))  # type: ignore[attr-defined]


FEATURE = Feature(
    "loudness",
    named("integrated_loudness_lufs", "loudness_range_lu"),
    "LUFS, LU",
    "ITU-R BS.1770-4; EBU Tech 3342; pyloudnorm 0.2",
    loudness,
    columns="recording",
    settings={"block_s": _BLOCK_S, "range_block_s": _RANGE_BLOCK_S},
)
