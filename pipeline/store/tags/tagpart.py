"""One part of a model's TAGS: what is known of its tracks, and its files compacted after a run.

    files of a run, small and many ──join──→ few files ──┐
    rows of a track that was done again ──the last one──→ ├─→ index
    the index of the last run, for files that are as they were ┘

All of it is one task, of one part, and opens a file at most once: a new one to join it, an older
one only where a row of it was made anew.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pyarrow as pa

from pipeline.arrays import Bools, Hashes, Int64
from pipeline.store.folder import Folder
from pipeline.store.tags.known import (
    HAS_CONTENT,
    KNOWN,
    Fingerprints,
    Known,
    Totals,
    TrackRows,
    are_in,
    text_hashes,
)
from pipeline.store.tags.tag_index import CoveredFile, Index, read_index, write_index
from pipeline.store.tags.tagfiles import (
    AT_ONCE,
    BESIDE,
    TABLES,
    file_beside,
    join_files,
    keep_rows,
    model_place,
    parquet_below,
    place_of,
)
from pipeline.store.tags.tagrows import (
    JOINED_BYTES,
    JOINED_ROWS,
    SMALL_BYTES,
    SMALL_ROWS,
    last_of_each,
    times,
)

Sizes = Mapping[str, int]


class _File(NamedTuple):
    """A file of TAGS that an index does not cover, as it was read."""

    name: str
    rows: TrackRows
    made_ms: Int64
    totals: Totals


class Compacted(NamedTuple):
    """A part whose files are few, whose tracks have one row each, and whose index is whole."""

    n_removed: int
    """Rows that were there for a track that has a newer one."""
    known: Known
    """What is known of its tracks now."""


@dataclass(frozen=True)
class TagPart:
    """The rows of TAGS of one model whose uris' hashes are in one range."""

    folder: Folder
    """The tagging folder that the part is in."""
    model_id: str
    """The model that the rows are of."""
    number: int
    """Of the part, from 0."""
    n_parts: int
    """How many parts the model's TAGS have."""
    name: str
    """Of the part, in the names of its files; empty for the rows of all parts together."""

    @property
    def place(self) -> str:
        """The part's folder, below that of a table."""
        model = model_place(self.model_id)
        return f"{model}/part={self.name}" if self.name else model

    @property
    def index_name(self) -> str:
        """The file of the part's index."""
        return f"index/{model_place(self.model_id)}/{self.name}.parquet"

    def known(self) -> Known:
        """Return what is known of the part's tracks, each once: by its last row."""
        sizes = self._sizes("tags")
        index = read_index(self.folder, self.index_name).covering(sizes)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            fresh = list(pool.map(self._read, [name for name in sizes if name not in index.files]))
        rows, made_ms, _ = _all_rows(index, fresh)
        totals = sum((one.totals for one in fresh), index.totals)
        return Known.sorted(rows.take(last_of_each(rows.uris, made_ms)), totals)

    def compact(self) -> Compacted:
        """Keep the last row of each track, join small files, write the index.

        The new rows are there before the old ones go, so a kill in between loses none.
        """
        sizes = {table: self._sizes(table) for table in TABLES}
        said = read_index(self.folder, self.index_name)
        index = said.covering(sizes["tags"])
        fresh = [name for name in sizes["tags"] if name not in index.files]
        if not fresh and index is said:
            return Compacted(0, Known.sorted(index.rows, index.totals))
        n_before = sum(one.totals.n_rows for one in index.files.values())
        files: list[_File] = []
        joined: set[str] = set()
        n_read = 0
        n_bytes = _all_bytes(sizes)
        for names, tables in _small_of_a_day(index, fresh, n_bytes, sizes):
            for group in self._groups(names, n_bytes):
                n_read += sum(table.num_rows for table in group.values())
                files.append(self._joined(group, tables))
                joined |= group.keys()
        n_read -= sum(index.files[name].totals.n_rows for name in joined & index.files.keys())
        index = index.without(joined)
        files, index = self._last_only(index, files)
        index = self._covering_all(index, files)
        write_index(self.folder, self.index_name, index)
        n_removed = n_before + n_read - len(index.rows)
        return Compacted(n_removed, Known.sorted(index.rows, index.totals))

    def contents(self, attributes: Sequence[str]) -> Fingerprints:
        """Return the contents that the index has: of rows from before a run, not of its own.

        Of those only what was described by some attribute sets, where a run asks for these.
        """
        index = read_index(self.folder, self.index_name)
        is_older = index.totals.n_byte_hashes > 0
        return index.rows.known_contents(attributes, has_byte_hashes=is_older)

    def indexed(self) -> TrackRows:
        """Return the rows that the index has: of tracks from before a run, not of its own."""
        return read_index(self.folder, self.index_name).rows

    def files_with(self, contents: Hashes) -> list[str]:
        """Return the files that the index says have some contents, `[n, 2]`."""
        index = read_index(self.folder, self.index_name)
        is_there = index.rows.has(HAS_CONTENT) & are_in(
            index.rows.contents[:, 0], np.sort(contents[:, 0])
        )
        names = list(index.files)
        return [names[number] for number in np.unique(index.file_of[is_there])]

    def uris_of(self, hashes: Hashes) -> list[str]:
        """Return the uris that have some hashes; files without any, by the index, are not read."""
        uris: list[str] = []
        for name in self._files_of(hashes):
            found = self.folder.read_table(name, ["uri"])["uri"]
            uris += found.filter(pa.array(are_in(text_hashes(found), hashes))).to_pylist()
        return uris

    def forget(self, hashes: Hashes) -> Known:
        """Delete the rows of tracks, and what stands beside them; return what is known then.

        The hashes of their uris are sorted. After a kill the same call goes on.
        """
        for name in self._files_of(hashes):
            tags = self.folder.read_table(name)
            keep_rows(self.folder, name, tags, ~are_in(text_hashes(tags["uri"]), hashes))
        return self.compact().known

    def _files_of(self, hashes: Hashes) -> list[str]:
        """Return the files that the index says have a row of some uris."""
        index = read_index(self.folder, self.index_name)
        names = list(index.files)
        return [names[k] for k in np.unique(index.file_of[are_in(index.rows.uris, hashes)])]

    def missing_tables(self, tables: Sequence[str]) -> Counter[str]:
        """Return how many files of TAGS do not have some tables beside them, by table."""
        places = {place_of(name) for name in self._sizes("tags")} if tables else set()
        missing = {t: places - {place_of(name) for name in self._sizes(t)} for t in tables}
        return Counter({table: len(without) for table, without in missing.items() if without})

    def _sizes(self, table: str) -> dict[str, int]:
        """Return the part's files of a table with their sizes in bytes, by name."""
        return {n: size for n, size, _ in parquet_below(self.folder, f"{table}/{self.place}")}

    def _read(self, name: str) -> _File:
        return _file_of(name, self.folder.read_tables([name], KNOWN))

    def _groups(self, names: list[str], n_bytes_of: Sizes) -> Iterator[dict[str, pa.Table]]:
        """Yield rows of files by name: as many files at a time as are to become one."""
        group: dict[str, pa.Table] = {}
        n_rows = n_bytes = 0
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for start in range(0, len(names), AT_ONCE):
                some = names[start : start + AT_ONCE]
                for name, table in zip(some, pool.map(self.folder.read_table, some), strict=True):
                    if table.num_rows >= SMALL_ROWS or n_bytes_of[name] >= SMALL_BYTES:
                        yield {name: table}
                        continue
                    group[name] = table
                    n_rows, n_bytes = n_rows + table.num_rows, n_bytes + n_bytes_of[name]
                    if n_rows >= JOINED_ROWS or n_bytes >= JOINED_BYTES:
                        yield group
                        group, n_rows, n_bytes = {}, 0, 0
        if group:
            yield group

    def _joined(self, group: Mapping[str, pa.Table], tables: tuple[str, ...]) -> _File:
        """Write some files as one; a single one stays as it is."""
        if len(group) == 1:
            ((name, table),) = group.items()
        else:
            name, table = join_files(self.folder, group, tables)
        return _file_of(name, table)

    def _last_only(self, index: Index, files: list[_File]) -> tuple[list[_File], Index]:
        """Take out of files the rows of tracks that have a newer one."""
        rows, made_ms, bounds = _all_rows(index, files)
        is_last = last_of_each(rows.uris, made_ms)
        if is_last.all():
            return files, index
        first, *others = np.split(is_last, [len(index.rows), *(len(index.rows) + bounds)])
        kept = [self._kept(one, mask) for one, mask in zip(files, others, strict=True)]
        old = index.file_of[~first]
        names = list(index.files)
        for number in np.unique(old):
            replaced = index.rows.uris[~first & (index.file_of == number)]
            tags = self.folder.read_table(names[number])
            mask = ~are_in(text_hashes(tags["uri"]), np.sort(replaced))
            kept.append(_file_of(names[number], keep_rows(self.folder, names[number], tags, mask)))
        as_they_were = index.without({names[number] for number in old})
        return [one for one in kept if len(one.rows)], as_they_were

    def _kept(self, file: _File, mask: Bools) -> _File:
        if mask.all():
            return file
        tags = self.folder.read_table(file.name)
        return _file_of(file.name, keep_rows(self.folder, file.name, tags, mask))

    def _covering_all(self, index: Index, files: list[_File]) -> Index:
        """Return an index of all files, with their sizes as they are now."""
        sizes = self._sizes("tags")
        covered = dict(index.files)
        covered |= {one.name: CoveredFile(sizes[one.name], one.totals) for one in files}
        first = len(index.files)
        numbers = [np.full(len(one.rows), first + k, np.uint16) for k, one in enumerate(files)]
        rows, _, _ = _all_rows(index, files)
        return Index(rows, np.concatenate([index.file_of, *numbers]), covered)


