"""How a column says what it holds: meaning, unit and layout in Arrow field metadata."""

from __future__ import annotations

import json
from collections.abc import Mapping

import pyarrow as pa

MOMENTS_KEY = b"timbre.moments"
"""A file's metadata: n, total and total_of_squares of what it holds, which add up over files."""

CODES = pa.list_(pa.string())

UNKNOWN = "codes of the classes that the labels leave open; null or absent in older files: none"
"""What the column `unknown` holds, in SEGMENTS, CLIPS, FEATURES and SCORES."""

_HF_DTYPES = {
    "double": "float64",
    "float": "float32",
    "timestamp[ms, tz=UTC]": "timestamp[ms, tz=UTC]",
}


def column(name: str, type_: pa.DataType, meaning: str, **metadata: str) -> pa.Field:
    """Return a field that carries its meaning and what else (`unit=`, `dtype=`) is named."""
    return pa.field(name, type_, metadata={"meaning": meaning, **metadata})


def with_audio_feature(schema: pa.Schema, *, audio_column: str, sample_rate_hz: int) -> pa.Schema:
    """Return `schema` with the metadata by which Hugging Face `datasets` plays its audio column."""
    features = {
        field.name: {"_type": "Audio", "sampling_rate": sample_rate_hz}
        if field.name == audio_column
        else _hf_feature(field.type)
        for field in schema
    }
    return schema.with_metadata(
        {**(schema.metadata or {}), "huggingface": json.dumps({"info": {"features": features}})}
    )


def with_moments(schema: pa.Schema, moments: Mapping[str, float]) -> pa.Schema:
    """Return `schema` with the sums over what a file's one column of signals holds."""
    return schema.with_metadata({**(schema.metadata or {}), MOMENTS_KEY: json.dumps(moments)})


def _hf_feature(type_: pa.DataType) -> dict[str, object]:
    if pa.types.is_list(type_):
        return {"_type": "List", "feature": _hf_feature(type_.value_type)}
    return {"_type": "Value", "dtype": _HF_DTYPES.get(str(type_), str(type_))}
