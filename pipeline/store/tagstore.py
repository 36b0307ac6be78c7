"""TAGS in a folder, and what may stand beside them: whole files, by model and date of the run.

    tags/model=resnet50-0123456789ab/date=2026-11-21/{hash}.parquet

A file of `windows/`, `intervals/` or `embeddings/` has the name of its file of TAGS and is written
before it: without that one it does not count, and is deleted by the next run.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any
from urllib.parse import quote, unquote

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.arrays import Bools
from pipeline.errors import UsageError
from pipeline.store.disk import Walked
from pipeline.store.folder import Folder
from pipeline.store.tagrows import (
    SMALL_BYTES,
    belonging,
    for_others,
    joinable,
    last_of_each,
    last_rows,
    of_tracks,
    times,
)
from pipeline.store.worklist import KNOWN, Hashes, Known, text_hashes
from schemas.tagging_run import TaggingRun

IDENTITY_KEY = b"timbre.tagging"
"""In the metadata of a file of TAGS: how its rows were made."""
BESIDE = ("windows", "intervals", "embeddings")
_TABLES = ("tags", *BESIDE)
_COPIED_ROWS = 4096  # a file
_AT_ONCE = 16  # a bucket answers late


class TagStore:
    """The TAGS of one tagging folder: the one place that knows which of its rows count."""

    def __init__(self, folder: Folder) -> None:
        self.folder = folder

    @classmethod
    def open(cls, uri: str) -> TagStore:
        """Return the tags of a folder, which need not be there yet."""
        return cls(Folder(uri))

    def files(self, model_id: str | None = None, table: str = "tags") -> list[str]:
        """Return the names of the files of all models, or of one."""
        return [name for name, _, _ in self.walk(model_id, table)]

    def walk(self, model_id: str | None = None, table: str = "tags") -> list[Walked]:
        """Return the files of all models, or of one, with their sizes and times."""
        below = table if model_id is None else f"{table}/{_part(model_id)}"
        return sorted(file for file in self.folder.walk(below) if file[0].endswith(".parquet"))

    def models(self) -> list[str]:
        """Return the models that have tagged here, the latest first."""
        last_dates: dict[str, str] = {}
        for name in self.files():
            model_id, date = _model_and_date(name)
            last_dates[model_id] = max(date, last_dates.get(model_id, ""))
        return sorted(last_dates, key=lambda model_id: (last_dates[model_id], model_id))[::-1]

    def last_model(self) -> str | None:
        """Return the model of the last run; None where no run has left its json."""
        return next((run.model_id for run in self.runs()), None)

    def choose(self, model_id: str | None, *, flag: str = "--model-id") -> str:
        """Return a model that has tags here: the one asked for, that of the last run, or the only.

        UsageError where there is none such; `flag` is how another one is asked for.
        """
        found = self.models()
        if not found:
            raise UsageError(
                f"{self.folder.uri}: no Parquet files below tags/ there; expected the --out of "
                "python -m jobs.tag_catalog"
            )
        chosen = model_id or self.last_model()
        if chosen is None and len(found) == 1:
            return found[0]
        if chosen in found:
            return str(chosen)
        missing = f"tags of {chosen}" if chosen else "run.json, which names the last model"
        raise UsageError(
            f"{self.folder.uri}: no {missing}; found tags of {', '.join(sorted(found))}: give "
            f"{flag}"
        )

    def begin_run(self, identity: Mapping[str, Any], **said: str) -> None:
        """Write the run.json of a run under way."""
        values = {"version": TaggingRun.version, "identity": identity, "complete": False}
        self.folder.write_json("run.json", values | said)

    def write_run(self, run: TaggingRun) -> None:
        """Write run.json, and keep that of a run that did something."""
        if run.tracks > run.unchanged:
            self.folder.write_json(f"runs/{run.run_id}.json", run.to_dict())
        self.folder.write_json("run.json", run.to_dict())

    def read_run(self, name: str = "run.json") -> TaggingRun:
        """Read a run's json; StoreError where it is no such."""
        return self.folder.read_record(name, TaggingRun)

    def last_run(self) -> TaggingRun | None:
        """Return the run of run.json, which may be under way; None where there is none."""
        return self.read_run() if self.folder.exists("run.json") else None

    def runs(self, model_id: str | None = None) -> Iterator[TaggingRun]:
        """Yield the runs of all models or of one, the last one first.

        The first is run.json, which a run under way has written, too; the last that has ended is
        there twice.
        """
        names = ["run.json"] if self.folder.exists("run.json") else []
        for name in (*names, *reversed(self.folder.names("runs", ".json"))):
            run = self.read_run(name)
            if run.model_id and model_id in (None, run.model_id):
                yield run

    def read(self, columns: list[str] | None = None) -> pa.Table | None:
        """Return all rows; None where there are none yet."""
        tables = [self.folder.read_table(name, columns) for name in self.files()]
        return pa.concat_tables(tables, promote_options="default") if tables else None

    def batches(self, model_id: str, schema: pa.Schema) -> Iterator[pa.Table]:
        """Yield the rows of a model, some files at a time; columns that a file lacks are null."""
        yield from self.folder.scan(self.files(model_id), schema)

    def identity(self, model_id: str) -> dict[str, Any] | None:
        """Return how a model's rows were made, as one of its files says; None where it has none.

        A run that was killed has its rows, but another model's may have overwritten run.json since.
        """
        names = self.files(model_id)
        if not names:
            return None
        said = self.folder.read_schema(names[0]).metadata or {}
        identity: dict[str, Any] = json.loads(said.get(IDENTITY_KEY, b"{}"))
        return identity

    def known(self, model_id: str) -> Known:
        """Return what a model has said of which tracks."""
        return Known.of(self.batches(model_id, KNOWN))

    def commit(self, tags: pa.Table, *, date: str, beside: Mapping[str, pa.Table]) -> None:
        """Write rows of one model as one file, named by what it holds: twice, it is there once.

        The contents are in the name, too: a uri may have another one later that day, and until
        `deduplicate` the row of the one before is what tells of it.
        """
        model_id = tags["model_id"][0].as_py()
        contents = [text or "" for text in tags["fingerprint"].to_pylist()]
        name = _hash([*tags["uri"].to_pylist(), *contents, model_id])
        self._write(f"{_part(model_id)}/date={date}/{name}.parquet", tags, beside)

    def _write(self, place: str, tags: pa.Table, beside: Mapping[str, pa.Table]) -> None:
        for table, rows in beside.items():
            self.folder.write_table(f"{table}/{place}", rows, compression="zstd")
        self.folder.write_table(f"tags/{place}", tags, compression="zstd")

    def missing_tables(self, model_id: str, tables: Sequence[str]) -> list[str]:
        """Return of some tables those that a file of a model's TAGS does not have beside it."""
        places = {_place(name) for name in self.files(model_id)} if tables else set()
        return [
            table
            for table in tables
            if not places <= {_place(name) for name in self.files(model_id, table)}
        ]

    def clear(self) -> None:
        """Delete every row of every model."""
        self.clear_up()
        for table in _TABLES:
            for name in self.files(table=table):
                self.folder.delete(name)

    def clear_up(self) -> None:
        """Delete what a killed run has left: half-written files, and files without their TAGS."""
        committed = {_place(name) for name in self.files()}
        for table in _TABLES:
            for name, _, _ in list(self.folder.walk(table)):
                is_lost = table != "tags" and _place(name) not in committed
                if name.endswith(".tmp") or is_lost:
                    self.folder.delete(name)

    def deduplicate(self, model_id: str) -> int:
        """Keep the last row of every track, where it was done again; return how many went.

        The new rows are there before the old ones go, so a kill in between loses none.
        """
        last = self.last_rows(model_id)
        for name, kept in last.items():
            if not kept.all():
                self._keep(name, kept)
        return sum(int((~kept).sum()) for kept in last.values())

    def last_rows(self, model_id: str) -> dict[str, Bools]:
        """Return by file of a model's TAGS which of its rows are the last word on their track.

        A run that was killed leaves several rows of a track; 17 bytes a row are held.
        """
        names = self.files(model_id)
        if not names:
            return {}
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            uris, when = zip(*pool.map(self._uris_and_times, names), strict=True)
        ends = np.cumsum([len(each) for each in uris])[:-1]
        is_last = last_of_each(np.concatenate(uris), np.concatenate(when))
        return dict(zip(names, np.split(is_last, ends), strict=True))

    def _uris_and_times(self, name: str) -> tuple[Hashes, np.ndarray]:
        table = self.folder.read_table(name, ["uri", "tagged_at"])
        return text_hashes(table["uri"]), times(table)

    def compact(self, model_id: str, *, date: str | None = None, but: Collection[str] = ()) -> None:
        """Join the small files of each day, or of one, as a run's commits are small.

        Only files with the same tables beside them become one: so it stays known what rows lack.
        The joined file is there before its parts go; a kill in between leaves rows twice, the same
        ones, and `deduplicate` keeps one of each. Files named in `but` stay as they are.
        """
        below = _part(model_id) if date is None else f"{_part(model_id)}/date={date}"
        sizes = {
            table: {_place(name): n for name, n, _ in self.folder.walk(f"{table}/{below}")}
            for table in _TABLES
        }
        alike = defaultdict(list)
        for place in sorted(sizes["tags"]):
            tables = tuple(table for table in _TABLES if place in sizes[table])
            n_bytes = sum(sizes[table][place] for table in tables)
            is_small = place.endswith(".parquet") and n_bytes < SMALL_BYTES
            if is_small and f"tags/{place}" not in but:
                alike[place.rpartition("/")[0], tables].append((place, n_bytes))
        for (_, tables), files in alike.items():
            for group in joinable(self._counted(files)) if len(files) > 1 else ():
                self._join(group, tables)

    def _counted(self, files: list[tuple[str, int]]) -> list[tuple[str, int, int]]:
        """Return places and bytes of files of TAGS with how many rows they have, too."""
        names = [f"tags/{place}" for place, _ in files]
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            counts = pool.map(self.folder.n_rows, names)
            return [(*file, n) for file, n in zip(files, counts, strict=True)]

    def _join(self, places: list[str], tables: Collection[str]) -> None:
        """Write files as one, with the last row of each track, named by their names.

        Never named by what it holds, or it could be one of them: a joined file from which
        `deduplicate` took rows, and a new file of those, hold what it held.
        """
        names = {table: [f"{table}/{place}" for place in places] for table in tables}
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            tags = list(pool.map(self.folder.read_table, names["tags"]))
            rest = dict(zip(places, last_rows(tags), strict=True))
            beside = {
                table: pa.concat_tables(
                    belonging(rows, rest[_place(name)])
                    for name, rows in zip(
                        parts, pool.map(self.folder.read_table, parts), strict=True
                    )
                )
                for table, parts in names.items()
                if table != "tags"
            }
            joined = f"{places[0].rpartition('/')[0]}/{_hash(names['tags'])}.parquet"
            self._write(joined, pa.concat_tables(rest.values()), beside)
            for parts in names.values():
                list(pool.map(self.folder.delete, parts))

    def _keep(self, name: str, kept: np.ndarray) -> None:
        """Keep some rows of a file, and of those beside it what belongs to them.

        What stands beside rows stays, without a row if need be: it says that it was asked for.
        """
        places = [file_beside(name, table) for table in BESIDE]
        beside = list(filter(self.folder.exists, places))
        if not kept.any():
            for each in (*beside, name):
                self.folder.delete(each)
            return
        rest = self.folder.read_table(name).filter(pa.array(kept))
        for other in beside:
            rows = belonging(self.folder.read_table(other), rest)
            self.folder.write_table(other, rows, compression="zstd")
        self.folder.write_table(name, rest, compression="zstd")

    def copy(self, tracks: pa.Table, model_id: str, *, date: str, schema: pa.Schema) -> None:
        """Write the rows of tracks whose content is known, and what stands beside it, for them.

        `tracks` are rows of uri, fingerprint, size_bytes, modified_ns, attempts and tagged_at. Each
        gets all that is known of its content, so that it need not last as long as another's.
        """
        contents = tracks["fingerprint"].combine_chunks()
        wanted = defaultdict(list)
        for k, content in enumerate(contents.to_pylist()):
            wanted[content].append(k)
        names = self.files(model_id)
        with ThreadPoolExecutor(_AT_ONCE) as pool:
            for name, is_ours in zip(
                names, pool.map(partial(self._has_contents, contents), names), strict=True
            ):
                if pc.any(is_ours).as_py():
                    rows = self.folder.read_tables([name], schema).filter(is_ours)
                    rows = rows.replace_schema_metadata(schema.metadata)
                    found = [wanted.pop(text, []) for text in rows["fingerprint"].to_pylist()]
                    self._copy(name, rows, tracks, found, date)

    def _has_contents(self, contents: pa.Array, name: str) -> pa.ChunkedArray:
        """Return which rows of a file are of some contents."""
        rows = self.folder.read_table(name, ["fingerprint", "status"])
        is_in = pc.is_in(rows["fingerprint"], value_set=contents)
        return pc.and_(is_in, pc.equal(rows["status"], "ok"))

    def _copy(
        self, name: str, rows: pa.Table, tracks: pa.Table, found: list[list[int]], date: str
    ) -> None:
        """Write rows of a file for the tracks that are found to have their contents."""
        pairs = [(row, track) for row, of_row in enumerate(found) for track in of_row]
        for start in range(0, len(pairs), _COPIED_ROWS):
            which, who = zip(*pairs[start : start + _COPIED_ROWS], strict=True)
            source, mine = rows.take(pa.array(which)), tracks.take(pa.array(who))
            beside = {
                table: for_others(self.folder.read_table(other), source, mine["uri"])
                for table in BESIDE
                if self.folder.exists(other := file_beside(name, table))
            }
            self.commit(of_tracks(source, mine), date=date, beside=beside)


def _hash(texts: list[str]) -> str:
    text = "\n".join(texts).encode("utf-8", "surrogatepass")
    return hashlib.blake2b(text, digest_size=12).hexdigest()


def _part(model_id: str) -> str:
    return f"model={quote(model_id, safe='')}"  # a model's id may come from anywhere


def _model_and_date(name: str) -> tuple[str, str]:
    """Return the model whose rows a file holds, and the date of its run.

    >>> _model_and_date("tags/model=a%2Fb/date=2026-11-21/0.parquet")
    ('a/b', '2026-11-21')
    """
    found = re.fullmatch(r"[^/]+/model=([^/]+)/date=([^/]+)/[^/]+", name)
    if found is None:
        raise UsageError(f"{name}: expected tags/model=.../date=.../*.parquet; move it away")
    return unquote(found[1]), found[2]


def file_beside(name: str, table: str) -> str:
    """Return the file of a table that belongs to a file of TAGS.

    >>> file_beside("tags/model=m/date=2026-11-21/0.parquet", "windows")
    'windows/model=m/date=2026-11-21/0.parquet'
    """
    return f"{table}/{_place(name)}"


def _place(name: str) -> str:
    """Return a file's name within its table's folder."""
    return name.partition("/")[2]
