"""PREDICTIONS: one row is a clip with the values that it has and those that a regressor gives."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from schemas.columns import column


def predictions_schema(targets: Sequence[str]) -> pa.Schema:
    """Return the schema of PREDICTIONS for some targets, in their order."""
    values = pa.struct([(name, pa.float32()) for name in targets])
    return pa.schema(
        [
            column("uri", pa.string(), "segment_id of the clip"),
            column("group", pa.string(), "what the clip is of: its kit"),
            column("truth", values, "measured, in each target's own unit; null: not defined"),
            column("predicted", values, "given by the model, in the same units"),
        ]
    )
