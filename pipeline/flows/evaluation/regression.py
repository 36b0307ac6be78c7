"""A regressor's errors, and their page, on the clips of a dataset's split.

    evaluation.json  predictions.parquet  report.html

A shard of clips is a task: their descriptors are computed, and the model is asked on the windows
that training would cut.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
import pyarrow as pa
import ray
import torch

from pipeline.arrays import Floats
from pipeline.configs.evaluate import EvaluateConfig
from pipeline.errors import UsageError
from pipeline.evaluation.statistics.regression import mean_of, regression_figures
from pipeline.flows.cluster import ray_session
from pipeline.flows.evaluation.clips import clip_shards
from pipeline.flows.tasks import wait_for_one
from pipeline.models.card import ModelCard, load_card
from pipeline.models.model import load_model
from pipeline.models.regression import Regression
from pipeline.models.starter import for_all_processes
from pipeline.report.page import render_page
from pipeline.report.pages.regression_page import regression_page
from pipeline.runs.logs import progress_bar, say
from pipeline.runs.provenance import provenance
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder
from pipeline.store.matrices import score_structs
from pipeline.store.out import EVALUATION, check_out
from pipeline.training.data.mapped import clip_table
from pipeline.training.data.windows import load_windows
from pipeline.training.regression.descriptors import undefined
from pipeline.training.regression.targets import ClipTargets, of_tables, shard_targets
from pipeline.training.validation import clip_scores
from schemas.predictions import predictions_schema
from schemas.regression import RegressionEvaluation

_ALLOWED = ("model", "out", "dataset", "split", "gpu", "validation", "max_wait_s")
"""Settings of an evaluation that a regressor heeds, or that do it no harm."""


def evaluate_regression(config: EvaluateConfig) -> RegressionEvaluation:
    """Measure a regressor, and write what the module's head names."""
    check_out(config.out, EVALUATION, {"--model": config.model, "--dataset": config.dataset})
    card = load_card(config.model)
    if card.regression is None:
        raise UsageError(f"{config.model}: {card.model_id} is a tagger; `evaluate` measures it")
    _check_settings(config, card)
    dataset = Dataset.open(str(config.dataset))
    dataset.built()
    shards = clip_shards(dataset, config.split)
    if not shards:
        raise UsageError(f"{config.dataset}: the dataset has no clips in its {config.split} split")
    out = Folder(config.out)
    with out.claimed():
        with ray_session(min_cpus=4, gpu=config.gpu, max_wait_s=config.max_wait_s):
            found, predicted = _measured(config, dataset, shards)
        say("finishing", text="measuring, and writing the page")
        return _write(out, config, card, found, predicted)


def _check_settings(config: EvaluateConfig, card: ModelCard) -> None:
    """Raise UsageError where something is asked for that is of classes."""
    for name, default in EvaluateConfig.__dataclass_fields__.items():
        if name not in _ALLOWED and getattr(config, name) != default.default:
            raise UsageError(
                f"--{name.replace('_', '-')}: of taggers; {card.model_id} is a regressor, which "
                "has neither classes nor thresholds; leave it out"
            )


def _measured(
    config: EvaluateConfig, dataset: Dataset, shards: list[str]
) -> tuple[ClipTargets, Floats]:
    """Return targets and predictions of all shards' clips; predictions in the targets' units."""
    task: Any = ray.remote(num_cpus=1, num_gpus=int(config.gpu))(measure_shard)  # type: ignore[arg-type]
    uri = for_all_processes(config.model)
    waiting = [task.remote(dataset, name, uri, gpu=config.gpu) for name in shards]
    waits = "waiting for the model's processes to start"
    with progress_bar(total=len(shards), unit=" shards", desc="evaluate", postfix=waits) as bar:
        parts: list[tuple[pa.Table, Floats]] = []
        for one in waiting:
            parts.append(ray.get(wait_for_one([one], bar)))
            bar.set_postfix_str("", refresh=False)
            bar.update()
    return of_tables([table for table, _ in parts]), np.concatenate([own for _, own in parts])


def measure_shard(
    dataset: Dataset, name: str, model_uri: str, *, gpu: bool
) -> tuple[pa.Table, Floats]:
    """Return the targets of a file of CLIPS (`shard_targets`), and what the model says of each."""
    torch.set_num_threads(1)  # a task a CPU, and as many tasks as there are CPUs
    model, card = load_model(model_uri)
    assert card.regression is not None
    device = torch.device("cuda" if gpu else "cpu")
    clips = clip_table(dataset, name, card.input_spec)
    data = load_windows([clips], codes=(), windows=card.windows, input_spec=card.input_spec)
    shares = clip_scores(model.to(device), data, card.aggregation, device)
    return shard_targets(dataset, name), card.regression.unscaled(shares)


def _write(
    out: Folder, config: EvaluateConfig, card: ModelCard, found: ClipTargets, predicted: Floats
) -> RegressionEvaluation:
    """Write evaluation.json, predictions.parquet and report.html."""
    regression = card.regression
    assert regression is not None  # `evaluate_regression` has asked
    there = ~np.isnan(found.values).all(axis=1)
    truth, given = found.values[there], predicted[there]
    if nowhere := undefined(truth):
        raise UsageError(
            f"{config.dataset}: no clip of {config.split} has a value of {', '.join(nowhere)}: "
            "silence, sounds shorter than 20 ms and some constant sounds have none; give a split "
            "with more clips"
        )
    targets = regression_figures(truth, given, regression.targets)
    means = {name: mean_of(targets, name) for name in ("mae", "mae_unit", "baseline_mae", "r2")}
    record = RegressionEvaluation(
        model_id=card.model_id,
        split=config.split,
        n_clips=len(truth),
        left_out=found.left_out,
        **means,  # type: ignore[arg-type]
        targets=[asdict(one) for one in targets],
        history=card.training["history"],
        provenance=provenance() | _origin(config, card),
    )
    groups = Dataset.open(str(config.dataset)).groups(found.segment_ids)
    columns = {"uri": found.segment_ids, "group": groups}
    for name in ("metrics.json", "scores.parquet"):  # of a tagger that was evaluated to here before
        out.delete(name)
    out.write_table("predictions.parquet", _table(columns, found.values, predicted, regression))
    page = regression_page(record, targets, truth, given)
    out.write_bytes("report.html", render_page(page).encode())
    out.write_json("evaluation.json", record.to_dict())
    return record


def _table(
    columns: dict[str, Any], truth: Floats, predicted: Floats, regression: Regression
) -> pa.Table:
    names = regression.names
    values = {"truth": score_structs(truth, names), "predicted": score_structs(predicted, names)}
    return pa.table({**columns, **values}, schema=predictions_schema(names))


def _origin(config: EvaluateConfig, card: ModelCard) -> dict[str, str]:
    return {"model_id": card.model_id, "scored": f"{config.dataset}, split {config.split}"}
