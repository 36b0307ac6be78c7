"""The place of a sound in its window: silence around one-shots, a part of what is longer."""

from __future__ import annotations

import numpy as np

from pipeline.arrays import Float32


def placed(samples: Float32, rng: np.random.Generator, n_samples: int) -> Float32:
    """Return exactly `n_samples`: a part of longer ones, shorter ones somewhere in silence.

    The place is uniform in both cases. So a one-shot is not always at its window's beginning.
    """
    start = int(rng.integers(0, abs(len(samples) - n_samples) + 1))
    if len(samples) >= n_samples:
        return samples[start : start + n_samples]
    window = np.zeros(n_samples, np.float32)
    window[start : start + len(samples)] = samples
    return window
