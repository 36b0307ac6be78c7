"""Samples in, the same samples at -24 LUFS out: ITU-R BS.1770-4."""

from __future__ import annotations

import math
import warnings

import numpy as np

from pipeline.arrays import Float64

TARGET_LUFS = -24.0
"""Integrated loudness that every sound is brought to."""
_BLOCK_S = 0.4


def at_target_loudness(samples: Float64, sample_rate_hz: int) -> Float64 | None:
    """Return samples of an integrated loudness of -24 LUFS, `[n_samples]`.

    Where that would exceed full scale, the peak is at full scale instead. None where no 400 ms of
    the sound reach -70 LUFS: it has no loudness then.

    References
    ----------
    ITU-R BS.1770-4, by pyloudnorm 0.2.
    """
    import pyloudnorm  # here, as few ask for it

    missing = max(0, int(sample_rate_hz * _BLOCK_S) - len(samples))
    with np.errstate(all="ignore"), warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # means of no blocks, logs of 0
        meter = pyloudnorm.Meter(sample_rate_hz)
        loudness_lufs = float(meter.integrated_loudness(np.pad(samples, (0, missing))))
    if not math.isfinite(loudness_lufs):
        return None
    levelled = samples * 10 ** ((TARGET_LUFS - loudness_lufs) / 20)
    return np.asarray(levelled / max(1.0, np.abs(levelled).max()))
