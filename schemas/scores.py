"""SCORES: one row is one scored item, its truth and what a model says of it. Key: uri."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from schemas.columns import CODES, UNKNOWN, column


def scores_schema(class_codes: Sequence[str]) -> pa.Schema:
    """SCORES of an evaluation of `class_codes`; the columns are plain, no extension types."""
    scores = pa.struct([pa.field(code, pa.float32()) for code in class_codes])
    return pa.schema(
        [
            column("uri", pa.string(), "the item: a segment_id, or the track's uri in the truth"),
            column("group", pa.string(), "what it was cut from: its video or song, or itself"),
            column("truth", CODES, "codes of the classes that the item has"),
            column("unknown", CODES, UNKNOWN),
            column(
                "scores",
                scores,
                "score per class after aggregation, uncalibrated; 0 where the track is broken",
                range="0..1",
            ),
        ]
    )
