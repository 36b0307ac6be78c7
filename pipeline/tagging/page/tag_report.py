"""A tagging run's folder in, report.html out: the catalogue as it is, the run, the one before it.

    runs/{run_id}.html  report.html (the newest one)  examples.json (what it lets hear)

A run with nothing new has no file in `runs/`, and its page has all that the one before had: the
labels of all rows, the failed tracks, tracks to listen to.
"""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import chain
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.arrays import Bools, Hashes
from pipeline.audio.description.track_attributes import attribute_columns
from pipeline.errors import StoreError
from pipeline.evaluation.runs.attribute_figures import AttributeFigures, AttributeSummary
from pipeline.evaluation.runs.example_picker import Candidate, ExamplePicker
from pipeline.report.page import render_page
from pipeline.report.pages.tagging_page import tagging_page
from pipeline.report.tagging.failures import N_FAILURES
from pipeline.store.folder import Folder
from pipeline.store.tags.known import text_hashes
from pipeline.store.tags.tagstore import TagStore
from pipeline.tagging.page.kept_examples import (
    Examples,
    choose,
    key_of,
    read_examples,
    write_examples,
)
from schemas.tagging_run import TaggingRun
from schemas.tags import tags_schema

if TYPE_CHECKING:
    from pipeline.models.engines.engines import Engine

_log = logging.getLogger(__name__)

_N_RUNS = 100  # that are looked through for the one before
_N_OLDER_ROWS = 20_000  # that are looked through for examples, where the run has too few
_OF_FIRST = "The time lines are those of {}, the first of the models that are averaged."
_COLUMNS = (
    *("uri", "fingerprint", "size_bytes", "duration_s", "status", "reason", "detail", "attempts"),
    *("labels", "scores", "peaks", "n_active", "tagged_at"),
)
_FAILURE = ("uri", "status", "reason", "detail", "attempts", "tagged_at")


@dataclass(frozen=True)
class Failures:
    """The tracks of a catalogue that have failed."""

    first: list[dict[str, Any]]
    """Rows of TAGS, as many as are listed: those of the run first, then by uri."""
    reasons: Counter[str]
    """How many failures there are by reason."""


def write_report(
    out_uri: str,
    run: TaggingRun,
    *,
    model_uri: str,
    engine: Callable[[], Engine] | None = None,
    n_examples: int = 6,
    is_there: Callable[[Hashes], Bools] | None = None,
) -> None:
    """Write the page of a run and report.html, which is the newest one.

    Parameters
    ----------
    out_uri
        The run's folder, with its TAGS.
    run
        Its record, as in run.json.
    model_uri
        The model's folder, which draws the time lines.
    engine
        Gives that model where this process has tagged with it; None: it is loaded.
    n_examples
        Tracks to listen to, at most.
    is_there
        Says of hashes of uris which the catalogue has: others are not shown; None: it has all.
    """
    folder = Folder(out_uri)
    failures = find_failures(folder, run, is_there)
    slots = _slots(folder, run, n_examples, is_there)
    examples, notes = _examples(folder, slots, run, model_uri, engine) if slots else ({}, [])
    page = tagging_page(
        run,
        run_before(folder, run),
        failures=failures.first,
        reasons_in_all=failures.reasons,
        examples=[*examples.values()],
        notes=notes,
        attributes=attribute_figures(folder, run, is_there),
        tags_uri=folder.uri,
    )
    html = render_page(page).encode()
    if folder.exists(f"runs/{run.run_id}.json"):
        folder.write_bytes(f"runs/{run.run_id}.html", html)
    folder.write_bytes("report.html", html)


def _examples(
    folder: Folder,
    slots: Sequence[Sequence[Candidate]],
    run: TaggingRun,
    model_uri: str,
    engine: Callable[[], Engine] | None,
) -> tuple[Examples, list[str]]:
    """Return what there is to listen to: what the last page had, and new examples of the rest."""
    kept = read_examples(folder)
    try:
        examples, notes = choose(slots, run, lambda one: kept[key_of(one, run)])
    except KeyError:
        from pipeline.tagging.page.tag_examples import find_examples  # here, as it brings torch

        examples, notes = find_examples(slots, run, model_uri, kept, engine)
    if examples != kept:
        write_examples(folder, examples)
    members = run.identity.get("members", ())
    of_first = [_OF_FIRST.format(one["model_id"]) for one in members[:1] if examples]
    return examples, of_first + notes


def run_before(folder: Folder, run: TaggingRun) -> TaggingRun | None:
    """Return the latest earlier run of the same kind over the same catalogue.

    It is of the same model and settings and the same --catalog, and met new or changed tracks: not
    one that only tried failed tracks again, nor one of a single file or of another catalogue.
    """
    store, names = TagStore(folder), folder.names("runs", ".json")
    earlier = [name for name in names if name < f"runs/{run.run_id}.json"]
    for name in reversed(earlier[-_N_RUNS:]):
        try:
            before = store.read_run(name)
        except StoreError as error:
            _log.warning("%s", error)
            continue
        if before.is_comparable and _is_like(before, run):
            return before
    return None


