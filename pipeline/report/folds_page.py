"""The metrics of every fold of a cross-validation in; a report's json and its `Page` out. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from pipeline.report.page import Page, Table, Tile
from pipeline.score.metrics import Metrics

_FIGURES = {
    "macro_f1_present": "macro F1",
    "macro_f1": "macro F1, all classes",
    "micro_f1": "micro F1",
    "mean_average_precision": "mAP",
    "macro_roc_auc": "ROC-AUC",
    "exact_match": "exact match",
}


def folds_report(
    together: Metrics,
    folds: Sequence[Metrics],
    model_ids: Sequence[str],
    page: Page,
    *,
    provenance: Mapping[str, str],
) -> tuple[dict[str, Any], Page]:
    """Return what a cross-validation came to.

    `together` and `page` are of all clips, each scored by the fold that held it out; a mean over
    folds stands with its sample standard deviation, which says how much a figure owes to chance.
    """
    values = {key: [getattr(one, key) for one in folds] for key in _FIGURES}
    summary = {key: _summary(row) for key, row in values.items()}
    report = {
        "summary": summary,
        "folds": [
            {"model_id": name, **one.to_dict()} for name, one in zip(model_ids, folds, strict=True)
        ],
        "together": together.to_dict(),
        "provenance": dict(provenance),
    }
    table = Table(
        "Folds",
        ["held-out fold", "model", "clips", *_FIGURES.values()],
        [
            [k, name, one.n_items, *(values[key][k] for key in _FIGURES)]
            for k, (name, one) in enumerate(zip(model_ids, folds, strict=True))
        ],
        note="The clips of one video are always in one fold. Macro F1 is the mean over the classes "
        "that the fold's clips have; over all classes, the others count as 0.",
    )
    best, of_all = summary["macro_f1_present"], summary["macro_f1"]
    words = f"{best['mean'] or 0:.3f} ± {best['deviation'] or 0:.3f}"
    is_whole = all(one.n_present == len(one.per_class) for one in folds)
    aside = "" if is_whole else f"of the classes that are there; {of_all['mean']:.3f} of all"
    spread = f"± {best['deviation'] or 0:.3f}{', ' if aside else ''}{aside}"
    tile = Tile("macro F1 over folds", best["mean"], spread)
    page = replace(
        page,
        title="Cross-validation",
        lead=f"{len(folds)} folds: macro F1 is {words}{f' ({aside})' if aside else ''}. All "
        "other figures are of all clips together, each scored by the fold that held it out.",
        tiles=[tile, *page.tiles],
        blocks=[table, *page.blocks],
    )
    return report, page


def _summary(values: Sequence[float | None]) -> dict[str, float | None]:
    """Return mean and deviation of the folds where a figure is defined."""
    there = [value for value in values if value is not None]
    return {
        "mean": float(np.mean(there)) if there else None,
        "deviation": float(np.std(there, ddof=1)) if len(there) > 1 else None,
    }
