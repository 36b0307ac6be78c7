"""The `Page` of a cross-validation's results. PURE."""

from __future__ import annotations

from dataclasses import replace

from pipeline.report.page import Page, Table, Tile
from schemas.evaluation import FoldsRecord

_FIGURES = {
    "macro_f1_present": "macro F1",
    "macro_f1": "macro F1, all classes",
    "micro_f1": "micro F1",
    "mean_average_precision": "mAP",
    "macro_roc_auc": "ROC-AUC",
    "exact_match": "exact match",
}


def folds_page(record: FoldsRecord, page: Page) -> Page:
    """Return the page of a cross-validation; `page` is that of all clips together."""
    best, of_all = record.summary["macro_f1_present"], record.summary["macro_f1"]
    words = f"{best['mean'] or 0:.3f} ± {best['deviation'] or 0:.3f}"
    is_whole = all(row["n_positive"] for fold in record.folds for row in fold["per_class"])
    aside = "" if is_whole else f"of the classes that are there; {of_all['mean']:.3f} of all"
    spread = f"± {best['deviation'] or 0:.3f}{', ' if aside else ''}{aside}"
    tile = Tile("macro F1 over folds", best["mean"], spread)
    return replace(
        page,
        title="Cross-validation",
        lead=f"{len(record.folds)} folds: macro F1 is {words}{f' ({aside})' if aside else ''}. All "
        "other figures are of all clips together, each scored by the fold that held it out.",
        tiles=[tile, *page.tiles],
        blocks=[_folds_table(record), *page.blocks],
    )


def _folds_table(record: FoldsRecord) -> Table:
    rows = [
        [k, one["model_id"], one["n_items"], *(one[key] for key in _FIGURES)]
        for k, one in enumerate(record.folds)
    ]
    return Table(
        "Folds",
        ["held-out fold", "model", "clips", *_FIGURES.values()],
        rows,
        note="The clips of one video are always in one fold. Macro F1 is the mean over the classes "
        "that the fold's clips have; over all classes, the others count as 0.",
    )
