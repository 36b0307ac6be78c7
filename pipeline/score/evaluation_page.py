"""A model's metrics, truth and scores in, the `Page` of its evaluation out. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.score import data_plots, model_plots
from pipeline.score.build_page import label_counts
from pipeline.score.metrics import Metrics
from pipeline.score.page import Page, Table, Tile
from pipeline.score.picture import Picture


def evaluation_page(
    metrics: Metrics,
    report: Mapping[str, Any],
    *,
    truth: npt.NDArray[np.bool_],
    scores: npt.NDArray[np.floating[Any]],
) -> Page:
    """Return the page that shows an evaluation's report (see `reports.evaluation_report`)."""
    names, build = report["class_names"], report["build"]
    blocks: list[Table | Picture] = [
        _averages_table(metrics),
        _per_class_table(metrics, names),
        *_model_pictures(metrics, truth, scores, names),
        data_plots.labels_per_clip(report["labels_per_clip"]),
        data_plots.cooccurrence(report["cooccurrence"], class_names=names),
    ]
    if report["history"]:
        blocks.append(model_plots.training_curves(report["history"]))
    if build:
        blocks += [data_plots.outcomes(build["outcomes"]), label_counts(build)]
    return Page(
        title="Evaluation",
        lead=f"Macro F1 is {metrics.macro_f1:.3f} and micro F1 {metrics.micro_f1:.3f}, over "
        f"{metrics.n_items:,d} clips and {len(names)} {'class' if len(names) == 1 else 'classes'}.",
        tiles=_tiles(metrics),
        blocks=blocks,
        notes=_notes(metrics),
        provenance=report["provenance"],
    )


def _tiles(metrics: Metrics) -> list[Tile]:
    return [
        Tile("macro F1", metrics.macro_f1),
        Tile("micro F1", metrics.micro_f1),
        Tile("mAP", metrics.mean_average_precision),
        Tile("macro ROC-AUC", metrics.macro_roc_auc),
        Tile("Hamming score", metrics.hamming_score),
        Tile("exact match", metrics.exact_match),
    ]


def _averages_table(metrics: Metrics) -> Table:
    rows = [
        ("macro", metrics.macro_precision, metrics.macro_recall, metrics.macro_f1),
        ("micro", metrics.micro_precision, metrics.micro_recall, metrics.micro_f1),
    ]
    return Table("Precision, recall and F1", ("average", "precision", "recall", "F1"), rows)


def _per_class_table(metrics: Metrics, names: Mapping[str, str]) -> Table:
    rows = [
        (
            row.code,
            names[row.code],
            row.n_positive,
            row.n_predicted,
            row.precision,
            row.recall,
            row.f1,
            row.average_precision,
            row.roc_auc,
            row.threshold,
        )
        for row in metrics.per_class
    ]
    counts = ("class", "name", "in truth", "named")
    scores = ("precision", "recall", "F1", "AP", "ROC-AUC", "threshold")
    return Table("Per class", (*counts, *scores), rows)


def _model_pictures(
    metrics: Metrics,
    truth: npt.NDArray[np.bool_],
    scores: npt.NDArray[np.floating[Any]],
    names: Mapping[str, str],
) -> list[Picture]:
    rows = metrics.per_class
    limits = np.array([row.threshold for row in rows])
    bars = {
        "F1": [row.f1 for row in rows],
        "precision": [row.precision for row in rows],
        "recall": [row.recall for row in rows],
    }
    return [
        model_plots.class_scores(bars, class_names=names),
        model_plots.pr_curves(truth, scores, thresholds=limits, class_names=names),
        model_plots.score_histogram(truth, scores),
        model_plots.truth_and_tags(truth, scores >= limits, class_names=names),
    ]


def _notes(metrics: Metrics) -> list[str]:
    notes = [
        "Macro is the mean over the classes, each counting the same; micro takes all answers as "
        "one list, so common classes count more.",
        "AP is a class's average precision, mAP the mean of the classes' AP.",
        "A division by zero counts as 0: a class that is never named has precision 0 and F1 0.",
        "The Hamming score is the share of right yes-or-no answers; exact match is the share of "
        "clips whose labels are all right.",
    ]
    if metrics.undefined:
        notes.append(
            "Average precision and ROC-AUC need clips with the class and clips without it. They "
            f"are undefined, and left out of the means, for: {', '.join(metrics.undefined)}."
        )
    return notes