def _is_like(before: TaggingRun, run: TaggingRun) -> bool:
    identities = {json.dumps(one.identity, sort_keys=True) for one in (before, run)}
    catalogues = {one.catalog.rstrip("/") for one in (before, run)}
    met_more = before.tagged + before.failed > before.retried + before.undescribed
    return len(identities) == len(catalogues) == 1 and before.complete and met_more


def find_failures(
    folder: Folder, run: TaggingRun, is_there: Callable[[Hashes], Bools] | None = None
) -> Failures:
    """Return the failed tracks of a run's model."""
    reasons: Counter[str] = Counter()
    first = pa.table({})
    store, model_id = TagStore(folder), run.model_id
    batches = store.batches(model_id, _schema(run, _FAILURE)) if run.failed_in_all else ()
    for rows in batches:
        failed = _of_catalogue(rows.filter(pc.equal(rows["status"], "failed")), is_there)
        if not failed.num_rows:
            continue
        counts = pc.value_counts(failed["reason"]).to_pylist()
        reasons.update({one["values"]: one["counts"] for one in counts})
        is_old = pc.less(failed["tagged_at"], _began(run))
        failed = failed.append_column("is_old", is_old)
        both = pa.concat_tables([first, failed]) if first.num_rows else failed
        order = [("is_old", "ascending"), ("uri", "ascending")]
        first = both.sort_by(order).slice(0, N_FAILURES).combine_chunks()
    return Failures(first.to_pylist(), Counter(dict(reasons.most_common())))


def attribute_figures(
    folder: Folder, run: TaggingRun, is_there: Callable[[Hashes], Bools] | None = None
) -> list[AttributeFigures]:
    """Return how the attributes that a run was asked for lie over the tracks of the catalogue."""
    columns = attribute_columns(run.attributes)
    summary = AttributeSummary(columns)
    schema = pa.schema([_schema(run, ("uri",)).field("uri"), *columns])
    for rows in TagStore(folder).batches(run.model_id, schema) if columns else ():
        summary.add(_of_catalogue(rows, is_there))
    return summary.figures()


def _slots(
    folder: Folder, run: TaggingRun, n: int, is_there: Callable[[Hashes], Bools] | None
) -> list[Any]:
    """Return the tracks that are worth a listen: of the run, and of older rows where it has few."""
    if not n:
        return []
    frequent = sorted(run.class_names, key=lambda code: -run.labels_in_all.get(code, 0))
    example_picker = ExamplePicker(run.identity["thresholds"])
    for rows in chain(_rows_of(folder, run), [None], _older_rows(folder, run)):
        if rows is not None:
            example_picker.add(_of_catalogue(rows, is_there))
        elif len(example_picker.slots(n, frequent)) >= n:
            break
    return example_picker.slots(n, frequent)


def _rows_of(folder: Folder, run: TaggingRun) -> Iterator[pa.Table]:
    """Yield a run's rows of TAGS: of its day's files, what was written since it began."""
    day = f"/date={run.started_at[:10]}/"
    names = [n for n in TagStore(folder).files(run.model_id) if day in n]
    for rows in folder.scan(names, _schema(run, _COLUMNS)):
        yield rows.filter(pc.greater_equal(rows["tagged_at"], _began(run)))


def _older_rows(folder: Folder, run: TaggingRun) -> Iterator[pa.Table]:
    """Yield rows from before a run, the newest day first, until there are enough."""
    n_rows, names = 0, TagStore(folder).files(run.model_id)
    for name in sorted(names, key=lambda name: name.split("/")[-2], reverse=True):
        for rows in folder.scan([name], _schema(run, _COLUMNS)):
            older = rows.filter(pc.less(rows["tagged_at"], _began(run)))
            yield older
            n_rows += older.num_rows
        if n_rows >= _N_OLDER_ROWS:
            return


def _of_catalogue(rows: pa.Table, is_there: Callable[[Hashes], Bools] | None) -> pa.Table:
    """Return the rows whose track is in the catalogue."""
    if is_there is None or not rows.num_rows:
        return rows
    return rows.filter(pa.array(is_there(text_hashes(rows["uri"]))))


def _schema(run: TaggingRun, columns: tuple[str, ...]) -> pa.Schema:
    whole = tags_schema(list(run.identity["thresholds"]))
    return pa.schema([whole.field(name) for name in columns])


def _began(run: TaggingRun) -> pa.Scalar:
    return pa.scalar(datetime.fromisoformat(run.started_at), pa.timestamp("ms", "UTC"))
