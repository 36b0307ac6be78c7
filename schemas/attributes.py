"""Attributes: columns of TAGS that describe how a track sounds, in sets such as `timbral`.

A file of TAGS has the columns of a set where its run was asked for it (`--attributes`); others are
as they were without. Each column is a float32 that one can sort and filter by; null where it is not
defined for the track, and where the track was not described.
"""

from __future__ import annotations

from collections.abc import Iterable

import pyarrow as pa

from schemas.columns import CODES, column

_SET_KEY = b"attribute_set"

ATTRIBUTES = column(
    "attributes", CODES, "attribute sets that the track was described by; null where by none"
)
"""Tells a track of silence, whose attributes are null, from one that was not described."""


def attribute(
    attribute_set: str, name: str, meaning: str, *, of_track: str, unit: str, range: str
) -> pa.Field:
    """Return the column of an attribute.

    Parameters
    ----------
    attribute_set, name
        The set and the attribute, which the column is named by: `timbral_brightness`.
    meaning
        What a larger value means.
    of_track
        What of the track it is computed of, and how the values become one.
    unit, range
        Unit of the values, and the range that they lie in for most tracks: `0..100`.
    """
    return column(
        f"{attribute_set}_{name}",
        pa.float32(),
        meaning,
        attribute_set=attribute_set,
        of_track=of_track,
        unit=unit,
        range=range,
    )


def attributes_of(schema: pa.Schema) -> list[pa.Field]:
    """Return the columns of TAGS that are attributes, of all sets."""
    return [field for field in schema if _SET_KEY in (field.metadata or {})]


def attributes_of_all(schemas: Iterable[pa.Schema]) -> list[pa.Field]:
    """Return the columns of TAGS that are attributes in any of some schemas, each once."""
    found = {one.name: one for schema in schemas for one in attributes_of(schema)}
    return list(found.values())


def sets_of(schema: pa.Schema) -> list[str]:
    """Return the attribute sets that have columns in a schema of TAGS."""
    return list(dict.fromkeys(one.metadata[_SET_KEY].decode() for one in attributes_of(schema)))


def with_attributes_of(schema: pa.Schema, other: pa.Schema) -> pa.Schema:
    """Return a schema of TAGS, and after its columns the attributes that only another one has."""
    found = attributes_of(other)
    more = [one for one in [ATTRIBUTES, *found] if found and one.name not in schema.names]
    return pa.schema([*schema, *more], schema.metadata)


def range_of(field: pa.Field) -> tuple[float, float]:
    """Return the range of an attribute, as its column says it.

    >>> range_of(attribute("a", "b", "", of_track="", unit="", range="0..100"))
    (0.0, 100.0)
    """
    low, _, high = field.metadata[b"range"].decode().partition("..")
    return float(low), float(high)
