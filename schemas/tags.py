"""TAGS: one row is what one model says of one track. Key: uri, fingerprint, model_id."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from schemas.attributes import ATTRIBUTES
from schemas.columns import CODES, column

PACKET_HASH, BYTE_HASH = "packets:", "blake2b:"
"""What a fingerprint begins with: the hash of a track's packets of audio, or of all its bytes."""


def scores_struct(class_codes: Sequence[str]) -> pa.StructType:
    """One float per class, by code."""
    return pa.struct([pa.field(code, pa.float32()) for code in class_codes])


def tags_schema(class_codes: Sequence[str], attributes: Sequence[pa.Field] = ()) -> pa.Schema:
    """TAGS of a model that knows `class_codes`; a broken track is a row with status 'failed'.

    `attributes` are the columns of the attribute sets that were asked for; most runs have none.
    """
    scores = scores_struct(class_codes)
    return pa.schema(
        [
            column("uri", pa.string(), "where the track is, as the catalogue names it"),
            column(
                "fingerprint",
                pa.string(),
                "'packets:' and the hash of its audio's packets, which no tags are in; of files "
                "without any, and of rows of older versions, 'blake2b:' and the hash of its bytes; "
                "null where unread",
            ),
            column("size_bytes", pa.int64(), "the file's size when it was read", unit="B"),
            column(
                "modified_ns", pa.int64(), "its modification time; null where unknown", unit="ns"
            ),
            column("duration_s", pa.float64(), "length of the decoded audio", unit="s"),
            column("status", pa.string(), "ok or failed"),
            column("reason", pa.string(), "a Reason of pipeline.errors; 'ok' when ok"),
            column("detail", pa.string(), "the decoder's message; null when ok"),
            column("attempts", pa.int32(), "runs that have tried it, this one included"),
            column(
                "labels", CODES, "codes of the instruments that reach their threshold and the gate"
            ),
            column("scores", scores, "score per class after aggregation", range="0..1"),
            column(
                "peaks",
                scores,
                "confidence per class: mean of its three highest windows, for min_confidence",
                range="0..1",
            ),
            column("n_windows", pa.int32(), "windows that the model scored"),
            column(
                "n_active", pa.int32(), "windows that are neither silence nor noise: those count"
            ),
            column("model_id", pa.string(), "the model that said so"),
            column("tagged_at", pa.timestamp("ms", "UTC"), "when"),
            *([ATTRIBUTES, *attributes] if attributes else []),
        ]
    )
