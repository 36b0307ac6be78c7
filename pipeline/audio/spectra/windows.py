"""The windows of a matrix that a model takes: the same at training and serving. PURE."""

from __future__ import annotations

import math
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
    hop_frames = windows.hop_s * input_spec.sample_rate_hz / input_spec.hop
    last = n_frames - length
    if last <= 0:
        return np.zeros(1, np.int64)
    starts = np.round(np.arange(int(last / hop_frames) + 2) * hop_frames).astype(np.int64)
    starts = starts[starts <= last]
    left = n_frames - (int(starts[-1]) + length)
    return np.append(starts, last) if left > length / 2 else starts


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
