"""What a cross-validation came to, from the metrics of its folds. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from pipeline.evaluation.statistics.metrics import Metrics
from schemas.evaluation import FoldsRecord

FIGURES = (
    "macro_f1_present",
    "macro_f1",
    "micro_f1",
    "mean_average_precision",
    "macro_roc_auc",
    "exact_match",
)
"""The figures of `Metrics` that are summed up over the folds."""


def folds_record(
    together: Metrics,
    folds: Sequence[Metrics],
    model_ids: Sequence[str],
    *,
    provenance: Mapping[str, str],
) -> FoldsRecord:
    """Return what a cross-validation came to.

    `together` is of all clips, each scored by the fold that held it out; a mean over folds stands
    with its sample standard deviation, which says how much a figure owes to chance.
    """
    return FoldsRecord(
        summary={key: _summary([getattr(one, key) for one in folds]) for key in FIGURES},
        folds=[
            {"model_id": name, **one.to_dict()} for name, one in zip(model_ids, folds, strict=True)
        ],
        together=together.to_dict(),
        provenance=dict(provenance),
    )


def _summary(values: Sequence[float | None]) -> dict[str, float | None]:
    """Return mean and deviation of the folds where a figure is defined."""
    there = [value for value in values if value is not None]
    return {
        "mean": float(np.mean(there)) if there else None,
        "deviation": float(np.std(there, ddof=1)) if len(there) > 1 else None,
    }
