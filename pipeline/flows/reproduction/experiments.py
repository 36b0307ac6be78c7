"""One experiment at a time: a model trained, a split scored. What fails becomes a row.

Each is kept in a folder of its own, and one that has ended is not done again.
"""

from __future__ import annotations

import logging
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TypeVar

from pipeline.configs.evaluate import EvaluateConfig
from pipeline.configs.reproduce import ReproduceConfig
from pipeline.configs.train import FitConfig
from pipeline.flows.evaluation.evaluate import evaluate
from pipeline.flows.training.fit import fit
from pipeline.models.ensemble import load_any
from pipeline.models.model import load_model
from pipeline.reproduction.plan import Scoring, Training
from pipeline.reproduction.results import training_row
from pipeline.runs.logs import say
from pipeline.runs.mendable import mendable
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder
from pipeline.store.uris import uri_in
from pipeline.tagging.truth import split_truth
from schemas.evaluation import EvaluationRecord
from schemas.reproduction import ResultRow, TrainingRow

R = TypeVar("R")


@dataclass(frozen=True)
class Experiments:
    """Where the experiments of a run are, and what they are made of."""

    config: ReproduceConfig
    out: Folder
    datasets: Mapping[str, str]
    """The folder of each dataset that there is."""

    def model_uri(self, name: str) -> str:
        """Return the folder of an experiment's model."""
        return uri_in(self.out.uri, f"models/{name}")

    def evaluation_uri(self, name: str) -> str:
        """Return the folder of a result."""
        return uri_in(self.out.uri, f"evaluations/{name}")

    def train(self, training: Training) -> TrainingRow:
        """Train a model, or take the one that the same training has left; return its row."""
        named = training.name, training.dataset, training.about
        if training.skipped:
            return TrainingRow(*named, "skipped", training.skipped)

        def job() -> TrainingRow:
            uri = self.model_uri(training.name)
            config = FitConfig(
                self.datasets[training.dataset],
                uri,
                training.config,
                gpu=self.config.gpu,
                max_wait_s=self.config.max_wait_s,
            )
            card = fit(config).card
            network = load_model(uri)[0].backbone
            return training_row(training, card, sum(one.numel() for one in network.parameters()))

        return attempted(training.name, job, lambda why: TrainingRow(*named, "failed", why))

    def score(self, scoring: Scoring, trained: Mapping[str, TrainingRow]) -> ResultRow:
        """Score models on a test split, where that is not done yet; return the row's beginning."""
        named = scoring.name, list(scoring.models), scoring.dataset
        if scoring.skipped:
            return ResultRow(*named, "skipped", scoring.skipped)
        for name in scoring.models:
            if trained[name].state != "done":
                why = f"{name} is not trained: {trained[name].reason}"
                return ResultRow(*named, "skipped", why)

        def job() -> ResultRow:
            models = ",".join(map(self.model_uri, scoring.models))
            out, dataset = self.evaluation_uri(scoring.name), self.datasets[scoring.dataset]
            if not is_scored(Folder(out), load_any(models).model_id, Dataset.open(dataset)):
                evaluate(
                    EvaluateConfig(
                        models,
                        out,
                        dataset,
                        validation=False,
                        gpu=self.config.gpu,
                        max_wait_s=self.config.max_wait_s,
                    )
                )
            return ResultRow(*named, "done")

        return attempted(scoring.name, job, lambda why: ResultRow(*named, "failed", why))


def is_scored(folder: Folder, model_id: str, dataset: Dataset) -> bool:
    """Say whether a folder holds a whole evaluation of a model on the clips of a test split."""
    if not all(map(folder.exists, ("scores.parquet", "metrics.json", "report.html"))):
        return False
    record = folder.read_record("metrics.json", EvaluationRecord)
    uris = folder.read_table("scores.parquet", ["uri"])["uri"].to_pylist()
    is_same = record.provenance.get("model_id") == model_id
    return is_same and set(uris) == set(split_truth(dataset, "test"))


def attempted(name: str, job: Callable[[], R], failed: Callable[[str], R]) -> R:
    """Return what a job returns, or the row of its failure, with the reason in a line.

    A bug is a row as well, as the other experiments are not to be lost by it; its traceback
    goes to stderr.
    """
    try:
        return job()
    except Exception as error:
        cause = mendable(error)
        if cause is None:
            say("traceback", level=logging.ERROR, text=traceback.format_exc())
        why = " ".join(str(cause or f"{type(error).__name__}: {error}").split())
        say("experiment_failed", level=logging.WARNING, text=f"{name} failed: {why}")
        return failed(why)
