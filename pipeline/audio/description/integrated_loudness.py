"""Samples in, their loudness for a listener out, by ITU-R BS.1770-4. PURE."""

from __future__ import annotations

import math
import warnings

import numpy as np

from pipeline.arrays import Float64

BLOCK_S = 0.4
"""Length of the blocks over which loudness is gated."""


def integrated_lufs(samples: Float64, sample_rate_hz: int) -> float:
    """Return the gated loudness of mono samples, `[n_samples]`, in LUFS.

    What is shorter than a block of 0.4 s gets silence behind it. Minus infinity where no block
    reaches -70 LUFS, the absolute gate.

    References
    ----------
    ITU-R BS.1770-4, by pyloudnorm 0.2.
    """
    import pyloudnorm  # here, as few ask for it

    missing = max(0, math.ceil(sample_rate_hz * BLOCK_S) - len(samples))
    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore", RuntimeWarning)  # means of no blocks, logs of 0
        meter = pyloudnorm.Meter(sample_rate_hz, block_size=BLOCK_S)
        loudness = float(meter.integrated_loudness(np.pad(samples, (0, missing))))
    return -math.inf if math.isnan(loudness) else loudness
