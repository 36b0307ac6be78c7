"""A feature set: one row is a clip's feature, as a matrix over its frames or pooled over them.

Key: segment_id. The matrix is one binary value a row, `[n_rows, n_frames]` in C order, as
little-endian float32, like the log-mels in FEATURES; pooled statistics are plain lists, one number
a row of the feature. The names of the rows are in the columns' metadata, the whole description
(source, settings, frames, preparation) in the file's.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.columns import CODES, column
from schemas.record import Record

DESCRIPTION_KEY = b"timbre.feature"
CLIPS_KEY = b"timbre.clips"
"""A hash of the ids and sha256 of the clips that a file is of."""

_STATISTICS = {"mean": "mean over the frames", "var": "variance over the frames"}


@dataclass(frozen=True)
class FeatureSetRecord(Record):
    """features.json: of which dataset a folder's features are, and how they were made."""

    omitted = frozenset({"n_shards", "provenance"})

    dataset: str = ""
    """The folder of the dataset."""
    dataset_fingerprint: str = ""
    """Of its clips, labels and settings."""
    features: dict[str, Any] = field(default_factory=dict)
    """The description of each, by name: source, settings, unit, names of its rows."""
    pool: list[str] = field(default_factory=list)
    """Statistics over the frames, mean or var; none where all frames were kept."""
    prepare: str = ""
    """What was done to the samples first, as --prepare has it."""
    complete: bool = False
    """Whether all shards are there."""
    n_shards: int | None = None
    """Shards of the dataset; None until they are there."""
    provenance: dict[str, str] = field(default_factory=dict)
    """Versions, and the dataset as --dataset had it; nothing until all shards are there."""


def feature_schema(description: Mapping[str, Any]) -> pa.Schema:
    """Return the schema of matrices of the feature that is described."""
    values = column(
        "values",
        pa.large_binary(),
        f"{description['name']}: {description['source']}",
        unit=description["unit"],
        dtype="<f4",
        shape=f"[n_rows, n_{description['columns']}]",
        n_rows=str(len(description["rows"])),
        rows=json.dumps(description["rows"]),
    )
    return _schema(
        [values, column("n_columns", pa.int32(), f"{description['columns']} of it")], description
    )


def pooled_schema(description: Mapping[str, Any], how: Sequence[str]) -> pa.Schema:
    """Return the schema of statistics over the frames: `mean`, `var` or both."""
    units = {"mean": description["unit"], "var": squared(description["unit"])}
    numbers, rows = pa.list_(pa.float32()), json.dumps(description["rows"])
    statistics = [column(s, numbers, _STATISTICS[s], unit=units[s], rows=rows) for s in how]
    return _schema(statistics, description)


def squared(unit: str) -> str:
    """Return what the square of a unit is called; of several, each.

    Rows' units stand between commas, named blocks of rows between semicolons.

    >>> squared("dB"), squared("full scale / Hz, full scale"), squared(""), squared("Hz²")
    ('dB²', '(full scale / Hz)², full scale²', '', 'Hz²')
    >>> squared("mfcc_13 dB; poly full scale / Hz, full scale")
    'mfcc_13 dB²; poly (full scale / Hz)², full scale²'
    """
    if "; " in unit:
        blocks = [block.partition(" ") for block in unit.split("; ")]
        return "; ".join(f"{name} {squared(units)}" for name, _, units in blocks)
    parts = [part for part in unit.split(", ") if part]
    named = [f"({part})" if " / " in part else part for part in parts]
    return ", ".join(part if part.endswith("²") else f"{part}²" for part in named)


def read_matrices(table: pa.Table) -> list[npt.NDArray[np.float32]]:
    """Return every row's matrix, `[n_rows, n_frames]`, without copying the table's memory."""
    n_rows = int(table.schema.field("values").metadata[b"n_rows"])
    return [
        np.frombuffer(value.as_buffer(), dtype="<f4").reshape(n_rows, -1)
        for chunk in table.column("values").chunks
        for value in chunk
    ]


def _schema(values: Sequence[pa.Field], description: Mapping[str, Any]) -> pa.Schema:
    fields = [
        column("segment_id", pa.string(), "'{ytid}_{start in ms}'"),
        column("ytid", pa.string(), "YouTube's id of the video, or the source's own id"),
        *values,
        column("classes", CODES, "instrument codes of the vocabulary, in its order"),
        column("split", pa.string(), "train, val or test"),
    ]
    return pa.schema(fields, metadata={DESCRIPTION_KEY: json.dumps(description, sort_keys=True)})
