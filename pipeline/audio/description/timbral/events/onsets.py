"""Envelope and onset strength in, the samples at which the events of a sound begin out."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from pipeline.arrays import Float64, Int64
from pipeline.audio.description.timbral.events.onset_strength import HOP, onset_frames

_LEAST_STRENGTH = 3.0  # of an event's onset strength, in dB
_LEAST_RISE = 0.1  # of the envelope's range: a smaller rise is noise
_LEAST_DISTANCE_S = 0.1


def onsets(
    envelope: Float64, strength: Float64, sample_rate_hz: int, *, n_lead: int = 512
) -> list[int]:
    """Return the samples at which events begin, ascending; 0 alone if none is found.

    Parameters
    ----------
    envelope
        Sample-and-hold envelope, `[n_samples]`.
    strength
        Onset strength of the same samples, `[n_frames]`, a frame every 512 samples.
    sample_rate_hz
        Sample rate of the envelope.
    n_lead
        A rise that goes back to the first so many samples begins at 0.

    References
    ----------
    Pearce, Brookes and Mason, AudioCommons D5.6, hardness; timbral_models 0.4.0.
    """
    least_rise = float(np.ptp(envelope)) * _LEAST_RISE
    search = _Search(
        envelope, int(0.02 * sample_rate_hz), int(0.3 * sample_rate_hz), least_rise, n_lead
    )
    begins = _begins(onset_frames(strength, sample_rate_hz) * HOP, search)
    if len(begins) > 1:
        begins = _with_segments(begins, lambda a, b: _rises(envelope[a:b], least_rise))
    begins = _apart(begins, _LEAST_DISTANCE_S * sample_rate_hz)
    begins = _with_segments(begins, lambda a, b: _is_strong(strength, a, b))
    return sorted(begins) or [0]


def segments(samples: Float64, begins: list[int]) -> list[Float64]:
    """Return the samples from each onset to the next, and from the last to the end."""
    return [samples[a:b] for a, b in zip(begins, [*begins[1:], None], strict=True)]


@dataclass(frozen=True)
class _Search:
    """The envelope in which the beginning of a rise is looked for, and how far."""

    envelope: Float64
    n_near: int
    n_far: int
    least_rise: float
    n_lead: int

    def begin(self, onset: int) -> int:
        """Return the sample at which the rise before an onset begins; 0 if in the first samples."""
        while (earlier := self._earlier(onset)) not in (0, onset):
            onset = earlier
        return earlier

    def _earlier(self, onset: int) -> int:
        """Return an earlier sample of the same rise; the onset itself where there is none."""
        level, first = self.envelope[onset], onset - self.n_near - 1
        near = self.envelope[first:onset] if first >= 0 else self.envelope[: onset - 1]
        if near.min() <= level:
            lowest = int(near.argmin()) + first
            return lowest if lowest > self.n_lead else 0
        far = self.envelope[max(0, onset - self.n_far - 1) : onset]
        lower = np.flatnonzero(far < level)
        if not len(lower) or np.ptp(far[lower[-1] :]) >= self.least_rise:
            return onset
        last = onset - len(far) + int(lower[-1])
        return last if last >= self.n_lead else 0


def _begins(found: Int64, search: _Search) -> list[int]:
    """Return where the rise of each onset begins, once each; 0 only if it is the first."""
    begins: list[int] = []
    for onset in found.tolist():
        if begins and onset and onset + HOP - 1 >= len(search.envelope):
            continue
        begins.append(search.begin(min(onset, len(search.envelope) - 1)) if onset else 0)
    unique = list(dict.fromkeys(begins))
    return unique[:1] + [begin for begin in unique[1:] if begin]


def _with_segments(begins: list[int], is_event: Callable[[int, int | None], bool]) -> list[int]:
    """Return the onsets whose segment is an event; one that is not belongs to the event before."""
    kept: list[int] = []
    for begin in reversed(begins):
        if is_event(begin, kept[0] if kept else None):
            kept.insert(0, begin)
    return kept


def _rises(segment: Float64, least_rise: float) -> bool:
    peak = int(segment.argmax()) if len(segment) > 1 else 0
    return peak > 0 and bool(segment[peak] - segment[:peak].min() >= least_rise)


def _is_strong(strength: Float64, begin: int, end: int | None) -> bool:
    segment = strength[begin // HOP : None if end is None else end // HOP]
    return len(segment) > 0 and bool(segment.max() >= _LEAST_STRENGTH)


def _apart(begins: list[int], least_distance: float) -> list[int]:
    """Return the onsets without those that follow another too closely."""
    while (is_close := np.abs(np.diff(begins)) < least_distance).any():
        begins = [begins[0], *np.array(begins[1:])[~is_close].tolist()]
    return begins
