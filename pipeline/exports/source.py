"""One model's tags in a folder in, its tracks' last rows and their intervals out, for exports.

TAGS are read a file at a time, twice: once to see whose rows there are and which of them are the
last of their track, once for the rows.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.arrays import Int64
from pipeline.errors import SpecMismatch, StoreError, UsageError
from pipeline.report.exports import Row, TagSource
from pipeline.store.folder import Folder
from pipeline.store.tagstore import TagStore, file_beside
from schemas.timeline import INTERVALS

BATCH_ROWS = 1024


@dataclass(frozen=True)
class ExportSource:
    """One model's tags in a folder."""

    store: TagStore
    origin: TagSource
    codes: list[str]
    names: list[str]
    """The model's files of TAGS."""
    n_tracks: int
    latest: dict[str, datetime]
    """When the last row was made, of tracks that have several: a killed run may leave such."""
    notes: tuple[str, ...]

    @classmethod
    def open(cls, store: TagStore, model_id: str | None) -> ExportSource:
        """Choose the model and see what there is of it; UsageError where there is nothing."""
        chosen = _choose(store, model_id)
        folder, names, runs = store.folder, store.files(chosen), store.runs(chosen)
        last = next(runs, {})
        uris = np.sort(np.concatenate([_uri_hashes(folder, name) for name in names]))
        again = uris[1:][uris[1:] == uris[:-1]]
        latest = _latest(folder, names, set(again.tolist()))
        notes = _notes(last, n_again=len(again))
        codes = _score_codes(folder.read_schema(names[0]))
        origin = _origin(chain([last], runs), chosen)
        return cls(store, origin, codes, names, len(uris) - len(again), latest, notes)

    def batches(self) -> Iterator[tuple[str, list[Row]]]:
        """Yield the rows, each track's last one, and the file that they are in."""
        latest: dict[str, datetime | None] = dict(self.latest)

        def is_counted(row: Row) -> bool:
            if row["uri"] not in latest:
                return True
            if latest[row["uri"]] != row["tagged_at"]:
                return False
            latest[row["uri"]] = None  # a second one of the same instant is its copy
            return True

        n_read = 0
        for name in self.names:
            for table in self._pieces(name):
                rows = list(filter(is_counted, table.to_pylist()))
                n_read += len(rows)
                yield name, rows
        if n_read != self.n_tracks:
            raise StoreError(
                f"{self.store.folder.uri}: changed while it was read ({self.n_tracks} tracks, then "
                f"{n_read}); run the same command again when no tagging runs there"
            )

    def _pieces(self, name: str) -> Iterator[pa.Table]:
        for group in self.store.folder.read_pieces(name):
            if _score_codes(group.schema) != self.codes:
                raise SpecMismatch(
                    f"{self.store.folder.uri_of(name)}: its classes differ from those of "
                    f"{self.names[0]} though the model is called the same; tag with each model to "
                    "an --out of its own"
                )
            for start in range(0, group.num_rows, BATCH_ROWS):
                yield group.slice(start, BATCH_ROWS)


