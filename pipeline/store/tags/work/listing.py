"""A catalogue's tracks in, the same by part out: in memory while they are few, else in files.

Each file holds a million tracks, sorted by the hashes of their uris, so that a part reads of it
the row groups that have its hashes, however many parts there come to be. Whoever makes the listing
holds one such million at a time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import chain

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.arrays import Bools, Hashes
from pipeline.store.folder import Folder
from pipeline.store.manifests.manifest_columns import joined
from pipeline.store.tags.known import are_in, text_hashes
from pipeline.store.tags.parts import MAX_ROWS, hash_range

PLACE = "work/listing"
URI_HASH = "uri_hash"
_ROWS_A_GROUP = 1 << 13


@dataclass(frozen=True)
class Listing:
    """A catalogue's tracks, as often as it names them: rows of TRACKS and `uri_hash`.

    Those of a manifest have its own columns, too.
    """

    n_rows: int
    """How many tracks the catalogue names, as often as it does."""
    folder: Folder
    """Where the files of a long listing lie."""
    files: tuple[str, ...] = ()
    """Their names; none where `tables` has the rows."""
    tables: tuple[pa.Table, ...] = field(default=(), repr=False)
    """The rows, where they are few."""

    @classmethod
    def of(
        cls, batches: Iterable[pa.Table], folder: Folder, *, n_in_memory: int = MAX_ROWS
    ) -> Listing:
        """Return batches of TRACKS as a listing; its files lie in `folder`, below `work/`."""
        waiting: list[pa.Table] = []
        files: list[str] = []
        n_rows = n_waiting = 0
        for batch in batches:
            waiting.append(batch.append_column(URI_HASH, pa.array(text_hashes(batch["uri"]))))
            n_rows, n_waiting = n_rows + batch.num_rows, n_waiting + batch.num_rows
            if n_waiting >= n_in_memory:
                files.append(_write(folder, waiting, len(files)))
                waiting, n_waiting = [], 0
        if not files:
            return cls(n_rows, folder, tables=tuple(waiting))
        if waiting:
            files.append(_write(folder, waiting, len(files)))
        return cls(n_rows, folder, tuple(files))

    def part(self, number: int, n_parts: int) -> Iterator[pa.Table]:
        """Yield the tracks of one part."""
        least, most = (pa.scalar(bound, pa.uint64()) for bound in hash_range(number, n_parts))
        wanted = (pc.field(URI_HASH) >= least) & (pc.field(URI_HASH) <= most)
        for name in self.files:
            yield self.folder.read_rows(name, wanted)
        for table in self.tables:
            yield table if n_parts == 1 else table.filter(wanted)

    def has(self, hashes: Hashes) -> Bools:
        """Return which of some hashes of uris are in the catalogue, `[n]`."""
        found = np.zeros(len(hashes), bool)
        files = (self.folder.read_table(name, [URI_HASH]) for name in self.files)
        for table in chain(files, self.tables):
            found |= are_in(hashes, np.sort(table[URI_HASH].to_numpy()))
        return found

    def delete(self) -> None:
        """Delete the files: the run is over."""
        for name in self.files:
            self.folder.delete(name)


def _write(folder: Folder, tables: list[pa.Table], number: int) -> str:
    name = f"{PLACE}/{number:05d}.parquet"
    rows = joined(tables).sort_by(URI_HASH)
    folder.write_table(name, rows, row_group_size=_ROWS_A_GROUP, compression="lz4")
    return name
