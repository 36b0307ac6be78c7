"""SEGMENTS: one row is a segment that was selected. Key: segment_id."""

from __future__ import annotations

import pyarrow as pa

from schemas.columns import CODES, UNKNOWN, column

SEGMENTS = pa.schema(
    [
        column("segment_id", pa.string(), "'{ytid}_{start in ms}'"),
        column("ytid", pa.string(), "YouTube's id of the video, or the source's own id"),
        column("start_s", pa.float64(), "where the segment begins in the video", unit="s"),
        column("end_s", pa.float64(), "where it ends", unit="s"),
        column("mids", CODES, "AudioSet's labels, as ontology ids"),
        column("classes", CODES, "instrument codes of the vocabulary, in its order"),
        column("unknown", CODES, UNKNOWN),
        column("group", pa.string(), "what it was cut from: the video, song or instrument"),
        column("split", pa.string(), "train, val or test; a group is in one split only"),
        column("shard", pa.string(), "the planned unit of work that the segment belongs to"),
    ]
)

SELECTED = pa.schema([(field.name, field.type) for field in SEGMENTS if field.name != "shard"])
"""What SEGMENTS are planned from: the selected segments, each with its split."""
