"""What a manifest says of its tracks besides their uris, as columns of one type each. PURE.

    uri,id,artist,labels              catalog_uri   id   artist   catalog_labels
    a/1.mp3,7,Ada,x            ──→    a/1.mp3       7    Ada      x

`catalog_uri` is the uri as the manifest has it, by which its owner joins. A column that is called
as one of TAGS gets `catalog_` in front. A column whose values are of several types becomes text;
lists become JSON. Of Parquet, columns of bytes, structs and lists of numbers are not read: they may
be a thousand times as large as the tags.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from schemas.attributes import ATTRIBUTES
from schemas.catalogue import CATALOGUE
from schemas.gone import GONE
from schemas.tags import tags_schema

OF_TRACKS = ("uri", "size_bytes", "modified_ns")
"""What a manifest says of a file; all else are columns of its own."""
CATALOG_URI = "catalog_uri"
_TAKEN = {*tags_schema([]).names, *CATALOGUE.names, *GONE.names, ATTRIBUTES.name, "uri_hash"}


def own_name(name: str) -> str:
    """Return the name of a manifest's own column in the tables of a tagging folder.

    >>> own_name("artist"), own_name("labels")
    ('artist', 'catalog_labels')
    """
    return f"catalog_{name}" if name in _TAKEN else name


def own_columns(rows: pa.RecordBatch | pa.Table) -> dict[str, pa.Array]:
    """Return the own columns of a manifest's rows, and their uris as they are written."""
    found = {CATALOG_URI: _whole(rows["uri"])}
    for name in rows.schema.names:
        if name not in OF_TRACKS:
            found[own_name(name)] = _plain(_whole(rows[name]))
    return found


def kept_names(schema: pa.Schema) -> list[str]:
    """Return the columns of a Parquet manifest that are read: plain ones, and lists of text."""
    return [one.name for one in schema if one.name in OF_TRACKS or _is_kept(one.type)]


def own_columns_of(rows: Sequence[Mapping[str, Any]]) -> dict[str, pa.Array]:
    """Return the same of rows as they are read from a text, which need not have the same keys."""
    names = dict.fromkeys(key for row in rows for key in row if key not in OF_TRACKS)
    found = {CATALOG_URI: pa.array([row["uri"] for row in rows], pa.string())}
    return found | {own_name(name): _of_values([row.get(name) for row in rows]) for name in names}


def joined(tables: Iterable[pa.Table]) -> pa.Table:
    """Return rows one after the other; a column that is of several types becomes text."""
    tables = list(tables)
    fields: dict[str, pa.Field] = {}
    for field in (field for table in tables for field in table.schema):
        fields[field.name] = _common(fields.get(field.name, field), field)
    ready = [table.cast(_like(table.schema, fields)) for table in tables]
    return pa.concat_tables(ready, promote_options="default")


def _common(one: pa.Field, other: pa.Field) -> pa.Field:
    if one.type == other.type:
        return one
    try:
        unified = pa.unify_schemas(
            [pa.schema([one]), pa.schema([other])], promote_options="permissive"
        )
    except (pa.ArrowTypeError, pa.ArrowInvalid):
        return pa.field(one.name, pa.string())
    return unified.field(0)


def _like(schema: pa.Schema, fields: Mapping[str, pa.Field]) -> pa.Schema:
    return pa.schema([fields[name] for name in schema.names])


def _of_values(values: list[Any]) -> pa.Array:
    try:
        return _plain(pa.array(values))
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError):
        return pa.array([None if one is None else _text(one) for one in values], pa.string())


def _plain(values: pa.Array) -> pa.Array:
    """Return values of one plain type."""
    if pa.types.is_dictionary(values.type):
        values = values.dictionary_decode()
    if pa.types.is_nested(values.type):
        return pa.array(
            [None if one is None else _text(one) for one in values.to_pylist()], pa.string()
        )
    if pa.types.is_null(values.type) or pa.types.is_large_string(values.type):
        return values.cast(pa.string())
    return values


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)


def _is_kept(kind: pa.DataType) -> bool:
    if pa.types.is_dictionary(kind) or pa.types.is_list(kind):
        return bool(pa.types.is_string(kind.value_type))
    is_text = pa.types.is_string(kind) or pa.types.is_large_string(kind)
    return bool(is_text or pa.types.is_null(kind) or pa.types.is_primitive(kind))


def _whole(column: pa.Array | pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
