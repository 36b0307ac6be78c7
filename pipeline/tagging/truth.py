"""A dataset's split, or TAGS and a truth CSV, in; items with their classes and scores out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.arrays import Bools, Float64
from pipeline.errors import SpecMismatch, TableError, UsageError
from pipeline.evaluation.labels.thresholds import thresholds_for
from pipeline.inference.inference_config import InferenceConfig
from pipeline.runs.logs import say
from pipeline.store.catalogue import resolve
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder
from pipeline.store.manifests.lines import read_csv
from pipeline.store.matrices import label_matrix, score_matrix
from pipeline.store.tags.tagrows import last_rows
from pipeline.store.tags.tagstore import TagStore
from pipeline.store.tags.track_facts.corrections import read_corrections
from pipeline.store.tags.track_facts.gone import are_present, gone_tracks
from pipeline.store.uris import split_uri
from pipeline.tagging.tag_claim import identities
from schemas.tags import tags_schema


def split_truth(dataset: Dataset, split: str) -> dict[str, list[str]]:
    """Return the classes of every clip of a split, by segment_id."""
    return {
        row["segment_id"]: row["classes"]
        for table in dataset.features(split, ["segment_id", "classes"])
        for row in table.to_pylist()
    }


def as_tagged(
    uri: str,
    inference: InferenceConfig,
    *,
    aggregate: str | None = None,
    threshold: float | None = None,
) -> InferenceConfig:
    """Return how a tagging run's labels were made: its aggregation, and its thresholds.

    The model's own may have changed since. A `threshold` is in place of the run's; an `aggregate`
    that is not the run's is refused, as its scores are in TAGS and no others.
    """
    store, model_id = TagStore.open(uri), inference.card.model_id
    models = store.models()
    if not models:
        raise UsageError(f"{uri}: no tags there; make some with python -m jobs.tag_catalog")
    if model_id not in models:
        raise SpecMismatch(f"{uri}: no tags there by this model, {model_id}")
    said = next(identities(store, model_id), {})
    theirs = said.get("aggregation", inference.aggregation)
    if aggregate is not None and inference.aggregation != theirs:
        raise SpecMismatch(
            f"{uri}: this model's scores there are by {theirs}, not {inference.aggregation}; give "
            f"--aggregate {theirs}, or none"
        )
    if threshold is None:
        of_model = thresholds_for(inference.card.thresholds, theirs, inference.codes).tolist()
        limits = said.get("thresholds") or dict(zip(inference.codes, of_model, strict=True))
        inference = replace(inference, thresholds=tuple(limits[code] for code in inference.codes))
    return replace(inference, aggregation=theirs)


def read_tags(uri: str, inference: InferenceConfig, tracks: Iterable[str]) -> pa.Table:
    """Return the last rows, scores and labels, that this model gave some tracks in a folder."""
    whole = tags_schema(inference.codes)
    schema = pa.schema([whole.field(name) for name in ("uri", "labels", "scores", "tagged_at")])
    wanted = pa.array(tracks, pa.string())
    parts = [
        rows.filter(pc.is_in(rows["uri"], value_set=wanted))
        for rows in TagStore.open(uri).batches(inference.card.model_id, schema)
    ]
    return last_rows([pa.concat_tables([schema.empty_table(), *parts])])[0]


def read_truth(uri: str, codes: list[str]) -> dict[str, list[str]]:
    """Return the labels of a truth CSV, by uri; relative uris count from the CSV's folder."""
    truth: dict[str, list[str]] = {}
    for line, row in read_csv(uri, ["uri", "labels"]):
        labels = [label for label in (row["labels"] or "").split("+") if label]
        for label in labels:
            if label not in codes:
                raise TableError(uri, line, f"label {label!r}", f"one of {'+'.join(codes)}")
        name = resolve(row["uri"], split_uri(uri)[0])
        if name in truth:
            raise TableError(uri, line, f"{name} again", "a row a uri, its codes joined by +")
        truth[name] = labels
    return truth


def present_truth(
    uri: str, inference: InferenceConfig, truth: dict[str, list[str]]
) -> dict[str, list[str]]:
    """Return the truth of the tracks that are not gone from their catalogue; say how many are.

    UsageError where no track is left.
    """
    gone = gone_tracks(Folder(uri), inference.card.model_id)
    present = are_present(pa.chunked_array([list(truth)], pa.string()), gone)
    if n_gone := int((~present).sum()):
        text = f"{n_gone:,} tracks of the truth are left out: they are gone from the catalogue"
        if n_gone == len(truth):
            raise UsageError(f"{uri}: {text}; give --include-gone")
        say("gone", text=f"{text}; --include-gone takes them")
    return {name: truth[name] for name, is_in in zip(truth, present, strict=True) if is_in}


def corrected_truth(
    uri: str, corrections: str, inference: InferenceConfig
) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """Return what people said of the tracks of a tagging folder, and what they left open.

    The tracks are those that the model has tagged there and of which something was said as a whole;
    both are codes by uri. UsageError where there are none.
    """
    said = read_corrections(Folder(corrections))
    truth: dict[str, list[str]] = {}
    unknown: dict[str, list[str]] = {}
    whole = tags_schema(inference.codes)
    schema = pa.schema([whole.field(name) for name in ("uri", "fingerprint")])
    for rows in TagStore.open(uri).batches(inference.card.model_id, schema):
        for row in rows.filter(pa.array(said.concern(rows))).to_pylist():
            of_track = said.said(row["uri"], row["fingerprint"])
            judged = {*of_track.present, *of_track.absent}
            if judged.intersection(inference.codes):
                present = [code for code in inference.codes if code in of_track.present]
                truth[row["uri"]] = present
                unknown[row["uri"]] = [code for code in inference.codes if code not in judged]
    if not truth:
        raise UsageError(
            f"--corrections {corrections}: nobody has corrected a track that "
            f"{inference.card.model_id} has tagged in {uri}; do so with jobs.browse"
        )
    return truth, unknown


def aligned(
    tags: pa.Table, truth: dict[str, list[str]], inference: InferenceConfig
) -> tuple[list[str], Float64, Bools]:
    """Return the truth's tracks, their scores and their labels, `[n, n_classes]` each.

    `tags` has a row a track; a failed one has scores of 0.
    """
    names, codes = list(truth), inference.codes
    at = pc.index_in(pa.array(names, pa.string()), value_set=tags["uri"].combine_chunks())
    if at.null_count:
        first = names[pc.index(at.is_null(), True).as_py()]
        raise UsageError(
            f"{at.null_count} tracks of the truth have no row in TAGS, the first is {first}"
        )
    rows = tags.take(at)
    scores = np.nan_to_num(score_matrix(rows["scores"], codes)).astype(np.float64)
    return names, scores, label_matrix(rows["labels"], codes, ignore_others=True)
