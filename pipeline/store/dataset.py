"""A dataset's folder: SEGMENTS, and one LEDGER, CLIPS and FEATURES file per shard.

    dataset.json  segments.parquet  clips/  features/  ledger/  report.json  report.html

A shard's files are written with the LEDGER last: a shard with a ledger file is done, and CLIPS or
FEATURES without one are what a killed task left; the next run deletes them before it plans. What is
done is known from the names of the files, so a build of millions goes on immediately.

    shard 3f2a…   clips ✓  features ✓  ledger ✓   done: the next run leaves it out of its plan
    shard 91c0…   clips ✓  features ✓             killed before its ledger: deleted, made again
    shard c77e…   clips ✓ (a temporary name)      killed while it was written: deleted, made again
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.audio.description.moments import Moments
from pipeline.errors import SpecMismatch, UsageError
from pipeline.selection.plan import FinishedSegments
from pipeline.selection.retry import Retry, is_due
from pipeline.store.folder import Folder
from schemas.columns import CODES, MOMENTS_KEY
from schemas.dataset import DatasetRecord
from schemas.features import SPEC_KEY
from schemas.ledger import LEDGER, latest
from schemas.segments import SEGMENTS

_TABLES = ("clips", "features", "ledger")  # each has one file per shard
RAW = {"use_dictionary": False, "compression": "none", "write_statistics": False}
"""Options of a writer for columns that are blobs: reading is then a memory map."""
_MAX_PARALLEL_READS = 16
"""Files that are read at the same time: a bucket takes its time to answer."""
_IDENTITY = pa.schema(
    [
        *((name, pa.string()) for name in ("segment_id", "sha256", "split")),
        *((name, CODES) for name in ("classes", "unknown")),
    ]
)
_UNKNOWN = pa.schema([("segment_id", pa.string()), ("unknown", CODES)])
_PIECE_ROWS = 65_536


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
        """Return the content of dataset.json as a dict (see `record`)."""
        return self.record().to_dict()

    def record(self) -> DatasetRecord:
        """Return the record that dataset.json holds."""
        return self.folder.read_record("dataset.json", DatasetRecord)

    def built(self) -> DatasetRecord:
        """Return dataset.json of a build that has ended; UsageError where it has not."""
        record = self.record()
        if not record.complete:
            raise UsageError(
                f"{self.folder.uri}: the build has not ended; run the same build again first"
            )
        return record

    def check(self, identity: DatasetRecord) -> bool:
        """Return whether the folder holds a dataset; SpecMismatch if of other classes or specs."""
        if not self.folder.exists("dataset.json"):
            return False
        before, now = self.record(), json.loads(json.dumps(identity.to_dict()))
        for key in ("format", "classes", "feature_spec", "split"):
            if getattr(before, key) != now[key]:
                raise SpecMismatch(
                    f"{self.folder.uri}: was built with another {key}; give another --out"
                    + (_cure(before.classes, now[key]) if key == "classes" else "")
                )
        return True

    def begin(self, identity: DatasetRecord) -> frozenset[str]:
        """Claim the folder for a build of `identity` (classes, specs); clear up after a kill.

        Returns the shards whose files were deleted because they had no ledger. They are made again,
        even if a process that outlives its killed driver writes the ledger of one later.
        """
        if not self.check(identity):
            self.open_again(identity)
        done = {name.split("/")[1] for name in self.folder.names("ledger")}
        self.delete_half_written()
        orphans = [
            name
            for table in _TABLES
            for name in self.folder.names(table)
            if name.split("/")[1] not in done
        ]
        for name in orphans:
            self.folder.delete(name)
        return frozenset(_shard_of(name) for name in orphans)

    def delete_half_written(self) -> None:
        """Delete what a killed run left half-written: at a build's start, and again at its end.

        Processes of a killed run may live a moment longer than its driver, and write.
        """
        for table in ("", *_TABLES):
            self.folder.delete_temporary(table)

    def open_again(self, identity: DatasetRecord) -> None:
        """Say that a build is under way: who reads the dataset waits for its end."""
        self.folder.write_json("dataset.json", identity.to_dict())

    def ledger(self, columns: list[str] | None = None, names: list[str] | None = None) -> pa.Table:
        """Return the LEDGER of every shard that is done, or of the `names` given: all runs."""
        schema = LEDGER if columns is None else pa.schema([LEDGER.field(c) for c in columns])
        files = self.folder.names("ledger") if names is None else names
        return self.folder.read_tables(files, schema)

    def segments(self) -> pa.Table:
        """Return SEGMENTS; empty before the first build, null what older versions did not write."""
        if not self.folder.exists("segments.parquet"):
            return SEGMENTS.empty_table()
        return self.folder.read_tables(["segments.parquet"], SEGMENTS)

    def group_of(self) -> dict[str, str]:
        """Return every segment's group, by its id: clips of one group stay in the same split."""
        plan = self.segments().select(["segment_id", "group"]).to_pydict()
        pairs = zip(plan["segment_id"], plan["group"], strict=True)
        return {one: group or one.rpartition("_")[0] for one, group in pairs}

    def groups(self, segment_ids: Sequence[str]) -> list[str]:
        """Return the group of each of some segments (see `group_of`)."""
        group_of = self.group_of()
        return [group_of[one] for one in segment_ids]

    def segments_in_pieces(self) -> Iterator[pa.Table]:
        """Yield SEGMENTS, 65,536 rows at a time."""
        return self.folder.read_pieces("segments.parquet")

    def write_plan(self, segments: pa.Table) -> pa.Table:
        """Write and return SEGMENTS: what is planned now, and what earlier runs have finished."""
        before = self.segments()
        planned_ids = segments["segment_id"].combine_chunks()
        others = before.filter(pc.invert(pc.is_in(before["segment_id"], value_set=planned_ids)))
        if others.num_rows:
            done_ids = self.ledger(["segment_id"])["segment_id"].combine_chunks()
            others = others.filter(pc.is_in(others["segment_id"], value_set=done_ids))
        planned = pa.concat_tables([segments, others])
        if not planned.equals(before):
            self.folder.write_table("segments.parquet", planned, row_group_size=_PIECE_ROWS)
        return planned

    def finished(
        self,
        planned: pa.Table,
        retry: Retry = Retry.NONE,
        *,
        unfinished: frozenset[str] = frozenset(),
    ) -> FinishedSegments:
        """Return what earlier runs have finished of a plan, and what of it to try again.

        `unfinished` are shards that do not count whatever is there (see `begin`).
        """
        names = {name: _shard_of(name) for name in self.folder.names("ledger")}
        names = {name: shard for name, shard in names.items() if shard not in unfinished}
        known = set(pc.unique(planned["shard"]).to_pylist())
        strays = [name for name, shard in names.items() if shard not in known]
        again = FinishedSegments().again
        if retry is not Retry.NONE:
            again = self._again(retry)
            ids = planned["segment_id"].combine_chunks()
            again = again.filter(pc.is_in(again["segment_id"], value_set=ids))
        return FinishedSegments(
            shards=frozenset(names.values()),
            stray_ids=self.ledger(["segment_id"], strays)["segment_id"].combine_chunks(),
            again=again,
        )

    def _again(self, retry: Retry) -> pa.Table:
        """Return segment_id and run of what `retry` takes again: the next run of each."""
        rows = latest(self.ledger(["segment_id", "run", "outcome", "reason", "ended_at"]))
        rows = rows.filter(is_due(rows, retry, now=datetime.now(UTC)))
        return pa.table(
            {
                "segment_id": rows["segment_id"],
                "run": pc.cast(pc.add(rows["run"], 1), pa.int32()),
            }
        )

    def last_got(self) -> str | None:
        """Return the `ytid` of a clip in one of the last three files; None where they hold none."""
        for name in reversed(self.folder.names("clips")[-3:]):
            ytids = self.folder.read_table(name, ["ytid"])["ytid"]
            if len(ytids):
                return str(ytids[0].as_py())
        return None

    def history(self, segment_id: str) -> tuple[dict[str, Any] | None, list[dict[str, Any]]]:
        """Return a segment's row of SEGMENTS, and its rows of LEDGER by run."""
        plan = self.segments()
        planned = plan.filter(pc.equal(plan["segment_id"], segment_id)).to_pylist()
        ledger = self.ledger()
        rows = ledger.filter(pc.equal(ledger["segment_id"], segment_id)).sort_by("run")
        return (planned[0] if planned else None), rows.to_pylist()

    def commit(self, shard: str, *, clips: pa.Table, features: pa.Table, ledger: pa.Table) -> None:
        """Write a shard, the LEDGER last; tables without rows leave no file."""
        if clips.num_rows:
            self.folder.write_table(f"clips/{shard}.parquet", clips, row_group_size=16, **RAW)
        if features.num_rows:
            self.folder.write_table(f"features/{shard}.parquet", features, **RAW)
        self.folder.write_table(f"ledger/{shard}.parquet", ledger)

    def names(self, table: str, *splits: str) -> list[str]:
        """Return the files of a table that hold shards of some splits, sorted."""
        starts = tuple(f"{table}/{split}-" for split in splits)
        return [name for name in self.folder.names(table) if name.startswith(starts)]

    def features(self, split: str, columns: list[str] | None = None) -> Iterator[pa.Table]:
        """Yield FEATURES of one split, a shard at a time, in the order of the shards' names."""
        for name in self.names("features", split):
            yield self.folder.read_table(name, columns)

    def unknown(self, split: str) -> dict[str, list[str]]:
        """Return the unknown classes of the clips of a split that have any, by segment_id."""
        rows = self.folder.read_tables(self.names("features", split), _UNKNOWN).to_pylist()
        return {row["segment_id"]: row["unknown"] for row in rows if row["unknown"]}

    def moments(self, table: str, split: str) -> Moments:
        """Return the moments of "clips" (samples) or "features" (log-mel, dB) over a split."""
        with ThreadPoolExecutor(_MAX_PARALLEL_READS) as pool:
            schemas = pool.map(self.folder.read_schema, self.names(table, split))
            found = [schema.metadata or {} for schema in schemas]
        raw = [metadata.get(MOMENTS_KEY) for metadata in found]
        return sum((Moments.from_dict(json.loads(text)) for text in raw if text), Moments())

    def fingerprint(self) -> str:
        """Return a hash of what the dataset holds.

        That is every clip's id, sha256, split, classes and, where it has such, unknown classes, the
        vocabulary and the specs. What leaves classes open shows in the clips, so `unknown_if` is
        left out: a dataset without unknown classes is the same as one built before there were any.
        """
        clips = self.folder.read_tables(self.folder.names("clips"), _IDENTITY)
        classes = pc.binary_join(clips["classes"], "+")
        columns = [clips[name] for name in ("segment_id", "sha256", "split")]
        rows = pc.binary_join_element_wise(*columns, classes, " ").to_pylist()
        unknown = pc.fill_null(pc.binary_join(clips["unknown"], "+"), "").to_pylist()
        lines = [
            f"{row} ?{codes}" if codes else row for row, codes in zip(rows, unknown, strict=True)
        ]
        digest = hashlib.sha256("\n".join(sorted(lines)).encode())
        digest.update(json.dumps(_without_unknown(self.record().classes), sort_keys=True).encode())
        for name in self.folder.names("features")[:1]:
            digest.update(self.folder.read_schema(name).metadata[SPEC_KEY])
        return "sha256:" + digest.hexdigest()


def clips_hash(clips: Iterable[Mapping[str, Any]], columns: Sequence[str]) -> bytes:
    """Return a hash of some columns of clips, as files that are made of them keep it."""
    rows = "\n".join(" ".join(str(clip[key]) for key in columns) for clip in clips)
    return f"sha256:{hashlib.sha256(rows.encode()).hexdigest()}".encode()


def _without_unknown(classes: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in row.items() if k != "unknown_if"} for row in classes]


def _cure(before: list[dict[str, Any]], now: list[dict[str, Any]]) -> str:
    """Return what else helps where only `unknown_if` differs: the older version knew no such."""
    if _without_unknown(before) != _without_unknown(now):
        return ""
    return (
        " (they differ in unknown_if alone: to go on here, give --classes a vocabulary with the "
        "unknown_if that dataset.json there has, or with none)"
    )


def _shard_of(name: str) -> str:
    """Return the shard of one of its files, `ledger/train-4b41e0b75548b034.parquet`."""
    return name.split("/")[1].removesuffix(".parquet")
