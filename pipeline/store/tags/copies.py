"""Tracks whose content is known by another name in; their rows of TAGS out, copied."""

from __future__ import annotations

from collections import defaultdict

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.store.folder import Folder
from pipeline.store.tags.attribute_flags import bits_of, bits_of_rows
from pipeline.store.tags.known import content_hashes
from pipeline.store.tags.tagfiles import (
    BESIDE,
    file_beside,
    read_one_beside,
)
from pipeline.store.tags.tagpart import TagPart
from pipeline.store.tags.tagrows import for_others, of_tracks
from pipeline.store.tags.tagstore import TagStore
from schemas.attributes import sets_of, with_attributes_of

_COPIED_ROWS = 4096  # a file


def copy_rows(
    store: TagStore,
    part: TagPart,
    tracks: pa.Table,
    *,
    date: str,
    schema: pa.Schema,
) -> None:
    """Write the rows of tracks whose content a part knows, and what stands beside, for them.

    Parameters
    ----------
    store
        Where the rows are, and where theirs go.
    part
        Where contents are looked up; its index must be whole.
    tracks
        Rows of uri, fingerprint, known_as, size_bytes, modified_ns, attempts and tagged_at.
        Each gets all that is known of its content, so that it need not last as long as
        another's. `known_as` is the fingerprint by which the content is known.
    date
        Of the run.
    schema
        Of the new rows, metadata and all. Only rows that have its attributes are copied.
    """
    wanted = defaultdict(list)
    for k, content in enumerate(tracks["known_as"].to_pylist()):
        wanted[content].append(k)
    for name in part.files_with(content_hashes(tracks["known_as"])):
        rows = _fit_to_copy(store.folder, name, schema)
        found = [wanted.pop(text, []) for text in rows["fingerprint"].to_pylist()]
        _copy(store, name, rows, tracks, found, date, part.n_parts)


def _fit_to_copy(folder: Folder, name: str, schema: pa.Schema) -> pa.Table:
    """Return the rows of a file that are ok and have the attributes of a schema.

    They keep the attributes that they have beside these.
    """
    own = with_attributes_of(schema, folder.read_schema(name))
    rows = folder.read_tables([name], own)
    rows = rows.filter(pc.equal(rows["status"], "ok"))
    if wanted := sets_of(schema):
        bits = bits_of(wanted)
        rows = rows.filter(pa.array((bits_of_rows(rows["attributes"]) & bits) == bits))
    return rows.replace_schema_metadata(schema.metadata)


def _copy(
    store: TagStore,
    name: str,
    rows: pa.Table,
    tracks: pa.Table,
    found: list[list[int]],
    date: str,
    n_parts: int,
) -> None:
    """Write rows of a file for the tracks that are found to have their contents."""
    pairs = [(row, track) for row, of_row in enumerate(found) for track in of_row]
    for start in range(0, len(pairs), _COPIED_ROWS):
        which, who = zip(*pairs[start : start + _COPIED_ROWS], strict=True)
        source, mine = rows.take(pa.array(which)), tracks.take(pa.array(who))
        beside = {
            table: for_others(read_one_beside(store.folder, name, table), source, mine)
            for table in BESIDE
            if store.folder.exists(file_beside(name, table))
        }
        store.commit(of_tracks(source, mine), date=date, beside=beside, n_parts=n_parts)
