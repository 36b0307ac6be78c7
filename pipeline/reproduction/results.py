"""Models and evaluations in, the rows of reproduction.json and results.csv out. PURE."""

from __future__ import annotations

import csv
import io
from dataclasses import asdict

from pipeline.evaluation.statistics.bootstrap import percentiles
from pipeline.evaluation.statistics.comparison import TESTED, ResampledRun
from pipeline.models.card import ModelCard
from pipeline.reproduction.plan import Scoring, Training
from schemas.reproduction import ReproductionRecord, ResultRow, TrainingRow

SHOWN = (
    *("hamming_score", "exact_match", "macro_f1_present", "macro_precision_present"),
    *("macro_recall_present", "macro_f1", "micro_f1", "mean_average_precision"),
)
"""The figures that are kept of every result: the report's first."""
_NAMED = ("name", "models", "trained_on", "tested_on", "state", "reason", "n_items")
_COST = ("n_parameters", "seconds", "peak_memory_mib", "n_epochs", "best_epoch")


def training_row(training: Training, card: ModelCard, n_parameters: int) -> TrainingRow:
    """Return what is kept of a model that was trained."""
    about = card.training
    return TrainingRow(
        training.name,
        training.dataset,
        training.about,
        "done",
        model_id=card.model_id,
        n_parameters=n_parameters,
        report_parameters=training.report_parameters,
        seconds=about.get("seconds"),
        peak_memory_mib=about.get("peak_mib"),
        n_epochs=len(about["history"]),
        best_epoch=about["best_epoch"],
    )


def result_row(scoring: Scoring, run: ResampledRun) -> ResultRow:
    """Return what is kept of an evaluation: its figures, with intervals where they are tested."""
    return ResultRow(
        scoring.name,
        list(scoring.models),
        scoring.dataset,
        "done",
        n_items=len(run.evaluation.scored.uris),
        figures={name: getattr(run.metrics, name) for name in SHOWN},
        intervals={
            name: list(asdict(percentiles(getattr(run.drawn, name))).values()) for name in TESTED
        },
    )


def results_csv(record: ReproductionRecord) -> str:
    """Return all results as CSV, a row each, with the cost of the model where it is one."""
    ends = (f"{name}_{end}" for name in TESTED for end in ("low", "high"))
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow([*_NAMED, *SHOWN, *ends, *_COST])
    trainings = {row.name: row for row in record.trainings}
    writer.writerows(
        _csv_row(row, [trainings[name] for name in row.models]) for row in record.results
    )
    return text.getvalue()


def _csv_row(row: ResultRow, members: list[TrainingRow]) -> list[object]:
    trained_on = "+".join(sorted({one.dataset for one in members}))
    named = row.name, "+".join(row.models), trained_on, row.dataset, row.state, row.reason
    ends = [end for name in TESTED for end in row.intervals.get(name, (None, None))]
    costs = [getattr(members[0], name) if len(members) == 1 else None for name in _COST]
    return [*named, row.n_items, *(row.figures.get(name) for name in SHOWN), *ends, *costs]
