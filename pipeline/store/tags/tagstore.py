"""TAGS in a folder, and what may stand beside them: whole files, by model, part and date.

    tags/model=resnet50-0123456789ab/part=0-of-1/date=2026-11-21/{hash}.parquet

What a run does with rows, it does a part at a time (`TagPart`). Folders from before there were
parts have none in the names of their files, and are read as they are; `cutting` brings them into
parts.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.arrays import Bools, Hashes, Int64
from pipeline.errors import UsageError
from pipeline.store.disk import TEMPORARY, Walked
from pipeline.store.folder import Folder
from pipeline.store.tags.known import are_in, no_hashes, text_hashes
from pipeline.store.tags.parts import by_part, n_parts_of, part_name, part_names
from pipeline.store.tags.tag_index import covered_sizes
from pipeline.store.tags.tagfiles import (
    AT_ONCE,
    BESIDE,
    TABLES,
    hash_of,
    model_and_date,
    model_place,
    parquet_below,
    place_of,
    write_tags,
)
from pipeline.store.tags.tagpart import TagPart
from pipeline.store.tags.tagrows import belonging, last_of_each, times
from pipeline.store.tags.track_facts.gone import gone_tracks
from schemas.attributes import attributes_of_all
from schemas.tagging_run import TaggingRun

IDENTITY_KEY = b"timbre.tagging"
"""In the metadata of a file of TAGS: how its rows were made."""
_BY_PART = ("index", "gone", "catalogue")


@dataclass(frozen=True)
class CurrentRows:
    """The rows of a model's TAGS that count: each track's last one, unless the track is gone."""

    by_file: Mapping[str, Bools]
    """Which rows of a file count, by its name."""
    n_replaced: int
    """Rows left out as their tracks have newer ones."""
    n_gone: int
    """Rows left out as their catalogue has their tracks no more (`track_facts.gone`)."""


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
        below = table if model_id is None else f"{table}/{model_place(model_id)}"
        return parquet_below(self.folder, below)

    def models(self) -> list[str]:
        """Return the models that have tagged here, the latest first."""
        last_dates: dict[str, str] = {}
        for name in self.files():
            model_id, date = model_and_date(name)
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

    def attributes(self, model_id: str) -> list[pa.Field]:
        """Return the columns of attributes that a model's rows have; a file may lack some."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            schemas = list(pool.map(self.folder.read_schema, self.files(model_id)))
        return attributes_of_all(schemas)

    def n_parts(self, model_id: str) -> int:
        """Return into how many parts a model's rows are cut; 1 where it has none yet."""
        return n_parts_of(self._part_names(model_id))

    def parts(self, model_id: str, n_parts: int | None = None) -> list[TagPart]:
        """Return the parts of a model's rows: as many as there are, or are to be."""
        n = self.n_parts(model_id) if n_parts is None else n_parts
        return [TagPart(self.folder, model_id, k, n, part_name(k, n)) for k in range(n)]

    def whole(self, model_id: str) -> TagPart:
        """Return all rows of a model as one part, however they are cut: to look at, not to mend."""
        return TagPart(self.folder, model_id, 0, 1, "")

    def _part_names(self, model_id: str) -> list[str]:
        below = self.folder.folders(f"tags/{model_place(model_id)}")
        return [name.removeprefix("part=") for name in below if name.startswith("part=")]

    def compact(self, model_id: str) -> int:
        """Compact a model's parts, as at the end of a run; return how many rows were removed."""
        return sum(part.compact().n_removed for part in self.parts(model_id))

    def commit(
        self, tags: pa.Table, *, date: str, beside: Mapping[str, pa.Table], n_parts: int = 1
    ) -> None:
        """Write rows of one model, a file a part, named by what it holds: twice, it is there once.

        The contents are in the name, too: a uri may have another one later that day, and until
        the end of the run the row of the one before is what tells of it.
        """
        model_id = tags["model_id"][0].as_py()
        for number, rows in by_part(tags, text_hashes(tags["uri"]), n_parts):
            contents = [text or "" for text in rows["fingerprint"].to_pylist()]
            name = hash_of([*rows["uri"].to_pylist(), *contents, model_id])
            place = f"{model_place(model_id)}/part={part_name(number, n_parts)}/date={date}"
            is_all = rows.num_rows == tags.num_rows
            own = beside if is_all else {k: belonging(v, rows) for k, v in beside.items()}
            write_tags(self.folder, f"{place}/{name}.parquet", rows, own)

    def clear(self) -> None:
        """Delete every row of every model."""
        self.clear_up()
        for table in (*TABLES, *_BY_PART):
            for name in self.files(table=table):
                self.folder.delete(name)

    def clear_up(self) -> None:
        """Delete what a killed run has left: half-written files, and files without their TAGS."""
        committed = {place_of(name) for name in self.files()}
        for table in (*TABLES, *_BY_PART, "work"):
            for name, _, _ in list(self.folder.walk(table)):
                is_lost = table in BESIDE and place_of(name) not in committed
                if name.endswith(TEMPORARY) or is_lost or table == "work":
                    self.folder.delete(name)

    def current_rows(self, model_id: str, *, include_gone: bool = False) -> CurrentRows:
        """Return which rows of a model's TAGS count: the last of each track that is not gone.

        A run that was killed leaves several rows of a track; 17 bytes a row are held.
        """
        names = self.files(model_id)
        if not names:
            return CurrentRows({}, 0, 0)
        with ThreadPoolExecutor(AT_ONCE) as pool:
            hashes, when = zip(*pool.map(self._uris_and_times, names), strict=True)
        ends, uris = np.cumsum([len(each) for each in hashes])[:-1], np.concatenate(hashes)
        is_last = last_of_each(uris, np.concatenate(when))
        gone = no_hashes() if include_gone else gone_tracks(self.folder, model_id)
        counts = is_last & ~are_in(uris, gone)
        by_file = dict(zip(names, np.split(counts, ends), strict=True))
        return CurrentRows(by_file, int((~is_last).sum()), int((is_last & ~counts).sum()))

    def replaced_rows(self, model_id: str) -> dict[str, pa.Array]:
        """Return, by file that has rows which a later one replaces, which of its rows are the last.

        After a run there is none such, which the indexes tell without a look at the rows.
        """
        place = f"index/{model_place(model_id)}"
        covered: dict[str, int] = {}
        for index in self.folder.names(place):
            covered |= covered_sizes(self.folder, index)
        if all(covered.get(name) == size for name, size, _ in self.walk(model_id)):
            return {}
        found = self.current_rows(model_id, include_gone=True).by_file.items()
        return {name: pa.array(is_last) for name, is_last in found if not is_last.all()}

    def _uris_and_times(self, name: str) -> tuple[Hashes, Int64]:
        table = self.folder.read_table(name, ["uri", "tagged_at"])
        return text_hashes(table["uri"]), times(table)

    def to_cut(self, model_id: str, n_parts: int) -> list[str]:
        """Return the folders of a model's rows that are in no part, or in one of another cut."""
        place = f"tags/{model_place(model_id)}"
        parts = {f"part={name}" for name in part_names(n_parts)}
        others = [f"{place}/{name}" for name in self.folder.folders(place) if name not in parts]
        # A disk keeps empty folders.
        return [folder for folder in others if parquet_below(self.folder, folder)]
