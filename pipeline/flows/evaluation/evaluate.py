"""Metrics, scores and a page of a model, on a dataset's split or on TAGS with a truth.

    metrics.json  scores.parquet  report.html  tags/ (of a dataset's split)

One inference path: a split's clips are tagged as a catalogue is, from their wavs, and their TAGS
are scored. Where there is a validation split, it is scored too: the thresholds, the calibration and
the best aggregation are found there.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa

from pipeline.configs.evaluate import EvaluateConfig as EvaluateConfig
from pipeline.evaluation.labels.calibration import fit as fit_calibration
from pipeline.evaluation.labels.targets import target_matrix
from pipeline.evaluation.labels.validation import Choice, Validation, choose_thresholds
from pipeline.evaluation.runs.scored import Scored, to_table
from pipeline.evaluation.statistics.evaluation import Measured, evaluation_of
from pipeline.evaluation.statistics.metrics import Metrics, multilabel_metrics
from pipeline.flows.evaluation.clip_scorer import ClipScorer, clip_scorer
from pipeline.flows.evaluation.clips import check_split, clip_shards, count_clips
from pipeline.flows.evaluation.validate import validation_of
from pipeline.inference.inference_config import InferenceConfig, check_model, inference_config
from pipeline.models.ensemble import Card, EnsembleCard, save_ensemble
from pipeline.models.model import ModelCard, save_card
from pipeline.models.starter import (
    ENSEMBLE_FILE,
    MODEL_FILE,
    model_folders,
    model_names,
)
from pipeline.report.page import render_page
from pipeline.report.pages.evaluation_page import evaluation_page
from pipeline.runs.logs import say
from pipeline.runs.provenance import provenance
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder
from pipeline.store.out import EVALUATION, check_out
from pipeline.store.tags.tagstore import TagStore
from pipeline.tagging.commit import Writing
from pipeline.tagging.tag_progress import gathered
from pipeline.tagging.truth import (
    aligned,
    as_tagged,
    corrected_truth,
    present_truth,
    read_tags,
    read_truth,
    split_truth,
)
from schemas.build_report import BuildReport


@dataclass(frozen=True)
class _Tagged:
    """What there is to score."""

    inference: InferenceConfig
    """With the thresholds that `config` asks for."""
    tags: pa.Table
    truth: dict[str, list[str]]
    groups: list[str]
    """What each item of the truth was cut from, in its order."""
    unknown: dict[str, list[str]] = field(default_factory=dict)
    """The classes of the items that their labels leave open, where there are such."""
    build: BuildReport | None = None
    """The dataset's report.json, where there is one."""
    held: Validation | None = None


def evaluate(config: EvaluateConfig) -> Metrics:
    """Score a model and write what the module's head names; return the metrics."""
    models = model_folders(config.model)
    inputs = {"--model": models, "--dataset": config.dataset, "--tags": config.tags}
    inputs |= {"--corrections": config.corrections}
    check_out(config.out, EVALUATION, inputs)
    inference = _how(config)
    dataset = None if config.dataset is None else Dataset.open(config.dataset)
    if dataset is not None:
        check_split(dataset, config.split, inference)
        if config.needs_validation:
            check_split(dataset, "val", inference)
    out = Folder(config.out)
    choice = Choice(
        inference.aggregation, config.thresholds, config.target_precision, _name_of_own(config)
    )
    with out.claimed():
        if dataset is not None:
            tagged = _tag(config, dataset, inference, choice, out)
        else:
            tagged = _read(config, inference, choice)
        say("finishing", text="measuring, with resamples for the intervals, and writing the page")
        metrics = _score(config, choice, tagged, out, own=inference.thresholds)
        if tagged.held is not None:
            _keep(config, tagged.inference, choice, tagged.held)
    return metrics


def _how(config: EvaluateConfig) -> InferenceConfig:
    inference = inference_config(config.model, config.aggregate, config.threshold, gpu=config.gpu)
    if config.tags is None:
        return inference
    return as_tagged(config.tags, inference, aggregate=config.aggregate, threshold=config.threshold)


def _name_of_own(config: EvaluateConfig) -> str:
    if config.threshold is not None:
        return f"{config.threshold:g} for every class, as asked for"
    return "the model's own" if config.tags is None else "those of the run"


def _tag(
    config: EvaluateConfig,
    dataset: Dataset,
    inference: InferenceConfig,
    choice: Choice,
    out: Folder,
) -> _Tagged:
    """Tag a dataset's split with the thresholds that its validation split gives."""
    if inference.is_of_fold:
        say("no_validation", text="val is not looked at: a fold's model has learned from it")
    looks = config.looks_at_validation and not inference.is_of_fold
    splits = ["val", config.split] if looks else [config.split]
    with clip_scorer(dataset, splits, inference, max_wait_s=config.max_wait_s) as scorer:
        held = validate(dataset, inference, scorer) if looks else None
        inference = _with_thresholds(inference, choice, held)
        tags = tag_split(dataset, config.split, inference, out, scorer)
    build = dataset.folder.read_record("report.json", BuildReport)
    truth = split_truth(dataset, config.split)
    unknown = dataset.unknown(config.split)
    return _Tagged(inference, tags, truth, dataset.groups(list(truth)), unknown, build, held)


def _read(config: EvaluateConfig, inference: InferenceConfig, choice: Choice) -> _Tagged:
    """Take the TAGS and the truth that are there."""
    inference = _with_thresholds(inference, choice, None)
    unknown: dict[str, list[str]] = {}
    if config.corrections is not None:
        truth, unknown = corrected_truth(str(config.tags), config.corrections, inference)
    else:
        truth = read_truth(str(config.truth), inference.codes)
    if not config.include_gone:
        truth = present_truth(str(config.tags), inference, truth)
    return _Tagged(
        inference, read_tags(str(config.tags), inference, truth), truth, list(truth), unknown
    )


