"""TAGS in a folder: `tags/*.parquet` and `run.json`; what is known, and what is left to tag."""

from __future__ import annotations

import hashlib

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.store.folder import Folder

_KNOWN = ["uri", "size_bytes", "modified_ns", "status", "model_id"]
KNOWN = pa.schema(
    [
        ("uri", pa.string()),
        ("size_bytes", pa.int64()),
        ("modified_ns", pa.int64()),
        ("status", pa.string()),
        ("model_id", pa.string()),
    ]
)


class TagStore:
    """The TAGS of one tagging folder."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder

    def read(self, columns: list[str] | None = None) -> pa.Table | None:
        """Return all rows; None where there are none yet."""
        tables = [self.folder.read_table(name, columns) for name in self.folder.names("tags")]
        return pa.concat_tables(tables, promote_options="default") if tables else None

    def known(self, model_id: str) -> pa.Table:
        """Return what a model has tagged already: each track's uri, size, time and status."""
        table = self.read(_KNOWN)
        if table is None:
            return KNOWN.empty_table()
        return table.filter(pc.equal(table["model_id"], model_id))

    def commit(self, tags: pa.Table) -> None:
        """Write rows as one file, named by what it holds: written twice, it is there once."""
        keys = "\n".join(tags["uri"].to_pylist() + tags["model_id"].to_pylist()[:1])
        name = hashlib.blake2b(keys.encode("utf-8", "surrogatepass"), digest_size=12).hexdigest()
        self.folder.write_table(f"tags/{name}.parquet", tags)

    def clear(self) -> None:
        """Delete every row."""
        self.folder.delete_temporary("tags")
        for name in self.folder.names("tags"):
            self.folder.delete(name)

    def forget(self, uris: pa.Array, model_id: str) -> None:
        """Remove a model's rows of some tracks, that have changed since."""
        if not len(uris):
            return
        for name in self.folder.names("tags"):
            table = self.folder.read_table(name)
            stale = pc.and_(
                pc.is_in(table["uri"], value_set=uris), pc.equal(table["model_id"], model_id)
            )
            kept = table.filter(pc.invert(stale))
            if kept.num_rows == table.num_rows:
                continue
            if kept.num_rows:
                self.folder.write_table(name, kept)
            else:
                self.folder.delete(name)


def left_to_tag(tracks: pa.Table, known: pa.Table) -> tuple[pa.Table, pa.Array]:
    """Return the tracks that are new or changed, and the uris of those that are changed.

    A track is known when uri, size and modification time are as they were.
    """
    keys = ["uri", "size_bytes", "modified_ns"]
    seen = {tuple(row.values()) for row in known.select(keys).to_pylist()}
    is_new = [tuple(row.values()) not in seen for row in tracks.select(keys).to_pylist()]
    left = tracks.filter(pa.array(is_new, pa.bool_()))
    changed = left.filter(pc.is_in(left["uri"], value_set=known["uri"].combine_chunks()))
    return left, changed["uri"].combine_chunks()
