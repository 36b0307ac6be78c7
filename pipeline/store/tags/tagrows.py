"""TAGS and what stands beside them: rows that are the last, rows that belong together.

PURE.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.arrays import Hashes
from pipeline.store.tags.known import text_hashes

SMALL_BYTES, JOINED_BYTES = 1 << 24, 1 << 26  # with what stands beside: it goes through memory
SMALL_ROWS, JOINED_ROWS = 2048, 4096  # a commit is 64 or more; 25 KiB or, with 527 classes, 600


def with_column(table: pa.Table, key: str, values: pa.ChunkedArray) -> pa.Table:
    """Return a table with other values in a column."""
    at = table.schema.get_field_index(key)
    field = table.schema.field(at)
    return table.set_column(at, field, values.cast(field.type))


def _tracks(table: pa.Table) -> pa.ChunkedArray:
    """Return a text for each row that stands for its uri and content."""
    content = pc.fill_null(table["fingerprint"], "")
    return pc.binary_join_element_wise(content, table["uri"], " ")


def belonging(rows: pa.Table, tags: pa.Table) -> pa.Table:
    """Return the rows beside TAGS that belong to some of them."""
    return rows.filter(pc.is_in(_tracks(rows), value_set=_tracks(tags).combine_chunks()))


def for_others(rows: pa.Table, tags: pa.Table, tracks: pa.Table) -> pa.Table:
    """Return the rows beside some of TAGS, once for each of them and as those of other tracks."""
    others = defaultdict(list)
    for other, track in enumerate(_tracks(tags).to_pylist()):
        others[track].append(other)
    rows = belonging(rows, tags)
    pairs = [(k, one) for k, track in enumerate(_tracks(rows).to_pylist()) for one in others[track]]
    taken, whose = (pa.array([pair[side] for pair in pairs], pa.int64()) for side in (0, 1))
    copies = rows.take(taken)
    for key in ("uri", "fingerprint"):
        copies = with_column(copies, key, tracks[key].take(whose))
    return copies


def last_rows(tables: list[pa.Table]) -> list[pa.Table]:
    """Return what of each of some TAGS is the last word on its track."""
    keys = np.concatenate([text_hashes(table["uri"]) for table in tables])
    is_last = last_of_each(keys, np.concatenate([times(table) for table in tables]))
    kept = np.split(is_last, np.cumsum([table.num_rows for table in tables])[:-1])
    return [table.filter(pa.array(each)) for table, each in zip(tables, kept, strict=True)]


def of_tracks(tags: pa.Table, tracks: pa.Table) -> pa.Table:
    """Return rows of TAGS as those of other tracks with the same contents."""
    for key in ("uri", "fingerprint", "size_bytes", "modified_ns", "attempts", "tagged_at"):
        tags = with_column(tags, key, tracks[key])
    return tags


def not_before(rows: pa.Table, earliest: datetime) -> pa.Table:
    """Return rows of which none says that it was made before some time."""
    when = rows["tagged_at"]
    least = pa.scalar(earliest, when.type)
    return with_column(rows, "tagged_at", pc.if_else(pc.less(when, least), least, when))


def times(table: pa.Table) -> np.ndarray:
    """Return when rows were made, in ms; 0 where that is unknown."""
    return np.asarray(pc.fill_null(pc.cast(table["tagged_at"], pa.int64()), 0))


def last_of_each(keys: Hashes, when: np.ndarray) -> np.ndarray:
    """Return which rows are the last of their key."""
    order = np.lexsort((when, keys))
    is_last = np.ones(len(keys), bool)
    is_last[order[:-1]] = keys[order[:-1]] != keys[order[1:]]
    return is_last
