"""A split's clips in, their timbral descriptors out: computed once, and memory-mapped after that.

Descriptors take some 0.1 s a clip, so all cores compute them, a shard each. They are of the clip as
it is in CLIPS, before anything is filled up or resampled for a network.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipeline.arrays import Float32, Float64
from pipeline.audio.decoding.clip import from_wav
from pipeline.store.dataset import Dataset
from pipeline.training.data.ahead import mapped_table
from pipeline.training.data.mapped import make_once

TARGETS = (
    *("depth", "brightness", "roughness", "warmth"),
    *("sharpness", "boominess", "hardness"),
)
"""The notes' seven, in their order. Reverb is yes or no, and no value to regress."""
SHORT = "shorter than 20 ms"
SILENT = "silent, or below -70 LUFS"
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


def descriptors(samples: Float32, sample_rate_hz: int) -> tuple[list[float], str]:
    """Return the values of `TARGETS`, NaN where one is not defined, and why there is none at all.

    >>> values, why = descriptors(np.zeros(44_100, np.float32), 44_100)
    >>> len(values), why
    (7, 'silent, or below -70 LUFS')
    """
    # Here, as librosa takes a second to import.
    from pipeline.audio.description.timbral.descriptors import LEAST_S, timbral_descriptors

    found = timbral_descriptors(samples, sample_rate_hz)
    values = [found[name] for name in TARGETS]
    if not np.isnan(values).all():
        return values, ""
    return values, SHORT if len(samples) < LEAST_S * sample_rate_hz else SILENT


def shard_targets(dataset: Dataset, name: str) -> pa.Table:
    """Return `segment_id`, `values` and `why` of the clips of one file of CLIPS."""
    rows = dataset.folder.read_table(name, ["segment_id", "audio"]).to_pylist()
    found = [descriptors(*from_wav(row["audio"]["bytes"])) for row in rows]
    return pa.table(
        {
            "segment_id": [row["segment_id"] for row in rows],
            "values": [values for values, _ in found],
            "why": [why for _, why in found],
        },
        schema=_SCHEMA,
    )


def mapped_targets(dataset: Dataset, split: str, cache: Path) -> ClipTargets:
    """Return the targets of a split's clips; what is not in the cache is computed on all cores."""
    from joblib import Parallel, cpu_count, delayed  # here, as the figures do without it

    names = dataset.names("clips", split)
    paths = {name: cache / _VERSION / f"{Path(name).stem}.arrow" for name in names}
    missing = [name for name, path in paths.items() if not path.exists()]
    Parallel(n_jobs=min(cpu_count(), max(1, len(missing))))(
        delayed(_make)(dataset, name, paths[name]) for name in missing
    )
    return of_tables([mapped_table(path) for path in paths.values()])


def of_tables(tables: list[pa.Table]) -> ClipTargets:
    """Return the targets that tables of `shard_targets` hold, one after the other."""
    table = pa.concat_tables([_SCHEMA.empty_table(), *tables])
    values = np.array(table["values"].to_pylist(), np.float64).reshape(-1, len(TARGETS))
    return ClipTargets(table["segment_id"].to_pylist(), values, table["why"].to_pylist())


def _make(dataset: Dataset, name: str, path: Path) -> None:
    make_once(path, lambda: shard_targets(dataset, name))
