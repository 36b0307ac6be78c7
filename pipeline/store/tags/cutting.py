"""Files of TAGS in no part, or in one of another cut, in; the same rows in parts out."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pyarrow as pa

from pipeline.store.disk import Walked
from pipeline.store.folder import Folder
from pipeline.store.tags.known import text_hashes
from pipeline.store.tags.parts import by_part, part_name
from pipeline.store.tags.tagfiles import (
    AT_ONCE,
    BESIDE,
    delete_files,
    file_beside,
    hash_of,
    model_and_date,
    model_place,
    parquet_below,
    read_one_beside,
    write_tags,
)

_CUT_BYTES = 1 << 28
"""Files that are read at once while a folder is cut into parts: each part gets one of them."""


def cut_into_parts(folder: Folder, place: str, n_parts: int) -> None:
    """Move the rows of a folder (`TagStore.to_cut`) into parts; after a kill the same call goes on.

    Rows are there in their parts before their files go. What a kill leaves twice are the same
    rows, of which `compact` keeps one.
    """
    beside = {
        table: {name for name, _, _ in parquet_below(folder, file_beside(place, table))}
        for table in BESIDE
    }
    alike: dict[tuple[str, ...], list[Walked]] = defaultdict(list)
    for file in parquet_below(folder, place):
        date = file[0].split("/")[-2]
        tables = tuple(t for t in BESIDE if file_beside(file[0], t) in beside[t])
        alike[date, *tables].append(file)
    for (date, *beside_them), some in alike.items():
        for names in _at_a_time(some):
            _move(folder, names, date, beside_them, n_parts)


def _move(folder: Folder, names: list[str], date: str, tables: list[str], n_parts: int) -> None:
    """Write the rows of some files into parts, a file each, and delete the files."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        tables_read = list(pool.map(folder.read_table, names))
        tags = pa.concat_tables(tables_read, promote_options="default")
        beside = {
            table: pa.concat_tables(pool.map(partial(read_one_beside, folder, table=table), names))
            for table in tables
        }
    hashes = {table: text_hashes(rows["uri"]) for table, rows in beside.items()}
    own = {t: dict(by_part(rows, hashes[t], n_parts)) for t, rows in beside.items()}
    (model_id, _), stem = model_and_date(names[0]), hash_of(names)
    for number, rows in by_part(tags, text_hashes(tags["uri"]), n_parts):
        part = f"{model_place(model_id)}/part={part_name(number, n_parts)}"
        there = {t: found.get(number, beside[t].slice(0, 0)) for t, found in own.items()}
        write_tags(folder, f"{part}/{date}/{stem}.parquet", rows, there)
    delete_files(folder, names, tables)


def _at_a_time(files: Iterable[Walked]) -> Iterator[list[str]]:
    """Yield the names of as many files as are read at once."""
    names: list[str] = []
    n_bytes = 0
    for name, size, _ in files:
        names, n_bytes = [*names, name], n_bytes + size
        if n_bytes >= _CUT_BYTES:
            yield names
            names, n_bytes = [], 0
    if names:
        yield names
