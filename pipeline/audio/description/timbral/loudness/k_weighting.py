"""Samples in, the same samples at -24 LUFS out: ITU-R BS.1770-4."""

from __future__ import annotations

import math

import numpy as np

from pipeline.arrays import Float64
from pipeline.audio.description.integrated_loudness import integrated_lufs

TARGET_LUFS = -24.0
"""Integrated loudness that every sound is brought to."""


def at_target_loudness(samples: Float64, sample_rate_hz: int) -> Float64 | None:
    """Return samples of an integrated loudness of -24 LUFS, `[n_samples]`.

    Where that would exceed full scale, the peak is at full scale instead. None where no 400 ms of
    the sound reach -70 LUFS: it has no loudness then.
    """
    loudness_lufs = integrated_lufs(samples, sample_rate_hz)
    if not math.isfinite(loudness_lufs):
        return None
    levelled = samples * 10 ** ((TARGET_LUFS - loudness_lufs) / 20)
    return np.asarray(levelled / max(1.0, np.abs(levelled).max()))
