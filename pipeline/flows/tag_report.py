"""A tagging run's folder in, report.html out: the run, the one before it, tracks to listen to."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator
from datetime import datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import StoreError
from pipeline.flows.tag_examples import find_examples
from pipeline.report.page import render_page
from pipeline.report.tagging_page import tagging_page
from pipeline.report.tagging_tables import N_FAILURES
from pipeline.score.spread import Spread
from pipeline.store.folder import Folder
from pipeline.store.tagstore import TagStore
from schemas.tags import tags_schema

_log = logging.getLogger(__name__)

Run = dict[str, Any]

_N_RUNS = 100  # that are looked through for the one before
_COLUMNS = (
    *("uri", "fingerprint", "size_bytes", "duration_s", "status", "reason", "detail", "attempts"),
    *("labels", "scores", "peaks", "n_active", "tagged_at"),
)


def write_report(out_uri: str, run: Run, *, model_uri: str, n_examples: int = 6) -> None:
    """Write report.html of a run.

    Parameters
    ----------
    out_uri
        The run's folder, with its TAGS.
    run
        Its run.json.
    model_uri
        The model's folder, which draws the time lines.
    n_examples
        Tracks to listen to, at most.
    """
    folder = Folder(out_uri)
    failures, spread = _read_tags(folder, run)
    frequent = sorted(run["class_names"], key=lambda code: -run["labels"].get(code, 0))
    examples, notes = find_examples(spread.slots(n_examples, frequent), run, model_uri)
    page = tagging_page(
        run, run_before(folder, run), failures=failures, examples=examples, notes=notes
    )
    folder.write_bytes("report.html", render_page(page).encode())


def run_before(folder: Folder, run: Run) -> Run | None:
    """Return the last run before this one that was of the same identity and heard something."""
    names = folder.names("runs", ".json")
    earlier = [name for name in names if name < f"runs/{run['run_id']}.json"]
    for name in reversed(earlier[-_N_RUNS:]):
        try:
            before = folder.read_json(name)
        except StoreError as error:
            _log.warning("%s", error)
            continue
        if isinstance(before, dict) and run.keys() <= before.keys() and _is_like(before, run):
            return before
    return None


def _is_like(before: Run, run: Run) -> bool:
    identities = {json.dumps(one["identity"], sort_keys=True) for one in (before, run)}
    heard = before["tagged"] + before["failed"] > 0
    return len(identities) == 1 and before["complete"] and heard


def _read_tags(folder: Folder, run: Run) -> tuple[list[Run], Spread]:
    """Return the first failed rows of a run, and its tracks that are worth a listen."""
    spread = Spread(run["identity"]["thresholds"])
    failed = pa.table({})
    for rows in _rows_of(folder, run):
        spread.add(rows)
        new = rows.filter(pc.equal(rows["status"], "failed"))
        if new.num_rows:
            both = pa.concat_tables([failed, new]) if failed.num_rows else new
            failed = both.sort_by("uri").slice(0, N_FAILURES).combine_chunks()
    return failed.to_pylist(), spread


def _rows_of(folder: Folder, run: Run) -> Iterator[pa.Table]:
    """Yield a run's rows of TAGS: of its day's files, what was written since it began."""
    whole = tags_schema(list(run["identity"]["thresholds"]))
    schema = pa.schema([whole.field(name) for name in _COLUMNS])
    day = f"/date={run['started_at'][:10]}/"
    names = [n for n in TagStore(folder).files(run["identity"]["model_id"]) if day in n]
    began = pa.scalar(datetime.fromisoformat(run["started_at"]), pa.timestamp("ms", "UTC"))
    for rows in folder.scan(names, schema):
        yield rows.filter(pc.greater_equal(rows["tagged_at"], began))
