"""A comparison of models in, its `Page` out. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pipeline.report.evaluation_tables import drawn_whole, interval_text
from pipeline.report.page import Page, Table, Tile
from pipeline.report.picture import SERIES, Picture
from pipeline.report.plots.model_plots import class_scores
from pipeline.report.wording import duration_text, macro_text
from schemas.comparison import ComparisonRecord

_FIGURES = {
    "hamming_score": "Hamming score",
    "macro_precision_present": "macro precision",
    "macro_recall_present": "macro recall",
}
_N_DRAWN = len(SERIES)
_N_CHARS = 30  # of a name in the legend


def comparison_page(report: ComparisonRecord) -> Page:
    """Return the page that shows a comparison (see `comparison.compare`)."""
    models = report.models
    best = models[0]
    return Page(
        title="Comparison",
        lead=f"Of {len(models)} models, {best['name']} has the largest macro F1, "
        f"{model_macro_text(report, best)}, over {report.n_items:,d} clips and "
        f"{len(report.class_names)} classes.",
        tiles=[Tile(row["name"], row["macro_f1_present"], "macro F1") for row in models[:6]],
        blocks=[
            _models_table(report),
            _reports_figures_table(report),
            _tests_table(report),
            _reports_tests_table(report),
            _f1_picture(report),
            _per_class_table(report),
            *_cost_tables(report),
            _origins_table(report),
        ],
        notes=_notes(report),
        provenance=report.provenance,
    )


def model_macro_text(report: ComparisonRecord, row: Mapping[str, Any]) -> str:
    """Return a model's macro F1: of the classes that are there and, where it is another, of all."""
    n_classes = len(report.class_names)
    return macro_text(row["macro_f1_present"], row["macro_f1"], report.n_present, n_classes)


def p_text(p_value: float | None, n_resamples: int) -> str:
    """Return a p value as far as so many resamples can tell it.

    >>> p_text(0.0311, 1000), p_text(2 / 1001, 1000), p_text(None, 1000)
    ('0.031', '< 0.01', '–')
    """
    if p_value is None:
        return "\u2013"
    return "< 0.01" if p_value < 10 / n_resamples and p_value < 0.01 else f"{p_value:.3f}"


def _models_table(report: ComparisonRecord) -> Table:
    rows = [
        (
            row["name"],
            row["macro_f1_present"],
            interval_text(row["intervals"]["macro_f1_present"]),
            row["macro_f1"],
            row["mean_average_precision"],
            interval_text(row["intervals"]["mean_average_precision"]),
            row["micro_f1"],
            row["macro_roc_auc"],
            row["exact_match"],
        )
        for row in report.models
    ]
    columns = ("model", "macro F1", "from to", "of all classes", "mAP", "from to", "micro F1")
    note = (
        "Best macro F1 first. It is the mean over the classes that the truth has; of all classes, "
        "those that no clip has count as 0."
    )
    return Table("Models", (*columns, "ROC-AUC", "exact match"), rows, note)


def _reports_figures_table(report: ComparisonRecord) -> Table:
    rows = [
        (
            row["name"],
            *(
                cell
                for name in _FIGURES
                for cell in (row[name], interval_text(row["intervals"][name]))
            ),
        )
        for row in report.models
    ]
    columns = [x for words in _FIGURES.values() for x in (words, "from to")]
    note = (
        "The Hamming score is the share of right yes-or-no answers; macro is over the classes that "
        "the truth has."
    )
    return Table("Hamming score, precision and recall", ("model", *columns), rows, note)


def _reports_tests_table(report: ComparisonRecord) -> Table:
    rows = [
        (
            row["name"],
            *(
                cell
                for test in (row["against_best"][name] for name in _FIGURES)
                for cell in (test["difference"], p_text(test["p_holm"], report.n_resamples))
            ),
        )
        for row in report.models[1:]
    ]
    columns = [x for words in _FIGURES.values() for x in (words, "p")]
    title = "Against the best: Hamming score, precision and recall"
    return Table(title, ("model", *columns), rows, "The intervals are in comparison.json.")


def _cost_tables(report: ComparisonRecord) -> list[Table]:
    """Return what the trainings took, where any evaluation says it."""
    cells = [(row["name"], *_cost_cells(row["training"])) for row in report.models]
    if not any(seconds or memory for _, seconds, memory in cells):
        return []
    note = "Of one worker; times of different machines do not compare."
    columns = ("model", "time", "peak memory")
    return [Table("What the trainings took", columns, cells, note, numbers=columns[1:])]


