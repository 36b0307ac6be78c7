"""Cross-validation: one model per fold, and what each says of the clips it was not shown.

    fold-0/ fold-1/ ...  folds.json  scores.parquet  report.html

The clips of train and val are divided anew, by video; test is left alone. Each fold is a run like
any other, in a folder of its own: after a kill, what has ended is not done again.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import ray
import torch

from pipeline.datasets.training_data import TrainingData
from pipeline.evaluation.labels.thresholds import DEFAULT
from pipeline.evaluation.runs.scored import Scored, to_table
from pipeline.evaluation.statistics.evaluation import Measured, evaluation_of
from pipeline.evaluation.statistics.folds import folds_record
from pipeline.evaluation.statistics.metrics import multilabel_metrics
from pipeline.flows.cluster import own_cpus
from pipeline.flows.training.fit import FitConfig, fit, training_session
from pipeline.models.model import ModelCard, load_model
from pipeline.report.page import render_page
from pipeline.report.pages.evaluation_page import evaluation_page
from pipeline.report.pages.folds_page import folds_page
from pipeline.runs.provenance import provenance
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder
from pipeline.store.out import FOLDS, check_out
from pipeline.training.validation import clip_scores
from schemas.evaluation import FoldsRecord


@dataclass(frozen=True)
class FoldsResult:
    """What a cross-validation came to."""

    report: FoldsRecord
    """The content of folds.json: figures by fold and their mean."""
    cards: list[ModelCard]


def cross_validate(config: FitConfig, n_folds: int) -> FoldsResult:
    """Train and measure one model per fold; write what the module's head names."""
    check_out(config.out, FOLDS, {"--dataset": config.dataset})
    dataset, out = Dataset.open(config.dataset), Folder(config.out)
    in_parts = replace(config.train, folds=n_folds)  # says where the number is wrong
    trainings = [replace(in_parts, fold=k) for k in range(n_folds)]
    with out.claimed(), training_session(config):
        runs = []
        for train in trainings:
            uri = out.uri_of(f"fold-{train.fold}")
            card = fit(replace(config, out=uri, train=train)).card
            task = ray.remote(num_cpus=1)(held_out_scores)
            training_data = TrainingData(dataset, dataset.record(), train)
            runs.append((card, ray.get(task.remote(training_data, uri))))
    cards, scored = [card for card, _ in runs], [part for _, part in runs]
    return FoldsResult(_write(out, cards, scored, config), cards)


def held_out_scores(training_data: TrainingData, model_uri: str) -> Scored:
    """Return what a fold's model says of the clips that it has never met."""
    torch.set_num_threads(own_cpus())
    model, card = load_model(model_uri)
    with training_data.kept(is_last=training_data.config.fold + 1 == training_data.config.folds):
        data = training_data.held_out()
        scores = clip_scores(model, data, card.aggregation, torch.device("cpu"))
    groups = training_data.dataset.groups(data.segment_ids)
    return Scored(data.segment_ids, card.vocabulary.codes, data.targets, scores, groups)


def _write(
    out: Folder, cards: list[ModelCard], scored: list[Scored], config: FitConfig
) -> FoldsRecord:
    vocabulary = cards[0].vocabulary
    together = Scored(
        [uri for part in scored for uri in part.uris],
        vocabulary.codes,
        np.concatenate([part.truth for part in scored]),
        np.concatenate([part.scores for part in scored]),
        [group for part in scored for group in part.groups],
    )
    measured = [  # a class that one fold has not learned may be another's: the same limit for all
        multilabel_metrics(
            part.truth, part.scores, thresholds=DEFAULT, class_codes=vocabulary.codes
        )
        for part in [together, *scored]
    ]
    where_from = provenance() | {
        "scored": f"{config.dataset}, each clip by the model of the fold that held it out",
        "aggregation": cards[0].aggregation,
    }
    ids = [card.model_id for card in cards]
    record = folds_record(measured[0], measured[1:], ids, provenance=where_from)
    all_clips = evaluation_of(Measured(together, measured[0], vocabulary.names, where_from))
    page = folds_page(record, evaluation_page(all_clips))
    out.write_table("scores.parquet", to_table(together))
    out.write_json("folds.json", record.to_dict())
    out.write_bytes("report.html", render_page(page).encode())
    return record
