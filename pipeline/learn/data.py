"""FEATURES in, batches of labelled windows out: every window once an epoch, on any number of ranks.

Features are read through memory-mapped Arrow files, copied once from the dataset's Parquet (which
may be in a bucket), so an epoch reads random windows at the speed of the page cache.
"""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.audio.logmel import LogMelSpec
from pipeline.audio.windows import WindowSpec, cut_windows, window_starts
from pipeline.errors import UsageError
from pipeline.store.dataset import Dataset
from schemas.features import read_logmels

T = TypeVar("T")


@dataclass(frozen=True)
class Batch:
    """Windows with labels; `weights` is 0 for what only fills up a rank's empty step."""

    windows: npt.NDArray[np.float16]
    """`[n, n_mels, n_frames]`, in dB."""
    targets: npt.NDArray[np.float32]
    """`[n, n_classes]`, 0 or 1."""
    weights: npt.NDArray[np.float32]
    """`[n]`, 0 or 1."""
    n_global: int
    """Windows of this step over all ranks."""


@dataclass(frozen=True)
class WindowSet:
    """The windows of one split, in memory-mapped features."""

    segment_ids: list[str]
    logmels: list[npt.NDArray[np.float16]]
    """A clip each, `[n_mels, n_frames]`."""
    targets: npt.NDArray[np.float32]
    """`[n_clips, n_classes]`."""
    clip_of: npt.NDArray[np.int64]
    """The clip of each window."""
    start_of: npt.NDArray[np.int64]
    """The frame where each window begins."""
    n_frames: int
    """Frames of a window."""
    fill_db: float

    def __len__(self) -> int:
        """Return the number of windows."""
        return len(self.clip_of)

    def windows(
        self, index: npt.NDArray[np.int64], shifts: npt.NDArray[np.int64] | int = 0
    ) -> npt.NDArray[np.float16]:
        """Return windows by number, `[n, n_mels, n_frames]`, moved by `shifts` frames."""
        clips, starts = self.clip_of[index], self.start_of[index] + shifts
        last = np.array([self.logmels[clip].shape[1] - self.n_frames for clip in clips])
        starts = np.clip(starts, 0, np.maximum(last, 0))
        parts = [
            cut_windows(self.logmels[clip], start, self.n_frames, fill_db=self.fill_db)
            for clip, start in zip(clips, starts[:, None], strict=True)
        ]
        return np.concatenate(parts)

    def clip_windows(self, clip: int) -> npt.NDArray[np.float16]:
        """Return every window of one clip."""
        return self.windows(np.flatnonzero(self.clip_of == clip))

    def batch(
        self,
        index: npt.NDArray[np.int64],
        n_global: int,
        shifts: npt.NDArray[np.int64] | int = 0,
    ) -> Batch:
        """Return the batch of some windows; a dummy of weight 0 where there are none."""
        weights = np.ones(max(len(index), 1), np.float32)
        if not len(index):
            index, weights, shifts = np.zeros(1, np.int64), np.zeros(1, np.float32), 0
        return Batch(
            self.windows(index, shifts), self.targets[self.clip_of[index]], weights, n_global
        )


def load_windows(
    tables: Sequence[pa.Table], *, codes: Sequence[str], windows: WindowSpec, spec: LogMelSpec
) -> WindowSet:
    """Return the windows of FEATURES tables, with the classes as 0/1 targets in `codes`' order."""
    logmels = [logmel for table in tables for logmel in read_logmels(table)]
    classes = [row for table in tables for row in table["classes"].to_pylist()]
    starts = [window_starts(logmel.shape[1], windows, spec) for logmel in logmels]
    counts = [len(start) for start in starts]
    return WindowSet(
        segment_ids=[i for table in tables for i in table["segment_id"].to_pylist()],
        logmels=logmels,
        targets=np.array([[c in row for c in codes] for row in classes], np.float32).reshape(
            len(classes), len(codes)
        ),
        clip_of=np.repeat(np.arange(len(logmels)), counts),
        start_of=np.concatenate([np.zeros(0, np.int64), *starts]),
        n_frames=windows.n_frames(spec),
        fill_db=spec.floor_db,
    )


def mapped_features(dataset: Dataset, split: str, cache: Path) -> list[pa.Table]:
    """Return FEATURES of a split as memory-mapped tables, copied to `cache` where need be."""
    names = [n for n in dataset.folder.names("features") if n.startswith(f"features/{split}-")]
    if not names:
        raise UsageError(f"{dataset.folder.uri}: the dataset has no clips in its {split} split")
    return [_mapped(dataset, name, cache / f"{Path(name).stem}.arrow") for name in names]


def _mapped(dataset: Dataset, name: str, path: Path) -> pa.Table:
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_suffix(f".{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
        table = dataset.folder.read_table(name).combine_chunks()
        with pa.OSFile(str(temporary), "wb") as sink, pa.ipc.new_file(sink, table.schema) as writer:
            writer.write_table(table)
        temporary.replace(path)
    return pa.ipc.open_file(pa.memory_map(str(path))).read_all()


def n_steps(n_windows: int, *, batch_size: int, n_ranks: int) -> int:
    """Return the steps of an epoch: the same on every rank."""
    return -(-n_windows // (batch_size * n_ranks))


def epoch_batches(
    data: WindowSet,
    *,
    epoch: int,
    seed: int,
    batch_size: int,
    rank: int,
    n_ranks: int,
    jitter: bool = False,
) -> Iterator[Batch]:
    """Yield a rank's batches of one epoch, in an order that depends on seed and epoch only.

    Over all ranks every window comes exactly once; ranks agree on the number of steps. With
    `jitter` each begins up to half a window sooner or later, within its clip.
    """
    rng = np.random.default_rng([seed, epoch])
    order = rng.permutation(len(data))
    reach = data.n_frames // 2 if jitter else 0
    shifts = rng.integers(-reach, reach + 1, len(data))
    step_size = batch_size * n_ranks
    for start in range(0, len(data), step_size):
        step = order[start : start + step_size]
        mine = np.array_split(step, n_ranks)[rank]
        yield data.batch(mine, len(step), shifts[mine])


def prefetched(items: Iterator[T]) -> Iterator[T]:
    """Yield the items while a thread makes the next one."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, items, None)
        while (item := waiting.result()) is not None:
            waiting = pool.submit(next, items, None)
            yield item
