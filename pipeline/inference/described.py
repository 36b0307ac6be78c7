"""TRACKS in, rows of DESCRIBED out, and a model's windows of these. No torch here.

The processes that decode load this and no more: torch would take each 0.4 GB and some seconds.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from pipeline.audio.spectra.activity import Activity
from pipeline.audio.spectra.windows import MatrixWindows
from pipeline.binaries import buffers_of
from pipeline.inference.inference_config import InferenceConfig
from pipeline.inference.track_description import Description, column
from pipeline.inference.tracks import described_rows, described_schema
from pipeline.store.tags.known import NO_CONTENTS, KnownContents


def describe(
    tracks: pa.Table, inference: InferenceConfig, known: KnownContents = NO_CONTENTS
) -> Iterator[pa.Table]:
    """Decode each track, and say when its windows begin; yield one row per track, or a fault."""
    schema = described_schema(len(inference.front_ends), inference.attribute_columns)
    for row in described_rows(tracks.to_pylist(), description_of(inference), known):
        yield pa.Table.from_pylist([row], schema)


def description_of(inference: InferenceConfig) -> Description:
    """Return what of a track is computed before the model has it."""
    activity = inference.activity or Activity(max_flatness=1)  # silence has no attributes
    return Description(inference.front_ends, inference.attributes, activity)


def windows_of(described: pa.Table, inference: InferenceConfig, k: int = 0) -> list[MatrixWindows]:
    """Return each track's windows for one model, of rows of DESCRIBED.

    `k` is the number of the model's front end among those that the rows are of.
    """
    input_spec = inference.model_card.input_spec
    n_frames, silence = inference.windows.n_frames(input_spec), input_spec.silence
    columns = described[column("columns", k)].to_pylist()
    return [
        MatrixWindows(
            np.frombuffer(matrix, input_spec.dtype).reshape(input_spec.n_rows, -1),
            np.array(starts or [], np.int64),
            n_frames,
            silence,
        )
        for matrix, starts in zip(buffers_of(described[column("matrix", k)]), columns, strict=True)
    ]
