"""Files of TAGS and what stands beside them: written, joined and cut down together.

    tags/model=resnet50-0123456789ab/part=0-of-1/date=2026-11-21/{hash}.parquet

A file of `windows/`, `intervals/`, `embeddings/` or `window_embeddings/` has the name of its file
of TAGS and is written before it: without that one it does not count, and is deleted by the next
run.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from urllib.parse import quote, unquote

import pyarrow as pa

from pipeline.arrays import Bools
from pipeline.errors import UsageError
from pipeline.store.disk import Walked
from pipeline.store.folder import Folder
from pipeline.store.matrices import vector_lists, vector_matrix
from pipeline.store.tags.tagrows import belonging, last_rows
from schemas.timeline import VECTOR

BESIDE = ("windows", "intervals", "embeddings", "window_embeddings")
TABLES = ("tags", *BESIDE)
_VALUES = "embedding.list.element"
"""What Parquet calls the numbers of a column of vectors."""
AT_ONCE = 16
"""Files that are read or deleted at once: a bucket answers late."""


def model_place(model_id: str) -> str:
    """Return the folder of a model, below that of a table: its id may come from anywhere.

    >>> model_place("a/b")
    'model=a%2Fb'
    """
    return f"model={quote(model_id, safe='')}"


def model_and_date(name: str) -> tuple[str, str]:
    """Return the model whose rows a file holds, and the date of its run.

    >>> model_and_date("tags/model=a%2Fb/part=0-of-1/date=2026-11-21/0.parquet")
    ('a/b', '2026-11-21')
    """
    found = re.fullmatch(r"[^/]+/model=([^/]+)/(?:part=[^/]+/)?date=([^/]+)/[^/]+", name)
    if found is None:
        raise UsageError(
            f"{name}: expected tags/model=.../part=.../date=.../*.parquet; move it away"
        )
    return unquote(found[1]), found[2]


def parquet_below(folder: Folder, place: str) -> list[Walked]:
    """Return the Parquet files below a place of a folder, sorted, with their sizes and times."""
    return sorted(file for file in folder.walk(place) if file[0].endswith(".parquet"))


def place_of(name: str) -> str:
    """Return a file's name within its table's folder.

    >>> place_of("tags/model=m/part=0-of-1/date=2026-11-21/0.parquet")
    'model=m/part=0-of-1/date=2026-11-21/0.parquet'
    """
    return name.partition("/")[2]


def file_beside(name: str, table: str) -> str:
    """Return the file of a table that belongs to a file of TAGS.

    >>> file_beside("tags/model=m/part=0-of-1/date=2026-11-21/0.parquet", "windows")
    'windows/model=m/part=0-of-1/date=2026-11-21/0.parquet'
    """
    return f"{table}/{place_of(name)}"


def hash_of(texts: Iterable[str]) -> str:
    """Return a name made of texts: the same ones give the same."""
    text = "\n".join(texts).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=12).hexdigest()


def write_tags(folder: Folder, place: str, tags: pa.Table, beside: Mapping[str, pa.Table]) -> None:
    """Write rows of TAGS as a file, and before it what stands beside them."""
    for table, rows in beside.items():
        _write(folder, f"{table}/{place}", rows)
    _write(folder, f"tags/{place}", tags)


def _write(folder: Folder, name: str, rows: pa.Table) -> None:
    """Write a file, its vectors as they are: zstd saves a tenth, and halves the reading speed."""
    others = [key for key in rows.column_names if key != "embedding"]
    if len(others) == rows.num_columns:
        folder.write_table(name, rows, compression="zstd")
        return
    codecs = {_VALUES: "none", **dict.fromkeys(others, "zstd")}
    folder.write_table(name, rows, compression=codecs, use_dictionary=others)


def read_beside(folder: Folder, name: str, tables: Collection[str]) -> dict[str, pa.Table]:
    """Return what stands beside a file of TAGS, by table."""
    return {table: read_one_beside(folder, name, table) for table in tables}


def read_one_beside(folder: Folder, name: str, table: str) -> pa.Table:
    """Return what stands beside a file of TAGS in one table; vectors are lists of 16-bit floats.

    Those of version 0.2 and before have 32 bits, and are written anew when their file is.
    """
    rows = folder.read_table(file_beside(name, table))
    at = rows.schema.get_field_index("embedding")
    if at < 0 or rows.schema.field(at).type == VECTOR:
        return rows
    vectors = pa.chunked_array([vector_lists(vector_matrix(rows["embedding"]))], VECTOR)
    return rows.set_column(at, rows.schema.field(at).with_type(VECTOR), vectors)


def delete_files(folder: Folder, names: Iterable[str], tables: Collection[str]) -> None:
    """Delete files of TAGS, then what stands beside them in some tables."""
    names = list(names)
    with ThreadPoolExecutor(AT_ONCE) as pool:
        for table in ("tags", *tables):
            list(pool.map(folder.delete, [file_beside(name, table) for name in names]))


def join_files(
    folder: Folder, tags: Mapping[str, pa.Table], tables: Collection[str]
) -> tuple[str, pa.Table]:
    """Write files of TAGS as one, with the last row of each track; return its name and rows.

    It is there before its parts go: a kill in between leaves rows twice, the same ones. It is named
    by their names, never by what it holds, or it could be one of them: a joined file from which
    rows were taken, and a new file of those, hold what it held.

    Parameters
    ----------
    folder
        Of all tables.
    tags
        The rows of each file, by its name; all are of one part and one date.
    tables
        What stands beside each of them.
    """
    rest = dict(zip(tags, last_rows(list(tags.values())), strict=True))
    with ThreadPoolExecutor(AT_ONCE) as pool:
        parts = zip(
            rest, pool.map(lambda name: read_beside(folder, name, tables), rest), strict=True
        )
        kept = [
            {table: belonging(rows, rest[name]) for table, rows in beside.items()}
            for name, beside in parts
        ]
    beside = {table: pa.concat_tables(one[table] for one in kept) for table in tables}
    first = place_of(next(iter(tags)))
    place = f"{first.rpartition('/')[0]}/{hash_of(tags)}.parquet"
    joined = pa.concat_tables(rest.values(), promote_options="default")
    write_tags(folder, place, joined, beside)
    delete_files(folder, tags, tables)
    return f"tags/{place}", joined


def keep_rows(folder: Folder, name: str, tags: pa.Table, kept: Bools) -> pa.Table:
    """Keep some rows of a file, and of those beside it what belongs to them; return the rows.

    What stands beside rows stays, without a row if need be: it says that it was asked for. A file
    that keeps no row is deleted.
    """
    rest = tags.filter(pa.array(kept))
    tables = [table for table in BESIDE if folder.exists(file_beside(name, table))]
    if not rest.num_rows:
        delete_files(folder, [name], tables)
        return rest
    for table, rows in read_beside(folder, name, tables).items():
        _write(folder, file_beside(name, table), belonging(rows, rest))
    _write(folder, name, rest)
    return rest
