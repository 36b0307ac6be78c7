"""One model's tags in a folder in, its tracks' last rows and their intervals out, for exports.

TAGS are read a file at a time, twice: once to see which rows are the last of their track, once for
the rows.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.arrays import Bools
from pipeline.errors import SpecMismatch, StoreError
from pipeline.exports.texts import Row, TagSource
from pipeline.store.matrices import codes_of
from pipeline.store.tags.tagfiles import file_beside
from pipeline.store.tags.tagstore import CurrentRows, TagStore
from pipeline.store.tags.track_facts.catalogue_table import CatalogueRows
from pipeline.store.tags.track_facts.corrections import (
    Corrections,
    corrected,
    corrected_spans,
    read_corrections,
)
from schemas.tagging_run import TaggingRun
from schemas.timeline import INTERVALS

BATCH_ROWS = 1024


@dataclass(frozen=True)
class ExportSource:
    """One model's tags in a folder."""

    store: TagStore
    origin: TagSource
    codes: list[str]
    is_last: Mapping[str, Bools]
    """By file of the model's TAGS: which of its rows count (`TagStore.current_rows`)."""
    notes: tuple[str, ...]
    catalogue: CatalogueRows
    """What manifests say of the tracks."""
    corrections: Corrections
    """What people say of them."""

    @classmethod
    def open(cls, uri: str, model_id: str | None, *, include_gone: bool = False) -> ExportSource:
        """Choose the model and see what there is of it; UsageError where there is nothing."""
        store = TagStore.open(uri)
        chosen = store.choose(model_id)
        current, runs = store.current_rows(chosen, include_gone=include_gone), store.runs(chosen)
        last = next(runs, None)
        codes = _score_codes(store.folder.read_schema(next(iter(current.by_file))))
        attributes = tuple(one.name for one in store.attributes(chosen))
        catalogue = CatalogueRows.open(store.folder, chosen)
        origin = _origin(chain([last] if last else (), runs), chosen, attributes)
        origin = replace(origin, own=tuple(catalogue.names))
        corrections = read_corrections(store.folder)
        notes = _notes(last, current)
        return cls(store, origin, codes, current.by_file, notes, catalogue, corrections)

    @property
    def n_tracks(self) -> int:
        """Tracks that have a row."""
        return sum(int(rows.sum()) for rows in self.is_last.values())

    def batches(self) -> Iterator[tuple[str, list[Row]]]:
        """Yield the rows, each track's last one, and the file that they are in."""
        for name, is_last in self.is_last.items():
            n_read = 0
            for table in self._pieces(name):
                kept = is_last[n_read : n_read + table.num_rows]
                n_read += table.num_rows
                if len(kept) == table.num_rows:
                    rows = corrected(table.filter(pa.array(kept)), self.corrections)
                    own = self.catalogue.of(name, rows["uri"])
                    pairs = zip(own, rows.to_pylist(), strict=True)
                    yield name, [said | row for said, row in pairs]
            if n_read != len(is_last):
                raise StoreError(
                    f"{self.store.folder.uri_of(name)}: changed while it was read "
                    f"({len(is_last)} rows, then {n_read}); run the same command again when no "
                    "tagging runs there"
                )

    def _pieces(self, name: str) -> Iterator[pa.Table]:
        for group in self.store.folder.read_pieces(name):
            if _score_codes(group.schema) != self.codes:
                raise SpecMismatch(
                    f"{self.store.folder.uri_of(name)}: its classes differ from those of "
                    f"{next(iter(self.is_last))} though the model is called the same; tag with "
                    "each model to an --out of its own"
                )
            for start in range(0, group.num_rows, BATCH_ROWS):
                yield group.slice(start, BATCH_ROWS)


class Intervals:
    """The intervals of tracks: those beside their file of TAGS, or those of the same content.

    A file of TAGS that has none beside it may hold bytes that another name's file has them for: a
    run with --keep-windows and one without, or a copy that was made while those were left behind.
    """

    def __init__(self, source: ExportSource) -> None:
        self._folder, self._corrections = source.store.folder, source.corrections
        there = set(source.store.files(source.origin.model_id, "intervals"))
        pairs = [(name, file_beside(name, "intervals")) for name in source.is_last]
        self._there = [other for _, other in pairs if other in there]
        alone = [name for name, other in pairs if other not in there]
        self._copied = self._of_contents(alone) if self._there else INTERVALS.empty_table()
        self._at, self._table = "", self._copied

    def __bool__(self) -> bool:
        return bool(self._there)

    def of(self, name: str, rows: Iterable[Row]) -> list[list[Row]]:
        """Return the intervals of each row of a file of TAGS, as people have corrected them."""
        key, table = "fingerprint", self._copied
        if (other := file_beside(name, "intervals")) in self._there:
            key, table = "uri", self._read(other)
        rows = list(rows)
        wanted = pa.array([row[key] for row in rows], pa.string())
        found = defaultdict(list)
        for interval in table.filter(pc.is_in(table[key], value_set=wanted)).to_pylist():
            found[interval[key], interval["fingerprint"]].append(interval)
        of_rows = [found.get((row[key], row["fingerprint"]), []) for row in rows]
        if not self._corrections:
            return of_rows
        said = [self._corrections.of_track(row["uri"], row["fingerprint"]) for row in rows]
        return [corrected_spans(*both) for both in zip(of_rows, said, strict=True)]

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


def _origin(runs: Iterable[TaggingRun], model_id: str, attributes: tuple[str, ...]) -> TagSource:
    """Return what a model's last run that has ended says of it."""
    run = next((run for run in runs if run.class_names), TaggingRun())
    return TagSource(
        model_id,
        run.class_names,
        str(run.identity.get("aggregation", "unknown")),
        run.provenance.get("timbre", "unknown"),
        attributes,
        run.catalog,
    )


def _score_codes(schema: pa.Schema) -> list[str]:
    """Return the classes of TAGS; SpecMismatch where one cannot be the name of a file."""
    codes = codes_of(schema)
    if strange := [code for code in codes if not re.fullmatch(r"\w{1,80}", code)]:
        raise SpecMismatch(f"class code {strange[0]!r}: expected letters, digits and _")
    return codes


def _notes(last: TaggingRun | None, current: CurrentRows) -> tuple[str, ...]:
    """Return what is to be known of the tags; `last` is the last run, if it was this model's."""
    said = []
    if current.n_replaced:
        said.append(f"{current.n_replaced:,d} rows left out: their tracks were tagged again later")
    if last and not last.complete:
        said.append("the last run has not ended: these are the tracks that it has committed")
    n_others = last.gone - last.marked_gone - last.pruned if last else 0
    if n_others:  # of another catalogue, or an older version's run did not mark them
        text = f"{n_others:,d} of the tracks are not in the last run's catalogue"
        said.append(f"{text}, and are written too")
    if current.n_gone:
        said.append(
            f"{current.n_gone:,d} tracks left out: they are gone from the catalogue; "
            "--include-gone takes them"
        )
    return tuple(said)
