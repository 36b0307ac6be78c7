"""FEATURES: one row is a clip's log-mel, as raw float16. Key: segment_id.

The matrix is one binary value a row, `[n_mels, n_frames]` in C order, little-endian float16: it is
read without a copy (`numpy.frombuffer`), ten times faster than a tensor or list column. Clips
differ in length, so the width is in `n_frames`; the height and the whole feature spec are in the
metadata.
"""

from __future__ import annotations

import json

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.columns import CODES, UNKNOWN, column

SPEC_KEY = b"timbre.feature_spec"


def features_schema(spec: dict[str, object]) -> pa.Schema:
    """FEATURES of log-mels made with `spec`, a `pipeline.audio.spectra.logmel.LogMelSpec`."""
    return pa.schema(
        [
            column("segment_id", pa.string(), "'{ytid}_{start in ms}'"),
            column("ytid", pa.string(), "YouTube's id of the video, or the source's own id"),
            column(
                "logmel",
                pa.large_binary(),
                "log-mel power spectrogram",
                unit="dB re 1",
                dtype="<f2",
                shape="[n_mels, n_frames]",
                n_mels=str(spec["n_mels"]),
            ),
            column("n_frames", pa.int32(), "frames of the log-mel"),
            column("classes", CODES, "instrument codes of the vocabulary, in its order"),
            column("unknown", CODES, UNKNOWN),
            column("split", pa.string(), "train, val or test"),
        ],
        metadata={SPEC_KEY: json.dumps(spec, sort_keys=True)},
    )


def read_logmels(table: pa.Table) -> list[npt.NDArray[np.float16]]:
    """Return every row's log-mel, `[n_mels, n_frames]`, without copying the table's memory."""
    n_mels = int(table.schema.field("logmel").metadata[b"n_mels"])
    return [
        np.frombuffer(value.as_buffer(), dtype="<f2").reshape(n_mels, -1)
        for chunk in table.column("logmel").chunks
        for value in chunk
    ]
