"""A table that a run needs until its end: in memory while a catalogue is small, else in a file.

What a part of TAGS has to be done, and which tracks are known by another name, grows with the
catalogue. Where there are several parts, whoever finds such rows writes them as files below
`work/`, and whoever needs some reads those: the process that leads a run holds names and counts.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import pyarrow as pa

from pipeline.store.folder import Folder

LEFT_PLACE = "work/left"
"""Where the tracks that are left to tag lie, a file a part."""
SAME_PLACE = "work/same"
"""Where the tracks whose content is known lie, a file a batch that was committed."""
_ROWS_A_GROUP = 1 << 12


@dataclass(frozen=True)
class WorkTable:
    """Rows in memory or in a file; small where they are in a file, so fit to be sent about."""

    n_rows: int
    """How many rows there are."""
    first: int = 0
    """The file's row that is the first of them."""
    folder: Folder | None = None
    """The tagging run's folder, which the file is in."""
    name: str = ""
    """The file's name there; "" where `table` has the rows."""
    table: pa.Table | None = field(default=None, repr=False)
    """The rows, where they are in memory."""

    @classmethod
    def in_memory(cls, table: pa.Table) -> WorkTable:
        """Keep rows where they are."""
        return cls(table.num_rows, table=table)

    @classmethod
    def in_file(cls, table: pa.Table, folder: Folder, name: str) -> WorkTable:
        """Write rows to a file; one that is there already, from a task that died, is replaced."""
        folder.write_table(name, table, row_group_size=_ROWS_A_GROUP, compression="lz4")
        return cls(table.num_rows, folder=folder, name=name)

    def slice(self, first: int, n_rows: int) -> WorkTable:
        """Return some of the rows, without reading any; fewer where there are not so many."""
        n_rows = min(n_rows, self.n_rows - first)
        if self.table is not None:
            return WorkTable.in_memory(self.table.slice(first, n_rows))
        return replace(self, first=self.first + first, n_rows=n_rows)

    def read(self) -> pa.Table:
        """Return the rows; of a file only the row groups that have some are read."""
        if self.table is not None:
            return self.table
        assert self.folder is not None
        groups = range(self.first // _ROWS_A_GROUP, -(-(self.first + self.n_rows) // _ROWS_A_GROUP))
        table = self.folder.read_groups(self.name, groups)
        return table.slice(self.first - groups.start * _ROWS_A_GROUP, self.n_rows)
