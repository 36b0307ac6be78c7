"""A row of TAGS in, what its file's own metadata shall say under which keys out. PURE."""

from __future__ import annotations

import math

from pipeline.exports.texts import Row, TagSource

INSTRUMENTS = "INSTRUMENTS"
"""Key of the names of a track's instruments, one value each."""
MODEL = "INSTRUMENTS_MODEL"
"""Key of the model that has found them."""


def attribute_key(column: str) -> str:
    """Return the key of an attribute's column.

    >>> attribute_key("timbral_depth")
    'TIMBRAL_DEPTH'
    """
    return column.upper()


def values_of(row: Row, origin: TagSource) -> dict[str, list[str]]:
    """Return the texts by key; a key without any is to be removed.

    A track without labels and attributes gets nothing: its file then says nothing of the model.
    """
    values = {INSTRUMENTS: [origin.name(code) for code in row["labels"] or ()]}
    for column in origin.attributes:
        value = row.get(column)
        is_number = value is not None and math.isfinite(value)
        values[attribute_key(column)] = [f"{value:.3f}"] if is_number else []
    return {**values, MODEL: [origin.model_id] if any(values.values()) else []}
