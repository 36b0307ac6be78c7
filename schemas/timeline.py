"""What a tagging run may write beside TAGS: WINDOWS, INTERVALS and both kinds of EMBEDDINGS.

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


_OF_WINDOW = (
    column("window", pa.int32(), "its number in the track, from 0"),
    column("start_s", pa.float64(), "where it begins", unit="s"),
    column("end_s", pa.float64(), "where it ends, within the track", unit="s"),
    column("is_active", pa.bool_(), "whether it is neither silence nor noise"),
)


def windows_schema(class_codes: Sequence[str]) -> pa.Schema:
    """WINDOWS: one row is one window of a track, in the track's order."""
    return pa.schema(
        [
            *_OF,
            *_OF_WINDOW,
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

VECTOR = pa.list_(pa.float16())
"""An embedding in a file; folders of version 0.2 and before have list<float>."""

EMBEDDINGS = pa.schema(
    [
        *_OF,
        column(
            "embedding",
            VECTOR,
            "what the model's head sees, the mean over the track's active windows",
        ),
    ]
)
"""One row is one track."""

WINDOW_EMBEDDINGS = pa.schema(
    [
        *_OF,
        *_OF_WINDOW,
        column("embedding", VECTOR, "what the model's head sees in this window"),
    ]
)
"""One row is one window of a track, in the track's order, as in WINDOWS."""
