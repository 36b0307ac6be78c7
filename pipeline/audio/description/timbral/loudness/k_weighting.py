"""Samples in, the same samples at -24 LUFS out: ITU-R BS.1770-4 as pyloudnorm 0.1.1 computes it."""

from __future__ import annotations

import numpy as np
import scipy.signal

from pipeline.arrays import Float64

TARGET_LUFS = -24.0
"""Integrated loudness that every sound is brought to."""
_BLOCK_S, _STEP_S = 0.4, 0.1
_OFFSET_DB, _ABSOLUTE_GATE_LUFS, _RELATIVE_GATE_LU = -0.691, -70.0, -10.0


def at_target_loudness(samples: Float64, sample_rate_hz: int) -> Float64 | None:
    """Return samples of an integrated loudness of -24 LUFS, `[n_samples]`.

    Where that would exceed full scale, the peak is at full scale instead. None where no 400 ms of
    the sound reach -70 LUFS: it has no loudness then.
    """
    missing = max(0, int(sample_rate_hz * _BLOCK_S) - len(samples))
    loudness_lufs = integrated_loudness(np.pad(samples, (0, missing)), sample_rate_hz)
    if loudness_lufs is None:
        return None
    levelled = samples * 10 ** ((TARGET_LUFS - loudness_lufs) / 20)
    return np.asarray(levelled / max(1.0, np.abs(levelled).max()))


def integrated_loudness(samples: Float64, sample_rate_hz: int) -> float | None:
    """Return the gated loudness of mono samples, in LUFS; None if all of it is below -70 LUFS.

    References
    ----------
    ITU-R BS.1770-4; the filters by Bristow-Johnson's formulas, as in pyloudnorm 0.1.1.
    """
    power = _block_powers(_k_weighted(samples, sample_rate_hz), sample_rate_hz)
    power = power[_lufs(power) >= _ABSOLUTE_GATE_LUFS]
    if not len(power):
        return None
    gate_lufs = max(float(_lufs(power.mean())) + _RELATIVE_GATE_LU, _ABSOLUTE_GATE_LUFS)
    power = power[_lufs(power) > gate_lufs]
    return float(_lufs(power.mean())) if len(power) else None


def _lufs(power: Float64) -> Float64:
    return _OFFSET_DB + 10 * np.log10(np.maximum(power, np.finfo(float).tiny))


def _block_powers(weighted: Float64, sample_rate_hz: int) -> Float64:
    """Return the mean square of each block of 400 ms, one every 100 ms, `[n_blocks]`."""
    n_blocks = round((len(weighted) / sample_rate_hz - _BLOCK_S) / _STEP_S) + 1
    steps = np.arange(n_blocks) * (1 - 0.75)
    begins = (_BLOCK_S * steps * sample_rate_hz).astype(int)
    ends = (_BLOCK_S * (steps + 1) * sample_rate_hz).astype(int)
    squares = np.square(weighted)
    sums = [squares[begin:end].sum() for begin, end in zip(begins, ends, strict=True)]
    return np.array(sums) / (_BLOCK_S * sample_rate_hz)


def _k_weighted(samples: Float64, sample_rate_hz: int) -> Float64:
    sections = np.stack([_high_shelf(sample_rate_hz), _high_pass(sample_rate_hz)])
    return np.asarray(scipy.signal.sosfilt(sections, samples))


def _high_shelf(sample_rate_hz: int) -> Float64:
    """Return the section that raises what is above 1.5 kHz by 4 dB, `[6]` as scipy's `sos`."""
    gain = 10 ** (4.0 / 40)
    w = 2 * np.pi * 1500.0 / sample_rate_hz
    cos, width = np.cos(w), np.sqrt(gain) * np.sin(w) * np.sqrt(2)
    up, down = gain + 1, gain - 1
    above = gain * np.array(
        [up + down * cos + width, -2 * (down + up * cos), up + down * cos - width]
    )
    below = np.array([up - down * cos + width, 2 * (down - up * cos), up - down * cos - width])
    return np.asarray(np.concatenate([above, below]) / below[0])


def _high_pass(sample_rate_hz: int) -> Float64:
    """Return the section that lowers what is below 38 Hz, `[6]` as scipy's `sos`."""
    w = 2 * np.pi * 38.0 / sample_rate_hz
    cos, alpha = np.cos(w), np.sin(w)  # sin / 2Q, with a Q of 0.5
    above = (1 + cos) * np.array([0.5, -1.0, 0.5])
    below = np.array([1 + alpha, -2 * cos, 1 - alpha])
    return np.asarray(np.concatenate([above, below]) / below[0])
