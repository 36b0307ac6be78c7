"""CLIP_EMBEDDINGS: one row is what frozen encoders make of one window of a clip.

Key: segment_id, window. A probe is fitted on these; they are made once and kept beside the dataset.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa

from schemas.columns import column
from schemas.feature_set import CLIPS_KEY
from schemas.record import Record

ENCODERS_KEY = b"timbre.encoders"
"""A file's metadata: the model_ids of the encoders, in their order."""


@dataclass(frozen=True)
class EmbeddingsRecord(Record):
    """about.json: what the embeddings in a folder were made with, as its name is only a hash."""

    model_ids: list[str]
    """The model_ids of the encoders, in their order."""
    feature_spec: dict[str, Any]
    """The front end of the embeddings: a `pipeline.audio.spectra.input_spec.InputSpec`."""
    window: dict[str, Any]
    """The windows of the embeddings: a `pipeline.audio.spectra.windows.WindowSpec`."""
    precision: str
    """Arithmetic of the encoders: auto, f32 or bf16."""


def clip_embeddings_schema(model_ids: Sequence[str], clips: bytes) -> pa.Schema:
    """Return the schema of a file of the clips of which `clips` is a hash (`CLIPS_KEY`)."""
    return pa.schema(
        [
            column("segment_id", pa.string(), "'{ytid}_{start in ms}'"),
            column("window", pa.int32(), "number of the window in the clip, from 0"),
            column("start_s", pa.float64(), "where the window begins in the clip", unit="s"),
            column("is_active", pa.bool_(), "whether it is neither silence nor noise"),
            column(
                "embedding",
                pa.list_(pa.float32()),
                "of each encoder the mean and then the maximum over its patches of the window; of "
                "an encoder with one patch the embedding itself",
            ),
        ],
        metadata={ENCODERS_KEY: json.dumps(list(model_ids)), CLIPS_KEY: clips},
    )
