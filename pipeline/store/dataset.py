"""A dataset's folder: SEGMENTS, and a LEDGER, CLIPS and FEATURES file a shard.

    dataset.json  segments.parquet  clips/  features/  ledger/  report.json  report.html

A shard's files are written with the LEDGER last: a shard with a ledger file is done, and CLIPS or
FEATURES without one are what a killed task left; the next run deletes them before it plans.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import SpecMismatch, UsageError
from pipeline.store.folder import Folder
from schemas.features import SPEC_KEY
from schemas.ledger import LEDGER
from schemas.segments import SEGMENTS

FORMAT = "timbre-dataset-1"
_RAW = {"use_dictionary": False, "compression": "none", "write_statistics": False}
"""For columns that are blobs: reading is then a memory map."""


class Dataset:
    """One dataset by its folder."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder

    @classmethod
    def open(cls, uri: str) -> Dataset:
        """Open a dataset that was built; UsageError where there is none."""
        dataset = cls(Folder(uri))
        if not dataset.folder.exists("dataset.json"):
            raise UsageError(
                f"{uri}: no dataset.json there; build one with python -m jobs.build_subset"
            )
        return dataset

    def meta(self) -> dict[str, Any]:
        """Return dataset.json."""
        meta: dict[str, Any] = self.folder.read_json("dataset.json")
        return meta

    def begin(self, identity: dict[str, Any]) -> None:
        """Claim the folder for a build of `identity` (classes, specs); clear up after a kill.

        Raises SpecMismatch when the folder holds a dataset of other classes or specs.
        """
        if self.folder.exists("dataset.json"):
            before = self.meta()
            for key, value in identity.items():
                if before.get(key) != json.loads(json.dumps(value)):
                    raise SpecMismatch(
                        f"{self.folder.uri}: was built with another {key}; give another --out"
                    )
        else:
            self.folder.write_json("dataset.json", {**identity, "complete": False})
        done = {name.split("/")[1] for name in self.folder.names("ledger")}
        self.folder.delete_temporary()
        for table in ("clips", "features", "ledger"):
            self.folder.delete_temporary(table)
            for name in self.folder.names(table):
                if name.split("/")[1] not in done:
                    self.folder.delete(name)

    def ledger(self, columns: list[str] | None = None) -> pa.Table:
        """Return the LEDGER of every shard that is done."""
        schema = LEDGER if columns is None else pa.schema([LEDGER.field(c) for c in columns])
        tables = [self.folder.read_table(n, columns) for n in self.folder.names("ledger")]
        return pa.concat_tables([schema.empty_table(), *tables])

    def segments(self) -> pa.Table:
        """Return SEGMENTS; empty before the first build."""
        if not self.folder.exists("segments.parquet"):
            return SEGMENTS.empty_table()
        return self.folder.read_table("segments.parquet")

    def write_plan(self, segments: pa.Table, done_ids: pa.Array) -> pa.Table:
        """Write and return SEGMENTS: what is planned now, and what earlier runs have settled."""
        before = self.segments()
        settled = before.filter(
            pc.and_(
                pc.is_in(before["segment_id"], value_set=done_ids),
                pc.invert(
                    pc.is_in(
                        before["segment_id"], value_set=segments["segment_id"].combine_chunks()
                    )
                ),
            )
        )
        planned = pa.concat_tables([segments, settled])
        self.folder.write_table("segments.parquet", planned)
        return planned

    def commit(self, shard: str, *, clips: pa.Table, features: pa.Table, ledger: pa.Table) -> None:
        """Write a shard, the LEDGER last; tables without rows leave no file."""
        if clips.num_rows:
            self.folder.write_table(f"clips/{shard}.parquet", clips, row_group_size=16, **_RAW)
        if features.num_rows:
            self.folder.write_table(f"features/{shard}.parquet", features, **_RAW)
        self.folder.write_table(f"ledger/{shard}.parquet", ledger)

    def features(self, split: str, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """Yield FEATURES of one split, a shard at a time, in the order of the shards' names."""
        for name in self.folder.names("features"):
            if name.startswith(f"features/{split}-"):
                yield self.folder.read_table(name, columns)

    def fingerprint(self) -> str:
        """Return a hash of what the dataset holds: every clip's id and sha256, and the specs."""
        digest = hashlib.sha256()
        rows: list[str] = []
        for name in self.folder.names("clips"):
            table = self.folder.read_table(name, ["segment_id", "sha256"])
            rows += map(
                "".join, zip(*(table[c].to_pylist() for c in table.column_names), strict=True)
            )
        digest.update("\n".join(sorted(rows)).encode())
        for name in self.folder.names("features")[:1]:
            digest.update(self.folder.read_schema(name).metadata[SPEC_KEY])
        return "sha256:" + digest.hexdigest()
