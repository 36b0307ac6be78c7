"""A log-mel in, the windows that a model hears out: the same at training and serving. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.audio.logmel import LogMelSpec
from pipeline.errors import UsageError


@dataclass(frozen=True)
class WindowSpec:
    """How long a window is, and how far apart windows begin."""

    window_s: float = 1.0
    """Length of a window."""
    hop_s: float = 1.0
    """Distance of their beginnings."""

    def __post_init__(self) -> None:
        if self.window_s <= 0 or self.hop_s <= 0:
            raise UsageError(f"window {self.window_s} s, hop {self.hop_s} s: expected more than 0")

    def n_frames(self, spec: LogMelSpec) -> int:
        """Return the frames of a window: 87 for 1 s at 44.1 kHz and hop 512."""
        return spec.n_frames(round(self.window_s * spec.sample_rate_hz))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for model.json."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> WindowSpec:
        """Return the spec that `to_dict` gave."""
        return cls(**values)


def window_starts(n_frames: int, windows: WindowSpec, spec: LogMelSpec) -> npt.NDArray[np.int64]:
    """Return the frame at which each window of a log-mel of `n_frames` frames begins.

    The tail is heard too: where more than half a window is left at the end, a last window ends with
    the last frame. A log-mel shorter than one window has one window, that `cut_windows` fills up.
    """
    length = windows.n_frames(spec)
    hop_frames = windows.hop_s * spec.sample_rate_hz / spec.hop
    last = n_frames - length
    if last <= 0:
        return np.zeros(1, np.int64)
    starts = np.round(np.arange(int(last / hop_frames) + 2) * hop_frames).astype(np.int64)
    starts = starts[starts <= last]
    left = n_frames - (int(starts[-1]) + length)
    return np.append(starts, last) if left > length / 2 else starts


def cut_windows(
    logmel: npt.NDArray[Any], starts: npt.NDArray[np.int64], n_frames: int, *, fill_db: float
) -> npt.NDArray[Any]:
    """Return the windows that begin at `starts`, `[n_windows, n_mels, n_frames]`.

    What lies beyond the end of `logmel`, `[n_mels, all frames]`, is `fill_db`: silence.
    """
    missing = int(starts.max()) + n_frames - logmel.shape[1]
    if missing > 0:
        logmel = np.pad(logmel, ((0, 0), (0, missing)), constant_values=fill_db)
    return np.stack([logmel[:, start : start + n_frames] for start in starts])
