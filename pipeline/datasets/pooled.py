"""From a folder of pooled features to one matrix per statistic, and each clip's class.

    features.json  {name}-pooled/{shard}.parquet

A table has the columns `mean`, `var` or both: lists with one number per row of the feature, the
names of the rows and the unit in the column's metadata.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.arrays import Float32, Int64
from pipeline.audio.description.features import FEATURES, FrameSpec
from pipeline.configs.explore import ALL
from pipeline.configs.extract import STATISTICS
from pipeline.errors import SpecMismatch, UsageError
from pipeline.evaluation.statistics.anova import RowValues, single_groups
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder
from pipeline.store.matrices import label_matrix
from schemas.feature_set import FeatureSetRecord, squared

_EXTRACT = "python -m jobs.extract_features --pool mean,var"


@dataclass(frozen=True)
class Pooled:
    """One feature of the clips with exactly one class."""

    feature: str
    n_clips: int
    """All clips read, those with none or several classes too."""
    segment_ids: list[str]
    """Of the clips with exactly one class, `[n_single]`."""
    groups: Int64
    """Each clip's class as its index, `[n_single]`."""
    rows: Mapping[str, list[str]]
    """The names of the rows, by statistic."""
    units: Mapping[str, str]
    """What a statistic counts in, such as dB and dB²; of several rows, where they differ, each."""
    values: Mapping[str, Float32]
    """The pooled rows by statistic, each `[n_single, n_rows]`."""

    def row_values(self, row: str, statistic: str) -> RowValues:
        """Return one statistic of one row."""
        column = self.values[statistic][:, self.rows[statistic].index(row)].copy()
        unit = row_unit(self.feature, row, statistic, of_all=self.units[statistic])
        return RowValues(self.feature, row, statistic, unit, column, self.groups)


def check_features(folder: Folder, dataset: Dataset) -> list[str]:
    """Return the features' names; UsageError unless they are whole, pooled and of the dataset."""
    if not folder.exists("features.json"):
        raise UsageError(f"{folder.uri}: no features.json there; make features with {_EXTRACT}")
    made = folder.read_record("features.json", FeatureSetRecord)
    if not made.complete:
        raise UsageError(f"{folder.uri}: the features are not complete; run {_EXTRACT} again")
    fingerprint = dataset.record().fingerprint  # one that is not complete has none
    if not fingerprint or made.dataset_fingerprint != fingerprint:
        raise SpecMismatch(
            f"{folder.uri}: the features are not of {dataset.folder.uri} as it is now; make them "
            f"anew with {_EXTRACT}"
        )
    if not made.pool or not made.features:
        raise UsageError(f"{folder.uri}: no pooled features there; make them with {_EXTRACT}")
    return list(made.features)


def shards_of(folder: Folder, table: str, split: str) -> Iterator[str]:
    """Yield the files of a table whose shards are of a split, or of all."""
    for name in folder.names(table):
        if split == ALL or name.startswith(f"{table}/{split}-"):
            yield name


def read_pooled(folder: Folder, feature: str, split: str, codes: list[str]) -> Pooled:
    """Read one feature of a split, a shard at a time; clips without exactly one class are left."""
    shards = list(shards_of(folder, f"{feature}-pooled", split))
    if not shards:
        raise UsageError(f"{folder.uri}: no clips in {feature}-pooled of the split {split}")
    schema = folder.read_schema(shards[0])
    fields = [schema.field(name) for name in STATISTICS if name in schema.names]
    rows = {field.name: _rows(field) for field in fields}
    n_clips, segment_ids, groups, pieces = 0, [], [], []
    for name in shards:
        table = folder.read_table(name, ["segment_id", *rows, "classes"])
        found = single_groups(label_matrix(table["classes"], codes))
        n_clips += len(table)
        groups.append(found[found >= 0])
        single = table.filter(pa.array(found >= 0))
        segment_ids += single["segment_id"].to_pylist()
        pieces.append(
            {key: _matrix(single[key], len(rows[key]), f"{key} of {name}") for key in rows}
        )
    return Pooled(
        feature,
        n_clips=n_clips,
        segment_ids=segment_ids,
        groups=np.concatenate(groups),
        rows=rows,
        units={field.name: _unit(field) for field in fields},
        values={key: np.concatenate([piece[key] for piece in pieces]) for key in rows},
    )


def _rows(field: pa.Field) -> list[str]:
    names: list[str] = json.loads(field.metadata[b"rows"])
    return names


def _unit(field: pa.Field) -> str:
    """Return a statistic's unit: a variance counts in squares."""
    unit: str = field.metadata.get(b"unit", b"").decode()
    return squared(unit) if field.name == "var" else unit  # older files have the feature's


def row_unit(feature: str, row: str, statistic: str, *, of_all: str) -> str:
    """Return the unit of one row of a pooled feature, squared for a variance.

    A file says the unit of the feature as a whole, `of_all`; the catalogue knows that of each row.

    >>> row_unit("descriptors", "centroid_hz", "var", of_all="mfcc_13 dB; centroid Hz")
    'Hz²'
    """
    frames = FrameSpec()
    known = FEATURES.get(feature)
    if known is None or row not in known.rows(frames):
        return of_all
    unit = dict(zip(known.rows(frames), known.row_units(frames), strict=True))[row]
    return squared(unit) if statistic == "var" else unit


def _matrix(column: pa.ChunkedArray, n_rows: int, what: str) -> Float32:
    """Return a column of lists as `[n_clips, n_rows]`, NaN for nulls."""
    lists = column.combine_chunks()
    if not pc.all(pc.equal(pc.list_value_length(lists), n_rows), skip_nulls=False).as_py():
        raise SpecMismatch(f"{what}: expected {n_rows} numbers per clip")
    values: npt.NDArray[Any] = lists.flatten().to_numpy(zero_copy_only=False)
    return values.astype(np.float32).reshape(len(lists), n_rows)
