"""What a tagging run may write beside TAGS: WINDOWS, INTERVALS and EMBEDDINGS, by track.

Keys: uri, model_id, and window or (code, start_s). Each file stands beside the file of TAGS of the
same name.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from schemas.columns import column
from schemas.tags import scores_struct

_OF = (
    column("uri", pa.string(), "the track, as in TAGS"),
    column("fingerprint", pa.string(), "the hash of its audio, as in TAGS"),
    column("model_id", pa.string(), "the model that said so"),
)


def windows_schema(class_codes: Sequence[str]) -> pa.Schema:
    """WINDOWS: one row is one window of a track, in the track's order."""
    return pa.schema(
        [
            *_OF,
            column("window", pa.int32(), "its number in the track, from 0"),
            column("start_s", pa.float64(), "where it begins", unit="s"),
            column("end_s", pa.float64(), "where it ends, within the track", unit="s"),
            column("is_active", pa.bool_(), "whether it is neither silence nor noise"),
            column("scores", scores_struct(class_codes), "the model's sigmoids", range="0..1"),
        ]
    )


INTERVALS = pa.schema(
    [
        *_OF,
        column("code", pa.string(), "the instrument"),
        column("start_s", pa.float64(), "where its windows begin", unit="s"),
        column("end_s", pa.float64(), "where they end", unit="s"),
        column("score", pa.float32(), "mean score of these windows", range="0..1"),
    ]
)
"""One row is a stretch of a track in which one instrument sounds without a break."""

EMBEDDINGS = pa.schema(
    [
        *_OF,
        column(
            "embedding",
            pa.list_(pa.float32()),
            "what the model's head sees, the mean over the track's active windows",
        ),
    ]
)
"""One row is one track."""
