"""GONE: one row is a track of TAGS that its catalogue has no more. Key: uri."""

from __future__ import annotations

import pyarrow as pa

from schemas.columns import column

GONE = pa.schema(
    [
        column("uri", pa.string(), "the track, as in TAGS"),
        column("gone_since", pa.timestamp("ms", "UTC"), "the run that first did not find it"),
        column("catalog", pa.string(), "the catalogue of that run"),
    ]
)
