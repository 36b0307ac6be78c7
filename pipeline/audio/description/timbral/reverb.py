"""Reverb: the time in which decays fall by 60 dB, found without knowing the sound."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from pipeline.arrays import Float64, Int64

_TIMES_S = np.arange(0.2, 1.15, 0.1)
"""Reverberation times that a decay is compared with, `[10]`."""
_N_PARTS, _LEAST_DECAYS = 7, 3
_STEP = 2  # of the samples, to have fewer of them
_KEEP, _FIRST_S = 0.995, 0.3
_SLOPE, _INTERCEPT = 2.97126461, -1.45082989
_BLOCK_FRAMES = 1024


def reverb(samples: Float64, sample_rate_hz: int) -> float:
    """Return 1.0 where a sound is reverberant, and 0.0 where it is not: a logistic regression.

    References
    ----------
    Pearce, Brookes and Mason, AudioCommons D5.8; timbral_models 0.4.0.
    """
    return float(_SLOPE * reverberation_time_s(samples, sample_rate_hz) + _INTERCEPT >= 0)


def reverberation_time_s(samples: Float64, sample_rate_hz: int) -> float:
    """Return the reverberation time, 0.2 to 1.1 s; 0.2 s where no decay is found.

    Frames whose parts get softer one after the other are decays. The most likely time of each goes
    to a histogram; its maximum is smoothed from frame to frame, and the mean over the decays is
    taken.

    References
    ----------
    Jan and Wang, "Blind reverberation time estimation based on Laplace distribution", EUSIPCO 2012;
    Löllmann et al., "An improved algorithm for blind reverberation time estimation", IWAENC 2010.
    """
    n_part, n_shift, n_buffer = (
        round(sample_rate_hz / 24_000 * n / _STEP) for n in (700, 200, 800)
    )
    n_frame = _N_PARTS * n_part * _STEP
    if len(samples) <= n_frame:
        return float(_TIMES_S[0])
    numbers, found = [], []
    first = 0
    for frames in _frames(samples, n_frame, n_shift):
        n_decays = _n_decays(frames, n_part)
        for row in np.flatnonzero(n_decays >= _LEAST_DECAYS).tolist():
            numbers.append(first + row)
            decay = frames[row, : n_decays[row] * n_part]
            found.append(_most_likely(decay, sample_rate_hz / _STEP))
        first += len(frames)
    return (
        _smoothed_mean_s(np.array(numbers, int), found, n_buffer) if found else float(_TIMES_S[0])
    )


def _frames(samples: Float64, n_frame: int, n_shift: int) -> Iterator[Float64]:
    """Yield frames of every second sample, `[at most 1024, n_frame / 2]`."""
    frames = np.lib.stride_tricks.sliding_window_view(samples, n_frame)[::n_shift, ::_STEP]
    for first in range(0, len(frames), _BLOCK_FRAMES):
        yield frames[first : first + _BLOCK_FRAMES]


def _n_decays(frames: Float64, n_part: int) -> Int64:
    """Return how many parts are each softer than the one before, `[n_frames]`.

    From the second part on. 0 where all five are: then timbral_models takes no estimate.
    """
    parts = [frames[:, :n_part]]
    parts += [frames[:, k * n_part : (k + 1) * n_part + 1] for k in range(1, _N_PARTS - 1)]
    variance, largest, least = (
        np.stack([f(part, axis=1) for part in parts], axis=1) for f in (np.var, np.max, np.min)
    )
    is_softer = (np.diff(variance) < 0) & (np.diff(largest) < 0) & (np.diff(least) > 0)
    return np.where(is_softer.all(axis=1), 0, is_softer.argmin(axis=1))


def _most_likely(decay: Float64, rate_hz: float) -> int:
    """Return the number of the time that makes a decay likeliest, with Laplacian samples."""
    log_factors = -3 * np.log(10) / (_TIMES_S * rate_hz)
    steps = np.arange(len(decay))
    scales = np.exp(-log_factors[:, np.newaxis] * steps) @ np.abs(decay) / len(decay)
    return int(np.argmax(-len(decay) * np.log(scales) - log_factors * steps.sum()))


def _smoothed_mean_s(numbers: Int64, found: list[int], n_buffer: int) -> float:
    """Return the mean over the decays of the smoothed maximum of the histogram of times.

    `numbers` are the numbers of the frames that are decays. The histogram forgets what is more than
    about `n_buffer` decays ago.
    """
    histogram, raw_s, smoothed_s, last, times_s = (
        np.zeros(len(_TIMES_S)),
        _FIRST_S,
        _FIRST_S,
        -1,
        [],
    )
    for k, (number, time) in enumerate(zip(numbers.tolist(), found, strict=True)):
        smoothed_s = raw_s + _KEEP ** (number - last - 1) * (smoothed_s - raw_s)
        histogram[time] += 1
        if k > n_buffer:
            histogram[found[k - n_buffer]] -= 1
        raw_s = float(_TIMES_S[histogram.argmax()])
        smoothed_s = _KEEP * smoothed_s + (1 - _KEEP) * raw_s
        last = number
        times_s.append(smoothed_s)
    return float(np.mean(times_s))
