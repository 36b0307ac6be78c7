"""Blocks of a track's samples in; its matrix, when windows begin and which of them count, out.

A track is described in stretches of some minutes, so that the samples of a file of many hours are
never in memory at once: the matrix, of 16 bits a value, is a fifth of them. A frame sees samples
beyond its column, so a stretch is computed with some columns more on both sides (c), which are
dropped; what is kept is what the whole track gives, to the bit (Kaldi's to its rounding, as it
takes the mean of what it has).

    samples    ...........[ c |######## stretch ########| c ]...........
    columns kept              |0 1 2 ...                |

PURE, and no torch.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from pipeline.arrays import Bools, Float32, Int64
from pipeline.audio.spectra.activity import Activity, active_windows
from pipeline.audio.spectra.input_spec import InputSpec, Matrix, context_columns, stretch_columns
from pipeline.audio.spectra.windows import WindowSpec, only_covered, regular_starts, window_starts

MAX_TRACK_S = 6 * 3600.0
"""Longer tracks are rows with reason too_long, unless a run allows more."""
STRETCH_S = 300.0
"""Samples of so many s wait to be described: 38 MB at 32 kHz."""


@dataclass(frozen=True)
class TrackFrontEnd:
    """How a track becomes windows."""

    input_spec: InputSpec
    windows: WindowSpec
    activity: Activity | None
    """Which windows are silence or noise; None: all count."""
    max_track_s: float = MAX_TRACK_S
    """A longer track is refused, in s."""

    def active(self, samples: Float32, starts: Int64) -> Bools:
        """Return which windows count, `[n_windows]`, of those that begin at some columns."""
        if self.activity is None:
            return np.ones(len(starts), bool)
        rate_hz, first = self.input_spec.sample_rate_hz, starts * self.input_spec.hop
        n_samples = self.window_samples
        return active_windows(samples, first, n_samples, sample_rate_hz=rate_hz, rule=self.activity)

    @property
    def window_samples(self) -> int:
        """Return the length of a window in samples."""
        return round(self.windows.window_s * self.input_spec.sample_rate_hz)

    @property
    def matrix_bytes_a_s(self) -> float:
        """Return the bytes of the matrix of a second."""
        spec = self.input_spec
        return spec.n_rows * np.dtype(spec.dtype).itemsize * spec.sample_rate_hz / spec.hop


@dataclass(frozen=True)
class DescribedTrack:
    """A track as one front end has it."""

    matrix: Matrix
    """`[n_rows, n_columns]` in the stored type, without columns that no window has."""
    columns: Int64
    """The column at which each window begins, `[n_windows]`."""
    starts_s: list[float]
    """When each window begins, in s."""
    active: Bools
    """Which windows are neither silence nor noise, `[n_windows]`."""


class TrackStretches:
    """Describes a track from blocks of its samples, for some front ends of one sample rate."""

    def __init__(self, front_ends: Sequence[TrackFrontEnd], *, stretch_s: float = STRETCH_S):
        self._front_ends = front_ends
        rate_hz = front_ends[0].input_spec.sample_rate_hz
        self._stretch = round(stretch_s * rate_hz)
        self._samples = _Samples()
        self._n_seen = 0  # samples that were there at the last stretch's end
        self._matrices = {one.input_spec: _MatrixParts(one.input_spec) for one in front_ends}
        self._activities = [_ActivityParts(one) for one in front_ends]

    @property
    def n_samples(self) -> int:
        """Return how many samples there have been."""
        return self._samples.end

    def add(self, block: Float32) -> None:
        """Take the next samples, `[n]`."""
        self._samples.add(block)
        if self._samples.end - self._n_seen >= self._stretch:
            self._n_seen = self._samples.end
            parts: list[_MatrixParts | _ActivityParts]
            parts = [*self._matrices.values(), *self._activities]
            for part in parts:
                part.advance(self._samples)
            self._samples.forget(min(part.needed_from for part in parts))

    def ended(self) -> list[DescribedTrack]:
        """Return the track as each front end has it; it has had its last block."""
        matrices = {spec: parts.ended(self._samples) for spec, parts in self._matrices.items()}
        described = []
        for front_end, activity in zip(self._front_ends, self._activities, strict=True):
            input_spec, windows = front_end.input_spec, front_end.windows
            matrix = matrices[input_spec]
            starts = window_starts(matrix.shape[1], windows, input_spec)
            active = activity.ended(self._samples, starts)
            starts_s = (starts * input_spec.hop / input_spec.sample_rate_hz).tolist()
            if windows.hop_s > windows.window_s:
                matrix, starts = only_covered(matrix, starts, windows.n_frames(input_spec))
            described.append(DescribedTrack(matrix, starts, starts_s, active))
        return described


class _Samples:
    """The samples of a stream, of which the earliest are let go: numbers count from its start."""

    def __init__(self) -> None:
        self.first = self.end = 0
        self._blocks: list[Float32] = []

    def add(self, block: Float32) -> None:
        self._blocks.append(block)
        self.end += len(block)

    def since(self, start: int) -> Float32:
        """Return all from `start` on."""
        if len(self._blocks) != 1:
            self._blocks = [np.concatenate(self._blocks or [np.zeros(0, np.float32)])]
        return self._blocks[0][start - self.first :]

    def forget(self, start: int) -> None:
        """Let go what is before `start`."""
        if start > self.first:
            self._blocks = [self.since(start).copy()]
            self.first = start


class _MatrixParts:
    """The columns of a matrix, as far as they are known."""

    def __init__(self, input_spec: InputSpec) -> None:
        self._input_spec, self._context = input_spec, context_columns(input_spec)
        self._parts: list[Matrix] = []
        self._n_done = 0

    @property
    def needed_from(self) -> int:
        """The earliest sample that columns to come see."""
        if self._context is None:
            return 0
        return max(0, self._n_done - self._context) * self._input_spec.hop

    def advance(self, samples: _Samples) -> None:
        """Add the columns that see nothing beyond the samples that are there."""
        if self._context is not None:
            n_known = samples.end // self._input_spec.hop - self._context
            step = stretch_columns(self._input_spec)
            self._add(samples, max(self._n_done, n_known // step * step))

    def ended(self, samples: _Samples) -> Matrix:
        """Return the matrix of the whole track, `[n_rows, n_columns]`."""
        self._add(samples, None)
        return self._parts[0] if len(self._parts) == 1 else np.concatenate(self._parts, axis=1)

    def _add(self, samples: _Samples, until: int | None) -> None:
        first = self.needed_from
        n_before = first // self._input_spec.hop
        found = self._input_spec.matrix(samples.since(first))
        last = None if until is None else until - n_before
        self._parts.append(found[:, self._n_done - n_before : last])
        self._n_done += self._parts[-1].shape[1]


class _ActivityParts:
    """Which windows count, as far as they have been there as a whole."""

    def __init__(self, front_end: TrackFrontEnd) -> None:
        self._front_end = front_end
        self._known: list[Bools] = []
        self._n_known = 0
        self._n_samples = 0

    @property
    def needed_from(self) -> int:
        """The earliest sample that windows to come have.

        The last one may begin before those that follow one another: it ends with the track.
        """
        one, hop = self._front_end, self._front_end.input_spec.hop
        (following,) = regular_starts(range(self._n_known, self._n_known + 1), *self._specs) * hop
        return max(0, min(int(following), self._n_samples - one.window_samples - 2 * hop))

    @property
    def _specs(self) -> tuple[WindowSpec, InputSpec]:
        return self._front_end.windows, self._front_end.input_spec

    def advance(self, samples: _Samples) -> None:
        """Add the windows that are there as a whole."""
        self._n_samples = samples.end
        hop_samples = self._front_end.windows.hop_s * self._front_end.input_spec.sample_rate_hz
        most = range(self._n_known, int(samples.end / hop_samples) + 2)
        starts = regular_starts(most, *self._specs)
        ends = starts * self._front_end.input_spec.hop + self._front_end.window_samples
        self._add(samples, starts[ends <= samples.end])

    def ended(self, samples: _Samples, starts: Int64) -> Bools:
        """Return which of all windows count."""
        self._add(samples, starts[self._n_known :])
        return np.concatenate(self._known)

    def _add(self, samples: _Samples, starts: Int64) -> None:
        if len(starts):
            first = int(starts[0])
            own = samples.since(first * self._front_end.input_spec.hop)
            self._known.append(self._front_end.active(own, starts - first))
            self._n_known += len(starts)
