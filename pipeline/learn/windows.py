"""Clips of one split in, the windows that are cut out of them out, by number and in batches."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch
from torch import Tensor

from pipeline.audio.inputs import Input, LogMelInput
from pipeline.audio.moments import Moments
from pipeline.audio.windows import WindowSpec, cut_windows, window_starts

Windows = npt.NDArray[Any]


@dataclass(frozen=True)
class Batch:
    """Windows with labels; `weights` is 0 for what only fills up a rank's empty step."""

    windows: Windows
    """`[n, n_rows, n_frames]`, as they are stored."""
    targets: npt.NDArray[np.float32]
    """`[n, n_classes]`, 0 or 1."""
    weights: npt.NDArray[np.float32]
    """`[n]`, 0 or 1."""
    n_global: int
    """Windows of this step over all ranks."""


@dataclass(frozen=True)
class WindowSet:
    """The windows of one split, memory-mapped."""

    segment_ids: list[str]
    matrices: list[Windows]
    """A clip each, `[n_rows, n_columns]`."""
    targets: npt.NDArray[np.float32]
    """`[n_clips, n_classes]`."""
    clip_of: npt.NDArray[np.int64]
    """The clip of each window."""
    start_of: npt.NDArray[np.int64]
    """The frame where each window begins."""
    n_frames: int
    """Columns of a window."""
    silence: float
    """What stands beyond the end of a clip."""
    is_db: bool
    """Whether values are decibels of power."""
    margins: tuple[int, int] = (0, 0)
    """Columns that are given before and behind a window, for what looks beyond its ends."""

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.clip_of)

    def windows(
        self, index: npt.NDArray[np.int64], shifts: npt.NDArray[np.int64] | int = 0
    ) -> Windows:
        """Return windows by number, `[n, n_rows, n_frames]`, moved by `shifts` columns.

        With margins they are as much longer.
        """
        clips, starts = self.clip_of[index], self.start_of[index] + shifts
        last = np.array([self.matrices[clip].shape[1] - self.n_frames for clip in clips])
        before, behind = self.margins
        starts = np.clip(starts, 0, np.maximum(last, 0)) - before
        parts = [
            cut_windows(
                self.matrices[clip], start, self.n_frames + before + behind, silence=self.silence
            )
            for clip, start in zip(clips, starts[:, None], strict=True)
        ]
        return np.concatenate(parts)

    def subset(self, clips: npt.NDArray[np.intp]) -> WindowSet:
        """Return the same with some of the clips, in the order given."""
        windows = [np.arange(*np.searchsorted(self.clip_of, [clip, clip + 1])) for clip in clips]
        return replace(
            self,
            segment_ids=[self.segment_ids[clip] for clip in clips],
            matrices=[self.matrices[clip] for clip in clips],
            targets=self.targets[clips],
            clip_of=np.repeat(np.arange(len(clips)), [len(own) for own in windows]),
            start_of=self.start_of[np.concatenate([np.zeros(0, np.int64), *windows])],
        )

    def clip_windows(self, clip: int) -> Windows:
        """Return every window of one clip."""
        return self.windows(np.arange(*np.searchsorted(self.clip_of, [clip, clip + 1])))

    def any_window(self, clip: int, rng: np.random.Generator) -> int:
        """Return one of a clip's windows by number."""
        first, last = np.searchsorted(self.clip_of, [clip, clip + 1])
        return int(rng.integers(first, last))

    def batch(
        self, items: Sequence[Sequence[int]], n_global: int, shifts: npt.NDArray[np.int64]
    ) -> Batch:
        """Return the batch of items of one or several windows, filled up to two by others.

        Those weigh 0: an empty rank takes its step too, and batch norm needs two values a channel.
        `shifts` are in columns, one for each window of the set.
        """
        fillers = [[len(self) // 2], [0]][: max(0, 2 - len(items))]
        weights = np.array([1.0] * len(items) + [0.0] * len(fillers), np.float32)
        items = [*items, *fillers]
        index = np.concatenate([np.asarray(item, np.int64) for item in items])
        windows, targets = self.windows(index, shifts[index]), self.targets[self.clip_of[index]]
        if len(index) > len(items):
            windows, targets = self._mixed(windows, targets, [len(item) for item in items])
        return Batch(windows, targets, weights, n_global)

    def _mixed(
        self, windows: Windows, targets: npt.NDArray[np.float32], counts: Sequence[int]
    ) -> tuple[Windows, npt.NDArray[np.float32]]:
        """Play windows together: samples add up, and so do the powers that decibels stand for."""
        firsts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        values = windows.astype(np.float32)
        if self.is_db:
            power = np.add.reduceat(10 ** (values / 10), firsts, axis=0)
            mixed = 10 * np.log10(power)
        else:
            mixed = np.add.reduceat(values, firsts, axis=0)
        return mixed, np.maximum.reduceat(targets, firsts, axis=0)


def load_windows(
    tables: Sequence[pa.Table], *, codes: Sequence[str], windows: WindowSpec, heard: Input
) -> WindowSet:
    """Return the windows of mapped tables, with the classes as 0/1 targets in `codes`' order."""
    matrices = [
        np.frombuffer(value.as_buffer(), heard.dtype).reshape(heard.n_rows, -1)
        for table in tables
        for chunk in table["matrix"].chunks
        for value in chunk
    ]
    classes = [row for table in tables for row in table["classes"].to_pylist()]
    starts = [window_starts(matrix.shape[1], windows, heard) for matrix in matrices]
    counts = [len(start) for start in starts]
    return WindowSet(
        segment_ids=[i for table in tables for i in table["segment_id"].to_pylist()],
        matrices=matrices,
        targets=np.array([[c in row for c in codes] for row in classes], np.float32).reshape(
            len(classes), len(codes)
        ),
        clip_of=np.repeat(np.arange(len(matrices)), counts),
        start_of=np.concatenate([np.zeros(0, np.int64), *starts]),
        n_frames=windows.n_frames(heard),
        silence=heard.silence,
        is_db=isinstance(heard, LogMelInput),
    )


def row_moments(
    data: WindowSet, levelled: Callable[[Tensor], Tensor] | None = None
) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return mean and deviation of every row over all clips, `[n_rows, 1]`; 1 where it is still.

    With `levelled`, of the windows that it gives (`Preparation.levelled`), not of the clips.
    """
    moments = [Moments()] * data.matrices[0].shape[0]
    for clip, matrix in enumerate(data.matrices):
        rows = matrix if levelled is None else _levelled_rows(data.clip_windows(clip), levelled)
        moments = [one + Moments.of(row) for one, row in zip(moments, rows, strict=True)]
    mean = np.array([[one.mean] for one in moments], np.float32)
    return mean, np.array([[one.deviation or 1.0] for one in moments], np.float32)


def _levelled_rows(windows: Windows, levelled: Callable[[Tensor], Tensor]) -> Windows:
    """Return windows side by side, `[n_rows, n_columns]`, less columns that only fill them up."""
    values = levelled(torch.from_numpy(windows.astype(np.float32))).numpy()
    columns = np.concatenate(list(values), axis=1)
    return columns if len(columns) == 1 else columns[:, columns.any(axis=0)]
