"""The windows of a matrix that a model takes: the same at training and serving. PURE."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.arrays import Float32, Int64
from pipeline.audio.spectra.input_spec import InputSpec, Spec
from pipeline.errors import UsageError


@dataclass(frozen=True)
class WindowSpec(Spec):
    """How long a window is, and how far apart windows begin."""

    called = "window"

    window_s: float = 1.0
    """Length of a window in s."""
    hop_s: float = 1.0
    """Seconds from the beginning of a window to that of the next."""

    def __post_init__(self) -> None:
        if not (0 < self.window_s < math.inf and 0 < self.hop_s < math.inf):
            raise UsageError(f"window {self.window_s} s, hop {self.hop_s} s: expected more than 0")

    def n_frames(self, input_spec: InputSpec) -> int:
        """Return the columns of a window: 87 for 1 s at 44.1 kHz and hop 512."""
        return input_spec.n_frames(round(self.window_s * input_spec.sample_rate_hz))


def window_starts(n_frames: int, windows: WindowSpec, input_spec: InputSpec) -> Int64:
    """Return the frame at which each window of a matrix of `n_frames` columns begins.

    The tail counts too: where more than half a window is left at the end, a last window ends with
    the last frame. A matrix shorter than one window has one window, that `cut_windows` fills up.
    """
    length = windows.n_frames(input_spec)
    last = n_frames - length
    if last <= 0:
        return np.zeros(1, np.int64)
    n_most = int(last / hop_frames(windows, input_spec)) + 2
    starts = regular_starts(range(n_most), windows, input_spec)
    starts = starts[starts <= last]
    left = n_frames - (int(starts[-1]) + length)
    return np.append(starts, last) if left > length / 2 else starts


def hop_frames(windows: WindowSpec, input_spec: InputSpec) -> float:
    """Return the columns from the beginning of a window to that of the next, not rounded."""
    return windows.hop_s * input_spec.sample_rate_hz / input_spec.hop


def regular_starts(numbers: range, windows: WindowSpec, input_spec: InputSpec) -> Int64:
    """Return the frames at which windows of some numbers begin, in a matrix without an end."""
    each = np.arange(numbers.start, numbers.stop) * hop_frames(windows, input_spec)
    return np.round(each).astype(np.int64)


def only_covered(
    matrix: npt.NDArray[Any], starts: Int64, n_frames: int
) -> tuple[npt.NDArray[Any], Int64]:
    """Return a matrix without the columns that lie in no window, and where windows begin in it.

    >>> matrix, starts = only_covered(np.arange(10)[None], np.array([0, 5]), 2)
    >>> matrix.tolist(), starts.tolist()
    ([[0, 1, 5, 6]], [0, 2])
    """
    is_covered = np.zeros(max(matrix.shape[1], int(starts.max()) + n_frames), bool)
    is_covered[starts[:, None] + np.arange(n_frames)] = True
    n_before = np.cumsum(is_covered) - is_covered
    return matrix[:, is_covered[: matrix.shape[1]]], n_before[starts]


@dataclass(frozen=True)
class MatrixWindows:
    """The windows of a track's matrix; they are cut, `[n, n_rows, n_frames]`, as they are asked."""

    matrix: npt.NDArray[Any]
    """The matrix of the whole track, `[n_rows, n_columns]`, in its stored type."""
    starts: Int64
    """The column at which each window begins, `[n_windows]`."""
    n_frames: int
    """How many columns of the matrix a window has."""
    silence: float | Float32
    """What stands beyond the ends of the matrix: one value, or one a row, `[n_rows, 1]`."""

    def __len__(self) -> int:
        return len(self.starts)

    def __getitem__(self, part: slice) -> npt.NDArray[Any]:
        starts = self.starts[part]
        if not len(starts):
            return np.zeros((0, len(self.matrix), self.n_frames), self.matrix.dtype)
        return cut_windows(self.matrix, starts, self.n_frames, silence=self.silence)


@dataclass(frozen=True)
class JoinedWindows:
    """The windows of several tracks, one track after the other; cut as they are asked for."""

    parts: Sequence[MatrixWindows | npt.NDArray[Any]]
    """Those of each track, one track at least; a track may have none."""

    def __len__(self) -> int:
        return sum(map(len, self.parts))

    def __getitem__(self, wanted: slice) -> npt.NDArray[Any]:
        first, end, _ = wanted.indices(len(self))
        found, n_before = [self.parts[0][:0]], 0
        for part in self.parts:
            if n_before < end and first < n_before + len(part):
                found.append(part[max(0, first - n_before) : end - n_before])
            n_before += len(part)
        return np.concatenate(found)


def cut_windows(
    matrix: npt.NDArray[Any],
    starts: Int64,
    n_frames: int,
    *,
    silence: float | Float32,
) -> npt.NDArray[Any]:
    """Return the windows that begin at `starts`, `[n_windows, n_rows, n_frames]`.

    What lies beyond the ends of `matrix`, `[n_rows, all columns]`, is `silence`: one value, or one
    a row, `[n_rows, 1]`.
    """
    n_rows, n_columns = matrix.shape
    before = max(0, -int(starts.min()))
    behind = max(0, int(starts.max()) + n_frames - n_columns)
    if before or behind:
        padded = np.full((n_rows, before + n_columns + behind), silence, matrix.dtype)
        padded[:, before : before + n_columns] = matrix
        matrix, starts = padded, starts + before
    return np.stack([matrix[:, start : start + n_frames] for start in starts])
