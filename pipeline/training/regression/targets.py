"""A split's clips in, their timbral descriptors out: computed once, and memory-mapped after that.

Descriptors take some 0.1 s a clip, so all cores compute them. They are of the clip as it is in
CLIPS, before anything is filled up or resampled for a network.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.arrays import Float64
from pipeline.store.dataset import Dataset
from pipeline.training.data.ahead import mapped_table
from pipeline.training.data.loader import process_pool
from pipeline.training.data.mapped import make_once
from pipeline.training.regression.descriptors import TARGETS, wav_targets

_CLIPS_A_PROCESS = 16
"""Fewer take no longer than a process does to start."""
_VERSION = "timbral-1"
"""Part of a folder's name: of another version of the descriptors, files are made again."""
_SCHEMA = pa.schema(
    [("segment_id", pa.string()), ("values", pa.list_(pa.float64())), ("why", pa.string())]
)


@dataclass(frozen=True)
class ClipTargets:
    """The targets of some clips in their own units."""

    segment_ids: list[str]
    values: Float64
    """`[n_clips, n_targets]`; NaN where one is not defined."""
    why: list[str]
    """Why a clip has no target at all; empty where it has one."""

    @property
    def left_out(self) -> dict[str, int]:
        """Clips without any target, by why."""
        return {why: self.why.count(why) for why in sorted(set(self.why) - {""})}

    def of(self, segment_ids: list[str]) -> ClipTargets:
        """Return those of some clips, in the order given."""
        at: Mapping[str, int] = {one: k for k, one in enumerate(self.segment_ids)}
        rows = [at[one] for one in segment_ids]
        values = self.values[rows].reshape(len(rows), len(TARGETS))
        return ClipTargets(segment_ids, values, [self.why[row] for row in rows])


def shard_targets(dataset: Dataset, name: str, pool: Executor | None = None) -> pa.Table:
    """Return `segment_id`, `values` and `why` of the clips of one file of CLIPS.

    With a pool its processes compute the clips.
    """
    rows = dataset.folder.read_table(name, ["segment_id", "audio"]).to_pylist()
    wavs = [row["audio"]["bytes"] for row in rows]
    found = list(map(wav_targets, wavs) if pool is None else pool.map(wav_targets, wavs))
    return pa.table(
        {
            "segment_id": [row["segment_id"] for row in rows],
            "values": [values for values, _ in found],
            "why": [why for _, why in found],
        },
        schema=_SCHEMA,
    )


def mapped_targets(
    dataset: Dataset, split: str, cache: Path, *, n_processes: int | None = None
) -> ClipTargets:
    """Return the targets of a split's clips; what is not in the cache is computed now.

    By `n_processes`, or where these are not given as many as there are cores, with enough to do for
    each.
    """
    names = dataset.names("clips", split)
    paths = {name: cache / _VERSION / f"{Path(name).stem}.arrow" for name in names}
    missing = [name for name, path in paths.items() if not path.exists()]
    n_clips = sum(map(dataset.folder.n_rows, missing))
    with _pool(n_clips, n_processes) as pool:
        for name in missing:
            make_once(paths[name], partial(shard_targets, dataset, name, pool))
    return of_tables([mapped_table(path) for path in paths.values()])


@contextmanager
def _pool(n_clips: int, n_processes: int | None) -> Iterator[Executor | None]:
    """Give processes for so many clips; None where this one is as fast."""
    from joblib import cpu_count  # here, as the figures do without it

    n = min(cpu_count(), n_clips // _CLIPS_A_PROCESS) if n_processes is None else n_processes
    if n < 2:
        yield None
        return
    with process_pool(n) as pool:
        yield pool


def of_tables(tables: list[pa.Table]) -> ClipTargets:
    """Return the targets that tables of `shard_targets` hold, one after the other."""
    table = pa.concat_tables([_SCHEMA.empty_table(), *tables])
    values = np.array(table["values"].to_pylist(), np.float64).reshape(-1, len(TARGETS))
    return ClipTargets(table["segment_id"].to_pylist(), values, table["why"].to_pylist())
