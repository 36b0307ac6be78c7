"""An evaluation in, its `Page` out. PURE."""

from __future__ import annotations

from collections.abc import Mapping

from pipeline.evaluation.statistics.confusion import confusion_counts, named_instead
from pipeline.evaluation.statistics.evaluation import Evaluation, Measured
from pipeline.evaluation.statistics.metrics import Metrics
from pipeline.report.evaluation_tables import (
    averages_table,
    figures_table,
    methods_table,
    per_class_table,
    ranking_table,
    rules_table,
)
from pipeline.report.page import Page, Table, Tile
from pipeline.report.pages.build_page import label_counts
from pipeline.report.picture import Picture
from pipeline.report.plots import curves, data_plots, model_plots
from pipeline.report.plots.confusion import confusion_matrices, instead_map
from pipeline.report.wording import macro_text
from schemas.evaluation import EvaluationRecord


def evaluation_page(evaluation: Evaluation) -> Page:
    """Return the page that shows an evaluation."""
    measured, record = evaluation.measured, evaluation.record
    metrics, names, build = measured.metrics, record.class_names, measured.build
    blocks: list[Table | Picture] = [
        figures_table(metrics, record),
        averages_table(metrics),
        per_class_table(metrics, record),
        ranking_table(metrics, record),
        rules_table(record),
        *([methods_table(record)] if record.aggregation["methods"] else []),
        *_model_pictures(measured, record),
        curves.reliability(evaluation.diagrams),
        *_confusion_pictures(measured, names),
        data_plots.labels_per_clip(record.labels_per_clip),
        data_plots.cooccurrence(record.cooccurrence, class_names=names),
    ]
    if record.history:
        blocks.append(model_plots.training_curves(record.history))
    if build:
        blocks += [data_plots.outcomes(build.outcomes), label_counts(build)]
    return Page(
        title="Evaluation",
        lead=f"Macro F1 is {_macro_text(metrics)} and micro F1 {metrics.micro_f1:.3f}, over "
        f"{metrics.n_items:,d} clips and {len(names)} {'class' if len(names) == 1 else 'classes'}.",
        tiles=_tiles(metrics),
        blocks=blocks,
        notes=_notes(metrics),
        provenance=record.provenance,
    )


def _tiles(metrics: Metrics) -> list[Tile]:
    return [
        Tile("macro F1", metrics.macro_f1_present, _macro_note(metrics)),
        Tile("micro F1", metrics.micro_f1),
        Tile("mAP", metrics.mean_average_precision),
        Tile("macro ROC-AUC", metrics.macro_roc_auc),
        Tile("Hamming score", metrics.hamming_score),
        Tile("exact match", metrics.exact_match),
    ]


def _macro_text(metrics: Metrics) -> str:
    n_classes = len(metrics.per_class)
    return macro_text(metrics.macro_f1_present, metrics.macro_f1, metrics.n_present, n_classes)


def _macro_note(metrics: Metrics) -> str:
    n_classes = len(metrics.per_class)
    if metrics.n_present == n_classes:
        return ""
    return (
        f"of {metrics.n_present} classes that are there; {metrics.macro_f1:.3f} of all {n_classes}"
    )


def _model_pictures(measured: Measured, record: EvaluationRecord) -> list[Picture]:
    rows, names = measured.metrics.per_class, record.class_names
    truth, scores, limits = measured.scored.truth, measured.scored.scores, measured.limits
    bars = {
        "F1": [row.f1 for row in rows],
        "precision": [row.precision for row in rows],
        "recall": [row.recall for row in rows],
    }
    ranges = {
        "F1": [(row["f1"]["low"], row["f1"]["high"]) for row in record.intervals["per_class"]]
    }
    return [
        model_plots.class_scores(bars, class_names=names, ranges=ranges),
        curves.pr_curves(truth, scores, thresholds=limits, class_names=names),
        curves.roc_curves(truth, scores, thresholds=limits, class_names=names),
        model_plots.score_histogram(truth, scores),
    ]


def _confusion_pictures(measured: Measured, names: Mapping[str, str]) -> list[Picture]:
    truth, predicted = measured.scored.truth, measured.predicted
    counts = confusion_counts(truth, predicted)
    return [
        confusion_matrices(counts, class_names=names),
        instead_map(named_instead(truth, predicted), counts[:, 1], class_names=names),
        model_plots.truth_and_tags(truth, predicted, class_names=names),
    ]


def _notes(metrics: Metrics) -> list[str]:
    notes = [
        "Macro is the mean over the classes, each counting the same; micro takes all answers as "
        "one list, so common classes count more. Weighted is the mean by how often a class is "
        "there; samples is the mean over the clips.",
        "AP is a class's average precision, mAP the mean of the classes' AP.",
        "A division by zero counts as 0: a class that is never named has precision 0 and F1 0.",
        "The Hamming score is the share of right yes-or-no answers; exact match is the share of "
        "clips whose labels are all right. Balanced accuracy is the mean of the share of right "
        "answers where the class is there and where it is not.",
        "LRAP asks, of every clip, how far up its classes stand among all by score. D-prime is how "
        "many standard deviations the scores with and without a class would lie apart, were they "
        "normal, to give that ROC-AUC.",
    ]
    if absent := [row.code for row in metrics.per_class if not row.n_positive]:
        notes.append(
            f"No clip of the truth has {', '.join(absent)}: F1 is 0 there. Macro F1, precision and "
            "recall are of the other classes, where it does not say that they are of all."
        )
    if n_unknown := sum(row.n_unknown for row in metrics.per_class):
        notes.append(
            f"{n_unknown:,d} answers are left out of all figures, as the labels leave open whether "
            "the class is there: its family is labelled, or a label excludes it."
        )
    if metrics.undefined:
        notes.append(
            "Average precision and ROC-AUC need clips with the class and clips without it. They "
            f"are undefined, and left out of the means, for: {', '.join(metrics.undefined)}."
        )
    return notes
