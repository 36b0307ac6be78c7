"""A dataset in, batches of labelled windows out: each once an epoch, on any number of ranks.

What a model hears is read through memory-mapped Arrow files, made once from the dataset's tables
(which may be in a bucket): a copy of FEATURES where the model hears those, else made of CLIPS. So
an epoch reads random windows at the speed of the page cache.
"""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.audio.clip import from_wav
from pipeline.audio.decode import decode
from pipeline.audio.inputs import Input, LogMelInput
from pipeline.audio.moments import Moments
from pipeline.audio.windows import WindowSpec, cut_windows, window_starts
from pipeline.errors import UsageError
from pipeline.learn.sampling import n_draws, others, true_dynamic
from pipeline.store.dataset import Dataset
from pipeline.store.faults import clear_errors

Windows = npt.NDArray[Any]

T = TypeVar("T")

SHIFT_SHARE = 0.4
"""How far a window may be moved, as a share of its length."""


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


def mapped_clips(dataset: Dataset, split: str, heard: Input, cache: Path) -> list[pa.Table]:
    """Return a split as mapped tables of `segment_id, classes, matrix`, made where need be."""
    from joblib import cpu_count  # here, as tagging does without it

    table = "features" if is_in_features(dataset, heard) else "clips"
    names = [n for n in dataset.folder.names(table) if n.startswith(f"{table}/{split}-")]
    if not names:
        raise UsageError(f"{dataset.folder.uri}: the dataset has no clips in its {split} split")
    folder = cache / hashlib.sha256(json.dumps(heard.to_dict()).encode()).hexdigest()[:12]
    with ThreadPoolExecutor(cpu_count()) as pool:  # decoding and log-mel let go of the GIL
        paths = [folder / f"{Path(name).stem}.arrow" for name in names]
        list(pool.map(lambda name, path: _make(dataset, name, heard, path), names, paths))
    return [pa.ipc.open_file(pa.memory_map(str(path))).read_all() for path in paths]


def is_in_features(dataset: Dataset, heard: Input) -> bool:
    """Whether the dataset's FEATURES are what is heard."""
    spec = dataset.meta()["feature_spec"]
    return isinstance(heard, LogMelInput) and heard.spec.to_dict() == spec


def _make(dataset: Dataset, name: str, heard: Input, path: Path) -> None:
    if path.exists():
        return
    if name.startswith("features/"):
        table = dataset.folder.read_table(name, ["segment_id", "classes", "logmel"])
        table = table.rename_columns(["segment_id", "classes", "matrix"])
    else:
        table = dataset.folder.read_table(name, ["segment_id", "classes", "audio"])
        matrices = [_matrix(row["bytes"], heard).tobytes() for row in table["audio"].to_pylist()]
        table = table.drop_columns(["audio"])
        table = table.append_column("matrix", pa.array(matrices, pa.large_binary()))
    temporary = path.with_suffix(f".{os.getpid()}-{uuid.uuid4().hex[:8]}.tmp")
    with clear_errors("write", str(path)):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            with (
                pa.OSFile(str(temporary), "wb") as sink,
                pa.ipc.new_file(sink, table.schema) as writer,
            ):
                writer.write_table(table.combine_chunks())
            temporary.replace(path)
        finally:
            temporary.unlink(missing_ok=True)


def _matrix(wav: bytes, heard: Input) -> Windows:
    samples, rate_hz = from_wav(wav)
    if rate_hz != heard.sample_rate_hz:
        samples = decode(wav, sample_rate_hz=heard.sample_rate_hz)
    return heard.matrix(samples)


def row_moments(data: WindowSet) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.float32]]:
    """Return mean and deviation of every row over all clips, `[n_rows, 1]`; 1 where it is still."""
    moments = [Moments()] * data.matrices[0].shape[0]
    for matrix in data.matrices:
        moments = [one + Moments.of(row) for one, row in zip(moments, matrix, strict=True)]
    mean = np.array([[one.mean] for one in moments], np.float32)
    return mean, np.array([[one.deviation or 1.0] for one in moments], np.float32)


@dataclass(frozen=True)
class Mixing:
    """How clips are put together while training."""

    sampling: str = "plain"
    """plain, dynamic or persistent."""
    least: int = 1
    """Clips a draw has, at least,"""
    most: int = 3
    """and at most."""
    missed: float = 0.001
    """Dynamic: the share of clips that an epoch may miss on average."""

    def size(self, data: WindowSet) -> int:
        """Return how many items an epoch has, over all ranks."""
        if self.sampling != "dynamic":
            return len(data)
        n_clips = len(data.matrices)
        return n_draws(n_clips, missed=self.missed, least=self.least, most=self.most)

    def draw(self, data: WindowSet, rng: np.random.Generator) -> list[list[int]]:
        """Return the windows of every item of an epoch, one or several that sound together."""
        if self.sampling == "plain":
            return [[int(window)] for window in rng.permutation(len(data))]
        if self.sampling == "dynamic":
            draws = true_dynamic(
                data.targets, rng, n=self.size(data), least=self.least, most=self.most
            )
            return [[data.any_window(clip, rng) for clip in clips] for clips in draws]
        order = rng.permutation(len(data))
        draws = others(
            data.targets, data.clip_of[order], rng, least=self.least - 1, most=self.most - 1
        )
        return [
            [int(window), *(data.any_window(clip, rng) for clip in clips)]
            for window, clips in zip(order, draws, strict=True)
        ]


PLAIN = Mixing()


def n_steps(n_items: int, *, batch_size: int, n_ranks: int) -> int:
    """Return the steps of an epoch: the same on every rank."""
    return -(-n_items // (batch_size * n_ranks))


def epoch_batches(
    data: WindowSet,
    *,
    epoch: int,
    seed: int,
    batch_size: int,
    rank: int,
    n_ranks: int,
    jitter: bool = False,
    mixing: Mixing = PLAIN,
) -> Iterator[Batch]:
    """Yield a rank's batches of one epoch, in an order that depends on seed and epoch only.

    Over all ranks every item comes exactly once; ranks agree on the number of steps. With `jitter`
    each window begins up to 40 % of a window sooner or later, within its clip.
    """
    rng = np.random.default_rng([seed, epoch])
    items = mixing.draw(data, rng)
    reach = round(SHIFT_SHARE * data.n_frames) if jitter else 0
    shifts = rng.integers(-reach, reach + 1, len(data))
    step_size = batch_size * n_ranks
    for start in range(0, len(items), step_size):
        n_here = min(step_size, len(items) - start)
        mine = np.array_split(np.arange(start, start + n_here), n_ranks)[rank]
        yield data.batch([items[k] for k in mine], n_here, shifts)


def prefetched(items: Iterator[T]) -> Iterator[T]:
    """Yield the items while a thread makes the next one."""
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(next, items, None)
        while (item := waiting.result()) is not None:
            waiting = pool.submit(next, items, None)
            yield item
