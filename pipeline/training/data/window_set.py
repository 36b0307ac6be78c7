"""The windows that are cut from the clips of one split, by number and in batches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.arrays import Bools, Float32, Float64, Int64
from pipeline.audio.spectra.windows import cut_windows
from pipeline.evaluation.labels.targets import joined_groups
from pipeline.training.data.ahead import ask_for

Windows = npt.NDArray[Any]

SHIFT_SHARE = 0.4
"""How far a window may be moved, as a share of its length."""
MOST_CHANGE_DB = 40.0
"""By how much a window is made louder or softer at most, where another one is added to it."""


@dataclass(frozen=True)
class Batch:
    """Windows with labels; `weights` is 0 for what only fills up a rank's empty step."""

    windows: Windows
    """`[n, n_rows, n_frames]`, as they are stored."""
    targets: Float32
    """`[n, n_classes]`: 0, 1, or NaN where it is unknown."""
    weights: Float32
    """Weight of each window, `[n]`: 1, or 0 where it only fills up."""
    n_global: int
    """Windows of this step over all ranks."""


@dataclass(frozen=True)
class ActiveStarts:
    """At which columns of a clip a window would begin that is neither silence nor noise."""

    starts: Int64
    """Columns that were looked at (`looked_at`)."""
    active: Bools
    """Whether there was sound, at each of the starts."""

    def at(self, start: int) -> bool:
        """Return what was found at the column that is nearest."""
        return bool(self.active[np.abs(self.starts - start).argmin()])


