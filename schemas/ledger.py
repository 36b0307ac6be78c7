"""LEDGER: one row is what became of one planned segment. Key: segment_id."""

from __future__ import annotations

import pyarrow as pa

from schemas.columns import column

LEDGER = pa.schema(
    [
        column("segment_id", pa.string(), "'{ytid}_{start in ms}'"),
        column("ytid", pa.string(), "YouTube's id of the video, or the source's own id"),
        column("outcome", pa.string(), "an Outcome of pipeline.errors: ok, unavailable, ..."),
        column("reason", pa.string(), "a Reason of pipeline.errors: not_found, too_short, ..."),
        column("detail", pa.string(), "the original message; null when ok"),
        column("attempts", pa.int32(), "how often the segment was asked for"),
        column("http_status", pa.int32(), "the HTTP status that decided; null where none did"),
        column("bytes_fetched", pa.int64(), "bytes read from the source", unit="B"),
        column("seconds", pa.float64(), "wall time that the segment took", unit="s"),
        column("ended_at", pa.timestamp("ms", "UTC"), "when the outcome was known"),
    ]
)
