"""What manifests say of their tracks, in a table beside TAGS, of which no row changes with it.

    catalogue/model=resnet50-0123456789ab/0-of-1.parquet

A run over a manifest writes it anew: an id or an artist that has changed costs no decoding, and no
file of TAGS. Rows of other manifests stay, unless this one names their tracks, too. From it a run
knows, too, which tracks the last run of the same manifest had.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.arrays import Hashes
from pipeline.store.folder import Folder
from pipeline.store.manifests.manifest_columns import CATALOG_URI, joined
from pipeline.store.tags.known import are_in, find_in, text_hashes
from pipeline.store.tags.track_facts.part_table import PartRows, PartTable
from pipeline.store.tags.work.listing import URI_HASH
from schemas.catalogue import CATALOGUE

CATALOGUE_TABLE = PartTable("catalogue", CATALOGUE)
_NOT_OF_OWNER = ("size_bytes", "modified_ns", URI_HASH)


def named_before(rows: PartRows, manifest: str) -> Hashes:
    """Return the hashes of the uris that a manifest had at its last run, sorted. PURE."""
    return rows.kept(pc.equal(rows.table["catalog"], manifest).to_numpy()).hashes


def named_now(before: PartRows, listed: list[pa.Table], manifest: str, known: Hashes) -> PartRows:
    """Return the rows of CATALOGUE after a run over a manifest. PURE.

    Parameters
    ----------
    before
        The rows of CATALOGUE until now.
    listed
        The manifest's rows, as the listing has them; of a track that is named twice the first one.
    manifest
        Its name.
    known
        Hashes of the uris that have a row of TAGS, sorted.
    """
    whole = joined(listed)
    hashes, first = np.unique(whole[URI_HASH].to_numpy(), return_index=True)
    rows = whole.take(pa.array(first)).drop_columns(list(_NOT_OF_OWNER))
    rows = rows.append_column(CATALOGUE.field("catalog"), pa.repeat(manifest, rows.num_rows))
    own = [name for name in rows.column_names if name not in CATALOGUE.names]
    is_named_anew = are_in(before.hashes, hashes)
    is_of_others = pc.not_equal(before.table["catalog"], manifest).to_numpy()
    others = before.kept(are_in(before.hashes, known) & ~is_named_anew & is_of_others)
    return PartRows.of(
        [CATALOGUE.empty_table(), rows.select([*CATALOGUE.names, *own]), others.table],
        [hashes, others.hashes],
    )


def own_names(folder: Folder, model_id: str) -> list[str]:
    """Return the columns that manifests have of their own, and `catalog_uri` before them."""
    names = CATALOGUE_TABLE.files(folder, model_id)
    found = dict.fromkeys(key for name in names for key in folder.read_schema(name).names)
    return [CATALOG_URI, *(key for key in found if key not in CATALOGUE.names)] if found else []


@dataclass
class CatalogueRows:
    """What manifests say of tracks, looked up by the file of TAGS that these are in."""

    folder: Folder
    names: list[str]
    """The columns to look up: `own_names`."""
    files: list[str]
    """The files of CATALOGUE of the model."""
    _of: tuple[str, ...] = field(default=("",), init=False)
    _rows: pa.Table = field(default_factory=CATALOGUE.empty_table, init=False)
    _hashes: Hashes = field(default_factory=lambda: np.zeros(0, np.uint64), init=False)

    @classmethod
    def open(cls, folder: Folder, model_id: str) -> CatalogueRows:
        """See what manifests have said in a tagging folder."""
        names = own_names(folder, model_id)
        return cls(folder, names, CATALOGUE_TABLE.files(folder, model_id))

    def of(self, tags_file: str, uris: pa.ChunkedArray) -> list[dict[str, object]]:
        """Return the values of each track; without any where no manifest has named it."""
        if not self.names or not len(uris):
            return [{} for _ in range(len(uris))]
        self._read(tags_file)
        at, is_there = find_in(text_hashes(uris), self._hashes)
        found = self._rows.take(pa.array(at[is_there])).to_pylist()
        rows = iter(found)
        return [next(rows) if there else {} for there in is_there]

    def _read(self, tags_file: str) -> None:
        """Read the file of the same part, or all where there is none such; the last is kept."""
        part = tags_file.split("/")[2].removeprefix("part=")
        own = [name for name in self.files if name.endswith(f"/{part}.parquet")]
        names = tuple(own or self.files)
        if names == self._of:
            return
        rows = joined(map(self.folder.read_table, names))
        hashes, first = np.unique(text_hashes(rows["uri"]), return_index=True)
        there = [name for name in self.names if name in rows.column_names]
        self._of, self._hashes = names, hashes
        self._rows = rows.take(pa.array(first)).select(there)