@dataclass(frozen=True)
class WindowSet:
    """The windows of one split, memory-mapped."""

    segment_ids: list[str]
    matrices: list[Windows]
    """A clip each, `[n_rows, n_columns]`."""
    targets: Float32
    """`[n_clips, n_classes]`: 0, 1, or NaN where it is unknown."""
    clip_of: Int64
    """The clip of each window."""
    start_of: Int64
    """The frame where each window begins."""
    n_frames: int
    """How many columns a window has."""
    silence: float | Float32
    """What stands beyond the end of a clip: one value, or one per row, `[n_rows, 1]`."""
    db_per_unit: float | None
    """Decibels in one unit of the values; None where these are not logarithms of power."""
    margins: tuple[int, int] = (0, 0)
    """Columns that are given before and behind a window, for what looks beyond its ends."""
    mirrors: bool = False
    """Whether a clip goes on mirrored for as long as the margins are, and silent only then."""
    places_short: bool = False
    """Whether a clip shorter than a window is moved within silence, and not rotated."""
    active: Sequence[ActiveStarts] = ()
    """A clip each, where windows of silence and noise are left out; those are no windows here."""
    left_out: Sequence[int] = ()
    """How many of each clip they were."""
    is_mapped: bool = False
    """Whether the matrices are pieces of mapped files, frame by frame."""

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.clip_of)

    def windows(self, index: Int64, shifts: Int64 | int = 0) -> Windows:
        """Return windows by number, `[n, n_rows, n_frames]`, moved by `shifts` columns.

        A window begins so much later, within its clip; where the clip has no room for that, as it
        is hardly longer than the window, the window is rotated: what leaves at one end comes in at
        the other. With margins windows are as much longer.
        """
        clips, shifts = self.clip_of[index], np.broadcast_to(shifts, len(index))
        widths = np.array([self.matrices[clip].shape[1] for clip in clips], np.int64)
        last = np.maximum(widths - self.n_frames, 0)
        rotates = last < SHIFT_SHARE * self.n_frames
        starts = self._moved(index, np.where(rotates, 0, shifts), last)
        if self.places_short:
            room = np.maximum(self.n_frames - widths, 0)
            rotates &= room == 0
            share = 0.5 + shifts / (2 * SHIFT_SHARE * self.n_frames)
            starts = starts - np.round(np.clip(share, 0, 1) * room).astype(np.int64)
        before, behind = self.margins
        n_columns = before + self.n_frames + behind
        if self.is_mapped:
            froms = np.maximum(starts - before, 0)
            ask_for(
                [
                    self.matrices[clip][:, first : first + n_columns]
                    for clip, first in zip(clips.tolist(), froms.tolist(), strict=True)
                ]
            )
        found = np.empty((len(index), self.n_rows, n_columns), self.matrices[0].dtype)
        for k, clip in enumerate(clips):
            cut = self._cut(clip, starts[k : k + 1] - before, n_columns)
            if rotates[k]:
                inner = cut[:, :, before : before + self.n_frames]
                inner[:] = np.roll(inner, shifts[k], axis=2)
            found[k] = cut[0]
        return found

    def _cut(self, clip: int, start: Int64, n_columns: int) -> Windows:
        """Return the columns of a clip that begin at `start`, `[1, n_rows, n_columns]`."""
        matrix, edge = self.matrices[clip], self.margins[0]
        is_inside = 0 <= start[0] <= matrix.shape[1] - n_columns
        if self.mirrors and not is_inside:
            matrix, start = np.pad(matrix, ((0, 0), (edge, edge)), "reflect"), start + edge
        return cut_windows(matrix, start, n_columns, silence=self.silence)

    def _moved(self, index: Int64, shifts: Int64, last: Int64) -> Int64:
        """Return where windows begin that are moved within their clips, which begin at `last` last.

        A window that would be silence or noise there stays where it is.
        """
        starts = self.start_of[index]
        moved: Int64 = np.clip(starts + shifts, 0, last)
        if not self.active:
            return moved
        for k in np.flatnonzero(moved != starts):
            if not self.active[self.clip_of[index[k]]].at(int(moved[k])):
                moved[k] = starts[k]
        return moved

    @property
    def n_left_out(self) -> int:
        """Windows that are left out as silence or noise."""
        return sum(self.left_out)

    @property
    def n_rows(self) -> int:
        """How many rows a window has."""
        return int(self.matrices[0].shape[0])

    def subset(self, clips: npt.NDArray[np.intp]) -> WindowSet:
        """Return the same with some of the clips, in the order given."""
        windows = [np.arange(*np.searchsorted(self.clip_of, [clip, clip + 1])) for clip in clips]
        return replace(
            self,
            segment_ids=[self.segment_ids[clip] for clip in clips],
            matrices=[self.matrices[clip] for clip in clips],
            targets=self.targets[clips],
            active=[self.active[clip] for clip in clips] if self.active else (),
            left_out=[self.left_out[clip] for clip in clips] if self.left_out else (),
            clip_of=np.repeat(np.arange(len(clips)), [len(own) for own in windows]),
            start_of=self.start_of[np.concatenate([np.zeros(0, np.int64), *windows])],
        )

    def without(self, classes: Sequence[int]) -> WindowSet:
        """Return the same with some classes, by number, unknown of all clips."""
        targets = self.targets.copy()
        targets[:, list(classes)] = np.nan
        return replace(self, targets=targets)

    def clip_windows(self, clip: int) -> Windows:
        """Return every window of one clip."""
        return self.windows(np.arange(*np.searchsorted(self.clip_of, [clip, clip + 1])))

    def batch(
        self,
        items: Sequence[Sequence[int]],
        n_global: int,
        shifts: Int64,
        gains_db: Float64 | None = None,
    ) -> Batch:
        """Return the batch of items of one or several windows, filled up to two by others.

        Those weigh 0: an empty rank takes its step too, and batch norm needs two values per
        channel. `shifts`, in columns, and `gains_db`, above an item's first window (without them,
        all are as recorded), are one for each window of the items.
        """
        fillers = [[len(self) // 2], [0]][: max(0, 2 - len(items))]
        weights = np.array([1.0] * len(items) + [0.0] * len(fillers), np.float32)
        items = [*items, *fillers]
        index = np.concatenate([np.asarray(item, np.int64) for item in items])
        shifts = np.append(shifts, np.zeros(len(fillers), np.int64))
        windows, targets = self.windows(index, shifts), self.targets[self.clip_of[index]]
        if len(index) > len(items):
            counts = [len(item) for item in items]
            if gains_db is not None:
                gains_db = np.append(gains_db, np.zeros(len(fillers)))
                windows = self._at_levels(windows, counts, gains_db)
            windows, targets = self._mixed(windows, targets, counts)
        return Batch(windows, targets, weights, n_global)

    def _at_levels(self, windows: Windows, counts: Sequence[int], gains_db: Float64) -> Windows:
        """Bring what is played along to its gain above the level of an item's first window."""
        values, unit = windows.astype(np.float32), self.db_per_unit
        power = np.square(values) if unit is None else 10 ** (values * unit / 10)
        level_db = 10 * np.log10(power.mean(axis=(1, 2), dtype=np.float64) + 1e-12)
        firsts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        apart_db = np.repeat(level_db[firsts], counts) - level_db
        change_db = np.clip(apart_db, -MOST_CHANGE_DB, MOST_CHANGE_DB) + gains_db
        change_db[firsts] = 0
        change_db = change_db.astype(np.float32)[:, None, None]
        levelled: Windows
        levelled = values * 10 ** (change_db / 20) if unit is None else values + change_db / unit
        return levelled

    def _mixed(
        self, windows: Windows, targets: Float32, counts: Sequence[int]
    ) -> tuple[Windows, Float32]:
        """Play windows together: samples add up, and so do the powers that decibels stand for."""
        firsts = np.concatenate([[0], np.cumsum(counts)[:-1]])
        values = windows.astype(np.float32)
        if self.db_per_unit is not None:
            values *= self.db_per_unit
            power = np.add.reduceat(10 ** (values / 10), firsts, axis=0)
            mixed = 10 * np.log10(power) / self.db_per_unit
        else:
            mixed = np.add.reduceat(values, firsts, axis=0)
        return mixed, joined_groups(targets, firsts)
