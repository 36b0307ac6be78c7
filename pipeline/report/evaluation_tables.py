"""Metrics and an evaluation's report in, the `Table`s of its page out. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from pipeline.evaluation.labels.aggregate import TITLES, TRACKS
from pipeline.evaluation.statistics.metrics import MORE, Metrics
from pipeline.report.page import Cell, Table
from schemas.evaluation import EvaluationRecord

METHOD_NAMES = {
    **TITLES,
    TRACKS: f"{TRACKS}: S2 over 10 s each, then the mean of the highest three",
}
RULE_NAMES = {
    "own": "{own}",
    "fixed": "0.5 for every class",
    "tuned": "largest F1 on validation",
    "precision": "precision {target:g} on validation",
    "labels": "those of the run and its gate: the labels in its TAGS",
}


def averages_table(metrics: Metrics) -> Table:
    """Return precision, recall and F1 under every average."""
    figures, macros = ("precision", "recall", "f1"), macro_names(metrics)
    keys = {name: [f"macro_{figure}{end}" for figure in figures] for name, end in macros.items()}
    keys |= {a: [f"{a}_{figure}" for figure in figures] for a in ("micro", "weighted", "samples")}
    rows = [(name, *(getattr(metrics, key) for key in of)) for name, of in keys.items()]
    return Table("Precision, recall and F1", ("average", "precision", "recall", "F1"), rows)


def macro_names(metrics: Metrics) -> dict[str, str]:
    """Return how macro figures are called, and how their keys end.

    Where some class is absent there are two: the first is of the classes that the truth has, the
    second counts the others as 0.
    """
    n_classes = len(metrics.per_class)
    if metrics.n_present == n_classes:
        return {"macro": "_present"}
    there = f"macro, the {metrics.n_present} of {n_classes} classes that are there"
    return {there: "_present", f"macro, all {n_classes} classes": ""}


def figures_table(metrics: Metrics, report: EvaluationRecord) -> Table:
    """Return the figures of all classes, with an interval where there is one."""
    found = report.intervals
    raw = report.calibration["scores"]["raw"]["macro"]
    rows: list[tuple[Cell, ...]] = [
        *(
            (
                name.replace("macro", "macro F1"),
                getattr(metrics, f"macro_f1{end}"),
                interval_text(found[f"macro_f1{end}"]),
            )
            for name, end in macro_names(metrics).items()
        ),
        ("micro F1", metrics.micro_f1, interval_text(found["micro_f1"])),
        (
            "mAP",
            metrics.mean_average_precision,
            interval_text(found["mean_average_precision"]),
        ),
        ("macro ROC-AUC", metrics.macro_roc_auc, ""),
        ("d-prime", metrics.d_prime, ""),
        ("LRAP", metrics.label_ranking_average_precision, ""),
        ("balanced accuracy", metrics.balanced_accuracy, ""),
        ("Hamming score", metrics.hamming_score, ""),
        ("exact match", metrics.exact_match, ""),
        ("ECE, mean of the classes", raw, ""),
        *((one.title, metrics.more[one.name], "") for one in MORE),
    ]
    drawn = drawn_whole(found["n_groups"], metrics.n_items)
    note = (
        f"The intervals hold {found['level']:.0%} of {found['n_resamples']:,d} resamples of the "
        f"clips{drawn}: a figure of other clips, as many and as mixed, may lie about as far away."
    )
    return Table("All figures", ("figure", "value", f"{found['level']:.0%} interval"), rows, note)


def per_class_table(metrics: Metrics, report: EvaluationRecord) -> Table:
    """Return every class's figures, with the interval of its F1 and AP."""
    names, has_unknown = report.class_names, any(row.n_unknown for row in metrics.per_class)
    rows = [
        (
            row.code,
            names[row.code],
            row.n_positive,
            *([row.n_unknown] if has_unknown else []),
            row.n_predicted,
            row.precision,
            row.recall,
            row.f1,
            interval_text(found["f1"]),
            row.average_precision,
            interval_text(found["average_precision"]),
            row.threshold,
        )
        for row, found in zip(metrics.per_class, report.intervals["per_class"], strict=True)
    ]
    counts = ("class", "name", "in truth", *(["unknown"] if has_unknown else []), "named")
    scores = ("precision", "recall", "F1", "F1 from to", "AP", "AP from to", "threshold")
    note = "Clips of which the labels leave a class open, unknown, do not count for it."
    return Table("Per class", (*counts, *scores), rows, note if has_unknown else "")