def _cost_cells(training: Mapping[str, float | None]) -> tuple[str | None, str | None]:
    seconds, peak_mib = training.get("seconds"), training.get("peak_memory_mib")
    return (
        None if seconds is None else duration_text(seconds),
        None if peak_mib is None else f"{peak_mib:,.0f} MiB",
    )


def _tests_table(report: ComparisonRecord) -> Table:
    rows = []
    for row in report.models[1:]:
        f1, precision = (
            row["against_best"][name] for name in ("macro_f1_present", "mean_average_precision")
        )
        rows.append(
            (
                row["name"],
                f1["difference"],
                _range_text(f1),
                p_text(f1["p_holm"], report.n_resamples),
                precision["difference"],
                _range_text(precision),
                p_text(precision["p_holm"], report.n_resamples),
            )
        )
    columns = ("model", "macro F1", "from to", "p", "mAP", "from to", "p")
    note = (
        f"Each model less {report.best}, on the same clips. p is how often resampled clips "
        "would show no difference or the opposite one, on both sides: below 0.05 the difference is "
        "hardly chance. It is corrected for the number of models (Holm)."
    )
    return Table("Against the best", columns, rows, note)


def _range_text(test: Mapping[str, float | None]) -> str:
    low, high = test["low"], test["high"]
    return "\u2013" if low is None or high is None else f"{low:+.3f} to {high:+.3f}"


def _f1_picture(report: ComparisonRecord) -> Picture:
    drawn = report.models[:_N_DRAWN]
    left = len(report.models) - len(drawn)
    short = [_shortened(row["name"]) for row in drawn]
    names = short if len(set(short)) == len(short) else [row["name"] for row in drawn]
    by_name = dict(zip(names, drawn, strict=True))
    return class_scores(
        {name: [one["f1"] for one in row["per_class"]] for name, row in by_name.items()},
        class_names=report.class_names,
        ranges={
            name: [(x["interval"]["low"], x["interval"]["high"]) for x in row["per_class"]]
            for name, row in by_name.items()
        },
        title="F1 by class",
        what="F1 of every class at the model's threshold."
        + (f" The {left} models of the smallest macro F1 are left out." if left else ""),
    )


def _shortened(name: str) -> str:
    """Return the end of a name that is too long for a legend."""
    return name if len(name) <= _N_CHARS else f"…{name[1 - _N_CHARS :]}"


def _per_class_table(report: ComparisonRecord) -> Table:
    models = report.models
    rows = [
        (
            code,
            name,
            models[0]["per_class"][k]["n_positive"],
            *(row["per_class"][k]["f1"] for row in models),
        )
        for k, (code, name) in enumerate(report.class_names.items())
    ]
    columns = ("class", "name", "in truth", *(row["name"] for row in models))
    return Table("F1 by class, in numbers", columns, rows)


def _origins_table(report: ComparisonRecord) -> Table:
    keys = ("name", "model_id", "aggregation", "thresholds", "scored", "folder")
    rows = [tuple(row[key] for key in keys) for row in report.models]
    return Table("What was compared", ("name", "model", *keys[2:]), rows)


def _notes(report: ComparisonRecord) -> list[str]:
    drawn = drawn_whole(report.n_groups, report.n_items)
    return [
        f"The intervals hold {report.level:.0%} of {report.n_resamples:,d} resamples of the "
        f"clips{drawn}. Two intervals may overlap where the difference of the models is sure: they "
        "find the same clips hard, and the paired test takes that into account.",
        "The best was chosen by the same figures that are compared, which flatters it a little.",
        *_different_thresholds(report),
    ]


def _different_thresholds(report: ComparisonRecord) -> list[str]:
    """Return what to know where one model's thresholds were chosen in another way than others'."""
    if len({row["thresholds"] for row in report.models}) < 2:
        return []
    chosen = ", ".join(f"{row['name']}: {row['thresholds']}" for row in report.models)
    return [
        f"Thresholds were chosen in different ways ({chosen}), so F1, precision, recall, Hamming "
        "score and exact match differ by that, too; mAP and ROC-AUC do not depend on it. For the "
        "same on all sides give jobs.evaluate the same --thresholds."
    ]
