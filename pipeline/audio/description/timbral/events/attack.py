"""The envelope of one event in, its attack out: when it starts, and how long it takes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from pipeline.arrays import Float64

_N_THRESHOLDS = 9
"""Levels that a rise is measured at: 10, 20 ... 90 % of it."""
_EFFORT_RATIO = 3.0


@dataclass(frozen=True)
class Attack:
    """The rise of an event to its peak."""

    start: int
    """Its first sample, counted from the start of the envelope."""
    time_s: float
    """How long it takes, in seconds."""


def attack_of_least_effort(envelope: Float64, rate_hz: float, max_s: float) -> Attack | None:
    """Return the attack between the levels at which the rise is fast; None without a rise.

    The rise is cut at nine levels. The attack begins with the first step that does not take longer
    than three times the mean, and ends before the next that does.

    Parameters
    ----------
    envelope
        Of one event, `[n_samples]`.
    rate_hz
        Rate of the envelope.
    max_s
        Longest attack: a longer one is cut.

    References
    ----------
    Peeters, "A large set of audio features for sound description (CUIDADO)", IRCAM 2004: weakest
    effort method; timbral_models 0.4.0.
    """
    low, rise = _rise(envelope)
    if len(rise) < 2:
        return None
    step = 1 / (_N_THRESHOLDS + 1)
    levels = np.linspace(step, 1 - step, _N_THRESHOLDS) * np.ptp(rise) + rise.min()
    crossings = np.argmax(rise >= levels[:, np.newaxis], axis=1)
    efforts = np.diff(crossings)
    limit = efforts.mean() * _EFFORT_RATIO
    first = int(np.argmax(efforts <= limit))
    slow = int(np.argmax(efforts[first:] >= limit)) or len(efforts) - first - 1
    start, end = crossings[first], crossings[first + slow]
    if start == end:
        start, end = crossings[0], crossings[-1]
    return Attack(low + int(start), _limited_s(int(end - start), rate_hz, max_s))


def attack_start_at_20_percent(envelope: Float64) -> int | None:
    """Return where the rise to the peak reaches 20 % of its height; None without a rise."""
    low, rise = _rise(envelope)
    if len(rise) < 2:
        return None
    return low + int(np.argmax(rise >= 0.2 * np.ptp(rise) + rise.min()))


def _rise(envelope: Float64) -> tuple[int, Float64]:
    """Return the last sample of the least level before the peak, and the levels from it to it."""
    peak = int(envelope.argmax())
    before = envelope[:peak]
    low = int(np.flatnonzero(before == before.min())[-1]) if peak else 0
    return low, envelope[low : peak + 1] / envelope[peak]


def _limited_s(n_samples: int, rate_hz: float, max_s: float) -> float:
    if n_samples == 0:
        return 1 / rate_hz
    if (n_samples + 1) / rate_hz > max_s:
        n_samples = int(rate_hz * max_s)
    return (n_samples + 1) / rate_hz
