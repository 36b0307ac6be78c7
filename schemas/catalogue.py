"""CATALOGUE: one row is a track that a manifest names, and what that says of it. Key: uri."""

from __future__ import annotations

import pyarrow as pa

from schemas.columns import column

CATALOGUE = pa.schema(
    [
        column("uri", pa.string(), "the track, as in TAGS"),
        column("catalog", pa.string(), "the manifest whose row it is"),
        column("catalog_uri", pa.string(), "the track, as the manifest has it"),
    ]
)
"""The manifest's own columns follow: `pipeline.store.manifests.manifest_columns`."""