def _file_of(name: str, tags: pa.Table) -> _File:
    rows = tags.select([key for key in KNOWN.names if key in tags.column_names])
    for one in KNOWN:
        if one.name not in rows.column_names:
            rows = rows.append_column(one, pa.nulls(tags.num_rows, one.type))
    rows = rows.select(KNOWN.names).cast(KNOWN)
    return _File(name, TrackRows.of(rows), times(rows), Totals.of(rows))


def _all_rows(index: Index, files: list[_File]) -> tuple[TrackRows, Int64, Int64]:
    """Return the rows of an index and of files, when each was made, and where each file ends.

    What an index covers is older than what it does not: 0.
    """
    rows = TrackRows.concat([index.rows, *(one.rows for one in files)])
    old = np.zeros(len(index.rows), np.int64)
    made_ms = np.concatenate([old, *(one.made_ms for one in files)])
    return rows, made_ms, np.cumsum([len(one.rows) for one in files], dtype=np.int64)[:-1]


def _all_bytes(sizes: Mapping[str, Sizes]) -> dict[str, int]:
    """Return the bytes of each file of TAGS and of what stands beside it."""
    return {
        name: sum(sizes[table].get(file_beside(name, table), 0) for table in TABLES)
        for name in sizes["tags"]
    }


def _small_of_a_day(
    index: Index, fresh: list[str], n_bytes: Sizes, sizes: Mapping[str, Sizes]
) -> Iterator[tuple[list[str], tuple[str, ...]]]:
    """Yield the new files of each day, and the small older ones, with the tables beside them.

    Only files with the same tables beside them become one: so it stays known what rows lack.
    """
    days = {name.rpartition("/")[0] for name in fresh}
    small = [
        name
        for name, one in index.files.items()
        if name.rpartition("/")[0] in days
        and one.totals.n_rows < SMALL_ROWS
        and n_bytes[name] < SMALL_BYTES
    ]
    alike: dict[tuple[str, tuple[str, ...]], list[str]] = defaultdict(list)
    for name in sorted([*fresh, *small]):
        tables = tuple(table for table in BESIDE if file_beside(name, table) in sizes[table])
        alike[name.rpartition("/")[0], tables].append(name)
    for (_, tables), names in alike.items():
        if set(names) & set(fresh):
            yield names, tables
