"""Small tables beside TAGS, a file a part, each written whole: GONE and CATALOGUE.

    gone/model=resnet50-0123456789ab/0-of-1.parquet

A kill leaves the old file or the new one. Files from before TAGS were cut into other parts are read
with those of today until a run has written these.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from pipeline.arrays import Bools, Hashes
from pipeline.store.folder import Folder
from pipeline.store.manifests.manifest_columns import joined
from pipeline.store.tags.known import text_hashes
from pipeline.store.tags.parts import part_names, part_numbers
from pipeline.store.tags.tagfiles import model_place, parquet_below
from pipeline.store.tags.tagpart import TagPart


@dataclass(frozen=True)
class PartRows:
    """Rows of one part, in the order of the hashes of their uris."""

    table: pa.Table
    hashes: Hashes
    """Of the uris, sorted, each once."""

    @classmethod
    def of(cls, tables: Sequence[pa.Table], hashes: Sequence[Hashes]) -> PartRows:
        """Return rows of several tables, none of which has a track of another one."""
        table, mixed = joined(tables), np.concatenate(hashes)
        order = np.argsort(mixed, kind="stable")
        return cls(table.take(pa.array(order)), mixed[order])

    def kept(self, which: Bools) -> PartRows:
        """Return some of the rows."""
        return PartRows(self.table.filter(pa.array(which)), self.hashes[which])


@dataclass(frozen=True)
class PartTable:
    """One such table: rows have a `uri`, each once."""

    place: str
    """Its folder in a tagging folder."""
    schema: pa.Schema
    """Of the columns that all files have."""

    def files(self, folder: Folder, model_id: str) -> list[str]:
        """Return the names of a model's files."""
        below = f"{self.place}/{model_place(model_id)}"
        return [name for name, _, _ in parquet_below(folder, below)]

    def name_of(self, part: TagPart) -> str:
        """Return the name of a part's file."""
        return self._name_of(part.model_id, part.name)

    def _name_of(self, model_id: str, part_name: str) -> str:
        return f"{self.place}/{model_place(model_id)}/{part_name}.parquet"

    def read(self, part: TagPart) -> PartRows:
        """Return the rows of a part: its own file's, and those of files that are cut otherwise.

        Files of the other parts are not opened: of 128 parts each would read all 128.
        """
        own, there = self.name_of(part), self.files(part.folder, part.model_id)
        parts = part_names(part.n_parts) if part.name else ()  # without a name it is all of them
        of_this_cut = {own, *(self._name_of(part.model_id, name) for name in parts)}
        names = [name for name in there if name == own]  # the newest, so it comes first
        names += [name for name in there if name not in of_this_cut]
        rows = joined([self.schema.empty_table(), *map(part.folder.read_table, names)])
        hashes, first = np.unique(text_hashes(rows["uri"]), return_index=True)
        is_mine = part_numbers(hashes, part.n_parts) == part.number
        return PartRows(rows.take(pa.array(first[is_mine])), hashes[is_mine])

    def write(self, part: TagPart, rows: PartRows, before: PartRows) -> None:
        """Write the rows of a part, unless they are those of `before`; without any, no file."""
        name = self.name_of(part)
        is_there = part.folder.exists(name)
        if not len(rows.hashes):
            if is_there:
                part.folder.delete(name)
        elif not is_there or not rows.table.equals(before.table):
            part.folder.write_table(name, rows.table, compression="zstd")

    def delete_other_cuts(self, folder: Folder, parts: Sequence[TagPart]) -> None:
        """Delete the files from before TAGS were cut as they are, once all parts have theirs."""
        names = {self.name_of(part) for part in parts}
        for name in self.files(folder, parts[0].model_id):
            if name not in names:
                folder.delete(name)
