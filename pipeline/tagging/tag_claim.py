"""A tagging folder in, ready for a run: its rows made as this run makes them, no kill's remains."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from pipeline.inference.inference_config import InferenceConfig
from pipeline.store.out import check_same
from pipeline.store.tags.tagstore import TagStore

_CURE = "give another --out (thresholds and gate alone: jobs.retag)"


def check_identity(store: TagStore, inference: InferenceConfig) -> None:
    """Refuse to mix rows that were made in different ways."""
    mine, model_id = json.loads(json.dumps(inference.identity)), inference.card.model_id
    for before in identities(store, model_id):
        check_same(store.folder.uri, f"{model_id} has tagged there", before, mine, cure=_CURE)


def aggregation_there(store: TagStore, model_id: str) -> str | None:
    """Return the aggregation of the rows that a model has in a folder; None where it has none."""
    said = next(identities(store, model_id), {})
    return said.get("aggregation")


def identities(store: TagStore, model_id: str) -> Iterator[dict[str, Any]]:
    """Yield how a model has tagged in a folder: what its rows say, its last runs where they do not.

    Without rows there is nothing to mix with, whatever a killed run had in mind. The runs are those
    up to the last that has ended, as a killed one may have left rows.
    """
    of_rows = store.identity(model_id)
    if of_rows is None:
        return
    if of_rows:
        yield of_rows
        return
    for run in store.runs(model_id):
        yield run.identity
        if run.complete:
            return


def claim(store: TagStore, inference: InferenceConfig) -> None:
    """Take a folder over from whatever run was there last, which may have been killed."""
    last = store.last_run()
    store.folder.delete_temporary()
    store.clear_up()
    if last is not None and not last.complete:
        store.compact(last.model_id)  # which need not be this run's
    store.begin_run(inference.identity)
