"""The index of a part of TAGS: what a run has to know of its rows, without opening its files.

    index/model=resnet50-0123456789ab/03-of-16.parquet

A row is a track's, sorted by the hash of its uri: 37 bytes. The file's metadata says of each file
of TAGS that it covers how large that was and what its rows add up to. A file that is not covered,
or has another size, is read instead; rows of a file that is gone count no more. So an index may be
older than the files, or missing, and nothing is wrong but the time that it takes.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.errors import StoreError
from pipeline.store.folder import Folder
from pipeline.store.tags.attribute_flags import SETS, translated
from pipeline.store.tags.known import Totals, TrackRows
from schemas.columns import column

FILES_KEY = b"timbre.index"
VERSION = 1

INDEX = pa.schema(
    [
        column("uri_hash", pa.uint64(), "hash of the track's uri"),
        column("state_hash", pa.uint64(), "hash of its size and modification time"),
        column("content_high", pa.uint64(), "the first half of its fingerprint; 0 where none"),
        column("content_low", pa.uint64(), "the second half"),
        column(
            "flags",
            pa.uint8(),
            "sum of 1: ok, 2: its fault may pass, 4: it has a content, and from 8 on a bit for "
            "each attribute set that it was described by, in the order of the metadata",
        ),
        column("attempts", pa.uint16(), "how often it was tried"),
        column("file", pa.uint16(), "number of its file of TAGS, in the order of the metadata"),
    ]
)


@dataclass(frozen=True)
class CoveredFile:
    """A file of TAGS that an index covers."""

    size_bytes: int
    """Of the file, as it was covered."""
    totals: Totals
    """What its rows add up to."""


@dataclass(frozen=True)
class Index:
    """What is known of a part's rows, by file."""

    rows: TrackRows = field(default_factory=TrackRows.none)
    """Of all tracks, in whatever order."""
    file_of: npt.NDArray[np.uint16] = field(default_factory=lambda: np.zeros(0, np.uint16))
    """The number of each row's file."""
    files: Mapping[str, CoveredFile] = field(default_factory=dict)
    """By name; a file's number is its place here."""

    def covering(self, sizes: Mapping[str, int]) -> Index:
        """Return what holds for files that are there, by their sizes."""
        stale = {name for name, one in self.files.items() if sizes.get(name) != one.size_bytes}
        return self.without(stale)

    def without(self, names: Collection[str]) -> Index:
        """Return what is known of all files but some."""
        valid = [name for name in self.files if name not in names]
        if len(valid) == len(self.files):
            return self
        numbers = {name: k for k, name in enumerate(self.files)}
        new = np.full(max(1, len(self.files)), np.iinfo(np.uint16).max, np.uint16)
        new[[numbers[name] for name in valid]] = np.arange(len(valid), dtype=np.uint16)
        file_of = new[self.file_of]
        kept = file_of != np.iinfo(np.uint16).max
        return Index(self.rows.take(kept), file_of[kept], {n: self.files[n] for n in valid})

    @property
    def totals(self) -> Totals:
        """What all rows add up to."""
        return sum((one.totals for one in self.files.values()), Totals())


def read_index(folder: Folder, name: str) -> Index:
    """Return an index as it was written; an empty one where it is missing or of another version."""
    if not folder.exists(name):
        return Index()
    try:
        table = folder.read_table(name)
        said = json.loads((table.schema.metadata or {})[FILES_KEY])
    except (StoreError, KeyError, ValueError):
        return Index()
    if said["version"] != VERSION:
        return Index()
    columns = {key: table[key].to_numpy() for key in INDEX.names}
    contents = np.stack([columns["content_high"], columns["content_low"]], axis=1)
    flags = translated(columns["flags"], said.get("attributes", ()))
    rows = TrackRows(
        columns["uri_hash"], columns["state_hash"], contents, flags, columns["attempts"]
    )
    files = {name: _covered(values) for name, values in said["files"].items()}
    return Index(rows, columns["file"], files)


def covered_sizes(folder: Folder, name: str) -> dict[str, int]:
    """Return the files of TAGS that an index covers, with their sizes; only its footer is read."""
    try:
        said = json.loads((folder.read_schema(name).metadata or {})[FILES_KEY])
    except (StoreError, KeyError, ValueError):
        return {}
    files = said["files"] if said["version"] == VERSION else {}
    return {file: values["size_bytes"] for file, values in files.items()}


def write_index(folder: Folder, name: str, index: Index) -> None:
    """Write an index, sorted by the hashes of uris."""
    order = np.argsort(index.rows.uris, kind="stable")
    rows = index.rows.take(order)
    columns = [rows.uris, rows.states, rows.contents[:, 0], rows.contents[:, 1], rows.flags]
    columns += [rows.attempts, index.file_of[order]]
    files = {name: _said(one) for name, one in index.files.items()}
    said = json.dumps({"version": VERSION, "files": files, "attributes": SETS})
    table = pa.table([pa.array(values) for values in columns], schema=INDEX)
    table = table.replace_schema_metadata({FILES_KEY: said})
    folder.write_table(name, table, compression="none", use_dictionary=False)


def _said(file: CoveredFile) -> dict[str, Any]:
    totals = vars(file.totals) | {"labels": dict(file.totals.labels)}
    latest = file.totals.latest
    return {"size_bytes": file.size_bytes, **totals, "latest": latest and latest.isoformat()}


def _covered(said: dict[str, Any]) -> CoveredFile:
    latest = said["latest"] and datetime.fromisoformat(said["latest"])
    totals = Totals(
        said["n_rows"],
        said["n_bytes"],
        said["duration_s"],
        Counter(said["labels"]),
        latest,
        said.get("n_byte_hashes", said["n_rows"]),  # an older version knew no others
    )
    return CoveredFile(said["size_bytes"], totals)