def _score(
    config: EvaluateConfig, choice: Choice, tagged: _Tagged, out: Folder, *, own: tuple[float, ...]
) -> Metrics:
    """Measure, and write metrics.json, scores.parquet and report.html."""
    inference, truth = tagged.inference, tagged.truth
    training = inference.card.training if isinstance(inference.card, ModelCard) else {"history": []}
    names, scores, named = aligned(tagged.tags, truth, inference)
    targets = target_matrix(truth.values(), map(tagged.unknown.get, names), inference.codes)
    metrics = multilabel_metrics(
        targets, scores, thresholds=inference.thresholds, class_codes=inference.codes
    )
    scored = Scored(names, inference.codes, targets, scores, tagged.groups)
    evaluation = evaluation_of(
        Measured(
            scored,
            metrics,
            inference.card.vocabulary.names,
            provenance() | _origin(config, inference),
            history=training["history"],
            training=training_cost(training),
            build=tagged.build,
            choice=choice,
            own=own,
            held=tagged.held,
            named=None if config.tags is None else named,
        )
    )
    for name in ("evaluation.json", "predictions.parquet"):  # of a regressor, to here before
        out.delete(name)
    out.write_table("scores.parquet", to_table(scored))
    out.write_json("metrics.json", evaluation.record.to_dict())
    out.write_bytes("report.html", render_page(evaluation_page(evaluation)).encode())
    return metrics


def training_cost(training: Mapping[str, Any]) -> dict[str, float | None]:
    """Return what model.json says of its training's time and memory: None in older ones."""
    peak_mib = training.get("peak_mib", training.get("peak_memory_mib"))
    return {"seconds": training.get("seconds"), "peak_memory_mib": peak_mib}


def validate(dataset: Dataset, inference: InferenceConfig, scorer: ClipScorer) -> Validation | None:
    """Score the clips of the validation split by every aggregation; None where it has none."""
    shards = clip_shards(dataset, "val")
    if not shards:
        return None
    scores = [scorer.window_scores(shards, part) for part in inference.parts]
    truth, unknown = split_truth(dataset, "val"), dataset.unknown("val")
    return validation_of(scores, truth, inference, unknown=unknown)


def tag_split(
    dataset: Dataset, split: str, inference: InferenceConfig, out: Folder, scorer: ClipScorer
) -> pa.Table:
    """Tag the clips of one split, and return their TAGS; a clip's uri is its segment_id."""
    store = TagStore(out)
    store.clear()
    shards = clip_shards(dataset, split)
    n_clips = count_clips(dataset, shards)
    done = scorer.tag(shards, inference, Writing(store, f"{datetime.now(UTC):%Y-%m-%d}"))
    gathered(done, n_tracks=n_clips, waits="waiting for the model and the first clips")
    tags = store.read()
    if tags is None or tags.num_rows != n_clips:
        raise RuntimeError(f"{n_clips} clips, but {tags.num_rows if tags else 0} rows of TAGS")
    return tags


def _with_thresholds(
    inference: InferenceConfig, choice: Choice, held: Validation | None
) -> InferenceConfig:
    found = choose_thresholds(choice, held, own=inference.thresholds, class_codes=inference.codes)
    for warning in found.warnings:
        say("thresholds", level=logging.WARNING, text=f"warning: {warning}")
    return replace(inference, thresholds=tuple(found.values.values()))


def _keep(
    config: EvaluateConfig, inference: InferenceConfig, choice: Choice, held: Validation
) -> None:
    """Write what is to be kept of what validation says: see `kept_in`."""
    card = inference.card
    if config.keep_thresholds:
        card = _with_found_thresholds(card, inference, choice, held)
    if config.keep_calibration:
        maps = {
            method: fit_calibration(held.truth, scores, class_codes=inference.codes).to_dict()
            for method, scores in held.scores.items()
        }
        card = replace(card, calibration=maps)
    if card is not inference.card:
        check_model(inference)  # a training may have ended there: its card is not to be overwritten
        folder, _ = kept_in(config)
        if isinstance(card, EnsembleCard):
            save_ensemble(Folder(folder), card)
        else:
            save_card(Folder(folder), card)


def kept_in(config: EvaluateConfig) -> tuple[str, str]:
    """Return the folder and the file that `keep_thresholds` and `keep_calibration` write.

    That is the model's own, or the ensemble's; several models become one, in the evaluation's.
    """
    if len(model_names(config.model)) > 1:
        return config.out, ENSEMBLE_FILE
    is_model = Folder(config.model).exists(MODEL_FILE)
    return config.model, MODEL_FILE if is_model else ENSEMBLE_FILE


def _with_found_thresholds(
    card: Card, inference: InferenceConfig, choice: Choice, held: Validation
) -> Card:
    """Return the card with what a rule finds on validation, for every aggregation."""
    found = {
        method: choose_thresholds(
            replace(choice, aggregation=method), held, own=own, class_codes=inference.codes
        )
        for method, own in held.own.items()
    }
    kept = {method: dict(one.values) for method, one in found.items()}
    return replace(card, thresholds=kept, threshold_notes=found[choice.aggregation].warnings)


def _origin(config: EvaluateConfig, inference: InferenceConfig) -> dict[str, str]:
    what = (
        f"{config.dataset}, split {config.split}"
        if config.dataset
        else f"{config.tags} against {config.truth or f'the corrections in {config.corrections}'}"
    )
    return {
        "model_id": inference.card.model_id,
        "aggregation": inference.aggregation,
        "thresholds": config.thresholds if config.threshold is None else f"{config.threshold:g}",
        "scored": what,
    }
