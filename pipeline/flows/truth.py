"""A dataset's split, or TAGS and a truth CSV, in; items with their classes and scores out."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import SpecMismatch, TableError, UsageError
from pipeline.learn.tagging import Tagging
from pipeline.store.catalogue import read_csv, resolve
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder, split_uri
from pipeline.store.tagstore import TagStore
from schemas.tags import tags_schema


def split_truth(dataset: Dataset, split: str) -> dict[str, list[str]]:
    """Return the classes of every clip of a split, by segment_id."""
    return {
        row["segment_id"]: row["classes"]
        for table in dataset.features(split, ["segment_id", "classes"])
        for row in table.to_pylist()
    }


def read_tags(uri: str, how: Tagging, tracks: Iterable[str]) -> pa.Table:
    """Return the scores that this model gave some tracks in a tagging run's folder.

    A killed run may leave several rows of a track: they are sorted by time, the last one counts.
    """
    store, model_id = TagStore(Folder(uri)), how.card.model_id
    models = store.models()
    if not models:
        raise UsageError(f"{uri}: no tags there; make some with python -m jobs.tag_catalog")
    _check_run(store.folder, how)
    if model_id not in models:
        raise SpecMismatch(f"{uri}: no tags there by this model, {model_id}")
    whole = tags_schema(how.codes)
    schema = pa.schema([whole.field(name) for name in ("uri", "scores", "tagged_at")])
    wanted = pa.array(tracks, pa.string())
    parts = [
        rows.filter(pc.is_in(rows["uri"], value_set=wanted))
        for rows in store.batches(model_id, schema)
    ]
    return pa.concat_tables([schema.empty_table(), *parts]).sort_by("tagged_at")


def _check_run(folder: Folder, how: Tagging) -> None:
    """Refuse to score one aggregation's scores as another's."""
    identity = folder.read_json("run.json")["identity"] if folder.exists("run.json") else {}
    theirs = identity.get("aggregation", how.aggregation)
    if identity.get("model_id") == how.card.model_id and theirs != how.aggregation:
        raise SpecMismatch(
            f"{folder.uri}: this model's scores there are by {theirs}, not {how.aggregation}; "
            f"give --aggregate {theirs}"
        )


def read_truth(uri: str, codes: list[str]) -> dict[str, list[str]]:
    """Return the labels of a truth CSV, by uri; relative uris count from the CSV's folder."""
    truth = {}
    for line, row in read_csv(uri, ["uri", "labels"]):
        labels = [label for label in (row["labels"] or "").split("+") if label]
        for label in labels:
            if label not in codes:
                raise TableError(uri, line, f"label {label!r}", f"one of {'+'.join(codes)}")
        truth[resolve(row["uri"], split_uri(uri)[0])] = labels
    return truth


def aligned(
    tags: pa.Table, truth: dict[str, list[str]], how: Tagging
) -> tuple[list[str], npt.NDArray[np.float64]]:
    """Return the truth's tracks and their scores, `[n, n_classes]`; zeros for a failed one.

    Of several rows of a track the last one counts.
    """
    rows = {row["uri"]: row["scores"] for row in tags.select(["uri", "scores"]).to_pylist()}
    if missing := [name for name in truth if name not in rows]:
        raise UsageError(
            f"{len(missing)} tracks of the truth have no row in TAGS, the first is {missing[0]}"
        )
    zeros = dict.fromkeys(how.codes, 0.0)
    scores = [[(rows[name] or zeros)[code] for code in how.codes] for name in truth]
    return list(truth), np.array(scores, float).reshape(len(truth), len(how.codes))
