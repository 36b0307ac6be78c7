"""A track's audio in; its length, its windows for each model and its attributes out. No torch here.

It is decoded once at each rate that is needed, a block of samples at a time. This runs in a process
of its own (`pipeline.audio.decoding.guard`), which a hostile file may crash.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import monotonic
from typing import Any

from pipeline.arrays import Float32
from pipeline.audio.decoding.decode import decode_blocks
from pipeline.audio.description.excerpts import RATE_HZ
from pipeline.audio.description.track_attributes import TrackAttributes
from pipeline.audio.spectra.activity import Activity
from pipeline.errors import DecodeError, Reason
from pipeline.inference.track_front_end import DescribedTrack, TrackFrontEnd, TrackStretches

Row = dict[str, Any]


@dataclass(frozen=True)
class Description:
    """What of a track is computed before a model has it."""

    front_ends: Sequence[TrackFrontEnd]
    """How it becomes windows, one for each kind of them."""
    attributes: Sequence[str] = ()
    """The attribute sets that it is described by."""
    activity: Activity | None = None
    """What of it is silence or noise, and is not described by attributes; None: nothing."""

    @property
    def rates_hz(self) -> list[int]:
        """The rates that the track is decoded at, that of its windows first."""
        rates = [one.input_spec.sample_rate_hz for one in self.front_ends]
        return list(dict.fromkeys([*rates, *([RATE_HZ] if self.attributes else [])]))


def column(name: str, k: int) -> str:
    """Return the name of a column of windows, by the number of their front end.

    >>> column("matrix", 0), column("matrix", 1)
    ('matrix', 'matrix_1')
    """
    return f"{name}_{k}" if k else name


def computed(source: Any, description: Description) -> Row:
    """Return what DESCRIBED has of a track's sound, and the seconds that it took.

    Raises
    ------
    DecodeError
        What `decode_blocks` raises; empty, where there are no samples.
    """
    row: Row = {"decode_s": 0.0, "features_s": 0.0, "attributes_s": 0.0}
    for rate_hz in description.rates_hz:
        began, n_samples = monotonic(), 0
        parts = _parts(description, rate_hz)
        spent_s = dict.fromkeys(parts, 0.0)
        max_s = description.front_ends[0].max_track_s
        for block in decode_blocks(source, sample_rate_hz=rate_hz, max_duration_s=max_s):
            n_samples += len(block)
            for stage, part in parts.items():
                decoded = monotonic()
                part.add(block)
                spent_s[stage] += monotonic() - decoded
        if not n_samples:
            raise DecodeError(Reason.EMPTY, "no audio samples")
        row.setdefault("duration_s", n_samples / rate_hz)
        row["decode_s"] += monotonic() - began - sum(spent_s.values())
        for stage, part in parts.items():
            began = monotonic()
            row |= part.ended()
            row[stage] += spent_s[stage] + monotonic() - began
    return row


def _parts(description: Description, rate_hz: int) -> dict[str, _TrackWindows | TrackAttributes]:
    """Return what takes the samples of a rate, by the name of the time that it takes."""
    front_ends = dict(enumerate(description.front_ends))
    own = {k: one for k, one in front_ends.items() if one.input_spec.sample_rate_hz == rate_hz}
    parts: dict[str, _TrackWindows | TrackAttributes] = {}
    if own:
        parts["features_s"] = _TrackWindows(own)
    if description.attributes and rate_hz == RATE_HZ:
        parts["attributes_s"] = TrackAttributes(description.attributes, description.activity)
    return parts


class _TrackWindows:
    """Makes a track's windows from blocks of its samples, for front ends by their number."""

    def __init__(self, front_ends: Mapping[int, TrackFrontEnd]) -> None:
        self._numbers, self._track = list(front_ends), TrackStretches([*front_ends.values()])

    def add(self, block: Float32) -> None:
        self._track.add(block)

    def ended(self) -> Row:
        """Return the windows as DESCRIBED has them."""
        each = zip(self._numbers, self._track.ended(), strict=True)
        return {column(key, k): value for k, one in each for key, value in _values(one).items()}


def _values(described: DescribedTrack) -> Row:
    """Return a track as DESCRIBED has it of one front end."""
    return {
        "n_windows": len(described.columns),
        "matrix": described.matrix.tobytes(),
        "columns": described.columns.tolist(),
        "starts_s": described.starts_s,
        "active": described.active.tolist(),
    }