def ranking_table(metrics: Metrics, report: EvaluationRecord) -> Table:
    """Return every class's figures of ranking, and how far its scores are from probabilities."""
    kinds = report.calibration["scores"]
    rows = [
        (
            row.code,
            report.class_names[row.code],
            row.roc_auc,
            row.d_prime,
            row.balanced_accuracy,
            *(kind["per_class"][row.code] for kind in kinds.values()),
        )
        for row in metrics.per_class
    ]
    means = [kind["macro"] for kind in kinds.values()]
    rows.append(
        ("all", "mean", metrics.macro_roc_auc, metrics.d_prime, metrics.balanced_accuracy, *means)
    )
    errors = ["ECE" if name == "raw" else f"ECE, {name}" for name in kinds]
    columns = ("class", "name", "ROC-AUC", "d-prime", "balanced accuracy", *errors)
    note = (
        "ECE is 0 where scores are probabilities; the d-prime of all is that of the mean ROC-AUC."
    )
    if len(kinds) > 1:
        note += (
            " The map (Platt scaling) was fitted on validation; jobs.evaluate --keep-calibration "
            "keeps it, and jobs.tag_catalog --calibrated then writes probabilities."
        )
    return Table("Ranking and calibration, by class", columns, rows, note)


def rules_table(report: EvaluationRecord) -> Table:
    """Return what other thresholds would have given."""
    rules = report.thresholds
    rows = [
        (
            RULE_NAMES[row["rule"]].format(own=rules["own"], target=rules["target_precision"])
            + (" (used here)" if row["rule"] == rules["used"] else ""),
            row["macro_precision_present"],
            row["macro_recall_present"],
            row["macro_f1_present"],
            row["micro_f1"],
        )
        for row in rules["rules"]
    ]
    columns = ("thresholds", "macro precision", "macro recall", "macro F1", "micro F1")
    return Table("Thresholds", columns, rows, " ".join(_rule_notes(report)))


def methods_table(report: EvaluationRecord) -> Table:
    """Return how the aggregations do on validation, the best first."""
    found = report.aggregation
    rows = [
        (
            METHOD_NAMES.get(row["method"], row["method"])
            + (" (used here)" if row["method"] == found["used"] else ""),
            row["macro_f1_present_tuned"],
            row["macro_f1_present"],
            row["mean_average_precision"],
            row["loss"],
        )
        for row in found["methods"]
    ]
    columns = ("from windows to clip", "macro F1, tuned", "macro F1, own", "mAP", "loss")
    return Table(
        "Windows to clips, on validation",
        columns,
        rows,
        f"Best first, by {found['criterion']}: a threshold that suits one aggregation does not "
        "suit another. The loss is the binary cross-entropy of the scores.",
    )


def drawn_whole(n_groups: int, n_items: int) -> str:
    """Return what resamples draw, where that is not clip by clip.

    >>> drawn_whole(4, 9), drawn_whole(9, 9)
    (' (of the 4 recordings they are from, drawn whole)', '')
    """
    if n_groups == n_items:
        return ""
    return f" (of the {n_groups:,d} recordings they are from, drawn whole)"


def interval_text(found: Mapping[str, float | None]) -> str:
    """Return '0.41 to 0.52', or a dash where there is no interval.

    >>> interval_text({"low": 0.412, "high": 0.52})
    '0.41 to 0.52'
    """
    if found["low"] is None or found["high"] is None:
        return "\u2013"
    return f"{found['low']:.2f} to {found['high']:.2f}"


def _rule_notes(report: EvaluationRecord) -> list[str]:
    """Return what the rules could not do, as sentences: each once, of all classes it is true of."""
    codes_of: dict[str, list[str]] = {}
    for note in dict.fromkeys(x for row in report.thresholds["rules"] for x in row["notes"]):
        code, _, why = note.partition(": ")
        if code in report.class_names:
            codes_of.setdefault(why, []).append(code)
        else:
            codes_of.setdefault(note, [])
    return [_sentence(why, codes) for why, codes in codes_of.items()]


def _sentence(why: str, codes: Sequence[str]) -> str:
    if len(codes) > 1:
        why = why.replace("its threshold is", "their threshold is")
    return f"{', '.join(codes)}: {why}." if codes else f"{why}."