class Intervals:
    """The intervals of tracks: those beside their file of TAGS, or those of the same content.

    A file of TAGS that has none beside it may hold bytes that another name's file has them for: a
    run with --keep-windows and one without, or a copy that was made while those were left behind.
    """

    def __init__(self, source: ExportSource) -> None:
        self._folder = source.store.folder
        there = set(source.store.files(source.origin.model_id, "intervals"))
        pairs = [(name, file_beside(name, "intervals")) for name in source.names]
        self._there = [other for _, other in pairs if other in there]
        alone = [name for name, other in pairs if other not in there]
        self._copied = self._of_contents(alone) if self._there else INTERVALS.empty_table()
        self._at, self._table = "", self._copied

    def __bool__(self) -> bool:
        return bool(self._there)

    def of(self, name: str, rows: Iterable[Row]) -> list[list[Row]]:
        """Return the intervals of each row of a file of TAGS; none where none were kept."""
        key, table = "fingerprint", self._copied
        if (other := file_beside(name, "intervals")) in self._there:
            key, table = "uri", self._read(other)
        rows = list(rows)
        wanted = pa.array([row[key] for row in rows], pa.string())
        found = defaultdict(list)
        for interval in table.filter(pc.is_in(table[key], value_set=wanted)).to_pylist():
            found[interval[key], interval["fingerprint"]].append(interval)
        return [found.get((row[key], row["fingerprint"]), []) for row in rows]

    def _read(self, name: str) -> pa.Table:
        if self._at != name:
            self._at, self._table = name, self._folder.read_table(name)
        return self._table

    def _of_contents(self, names: Iterable[str]) -> pa.Table:
        """Return the intervals of what some files of TAGS hold, of one track for each content."""
        wanted: set[str] = set()
        for name in names:
            column = self._folder.read_table(name, ["fingerprint"])["fingerprint"]
            wanted.update(column.drop_null().to_pylist())
        owners: dict[str, str] = {}
        parts = [INTERVALS.empty_table()]
        for name in self._there if wanted else ():
            table = self._folder.read_table(name)
            keys = zip(table["fingerprint"].to_pylist(), table["uri"].to_pylist(), strict=True)
            taken = [of in wanted and owners.setdefault(of, uri) == uri for of, uri in keys]
            parts.append(table.filter(pa.array(taken, pa.bool_())).select(INTERVALS.names))
        return pa.concat_tables(parts, promote_options="permissive")


def _choose(store: TagStore, model_id: str | None) -> str:
    """Return the model that is asked for, the last one, or the only one; UsageError otherwise."""
    found = store.models()
    if not found:
        raise UsageError(
            f"{store.folder.uri}: no Parquet files below tags/ there; expected the --out of "
            "python -m jobs.tag_catalog"
        )
    if model_id is None:
        model_id = next((str(run["identity"]["model_id"]) for run in store.runs()), None)
    if model_id is None and len(found) == 1:
        return found[0]
    if model_id is not None and model_id in found:
        return model_id
    lacking = "run.json, which names the last model" if model_id is None else f"tags of {model_id}"
    raise UsageError(
        f"{store.folder.uri}: no {lacking}; found tags of {', '.join(sorted(found))}: "
        "give --model-id"
    )


def _origin(runs: Iterable[dict[str, Any]], model_id: str) -> TagSource:
    """Return what a model's last run that has ended says of it."""
    run: dict[str, Any] = next((run for run in runs if "class_names" in run), {})
    return TagSource(
        model_id,
        run.get("class_names", {}),
        str(run.get("identity", {}).get("aggregation", "unknown")),
        str(run.get("provenance", {}).get("timbre", "unknown")),
    )


def _uri_hashes(folder: Folder, name: str) -> Int64:
    """Return 8 bytes a row of a file, that stand for its uri."""
    uris = folder.read_table(name, ["uri"])["uri"].to_pylist()
    return np.fromiter(map(hash, uris), np.int64, len(uris))


def _latest(folder: Folder, names: list[str], hashes: set[int]) -> dict[str, datetime]:
    """Return when the last row was made of every uri whose hash is among `hashes`."""
    latest: dict[str, datetime] = {}
    for name in names if hashes else ():
        for row in folder.read_table(name, ["uri", "tagged_at"]).to_pylist():
            uri, when = row["uri"], row["tagged_at"]
            if hash(uri) in hashes:
                latest[uri] = max(latest.get(uri, when), when)
    return latest


def _score_codes(schema: pa.Schema) -> list[str]:
    """Return the classes of TAGS; SpecMismatch where one cannot be the name of a file."""
    codes = [field.name for field in schema.field("scores").type]
    if strange := [code for code in codes if not re.fullmatch(r"\w{1,80}", code)]:
        raise SpecMismatch(f"class code {strange[0]!r}: expected letters, digits and _")
    return codes


def _notes(last: dict[str, Any], *, n_again: int) -> tuple[str, ...]:
    """Return what is to be known of the tags; `last` is the last run, if it was this model's."""
    said = []
    if n_again:
        said.append(f"{n_again:,d} rows left out: their tracks were tagged again later")
    if last.get("complete") is False:
        said.append("the last run has not ended: these are the tracks that it has committed")
    if last.get("gone"):
        said.append(
            f"{last['gone']:,d} of the tracks are gone from the catalogue, and are written too"
        )
    return tuple(said)
