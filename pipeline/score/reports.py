"""SEGMENTS and LEDGER, or metrics and scores, in; a report's json and its `Page` out. PURE.

The json holds every number of the page, and nothing in it is NaN.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.score.build_page import build_page
from pipeline.score.evaluation_page import evaluation_page
from pipeline.score.metrics import Metrics
from pipeline.score.page import Page
from pipeline.score.summary import build_summary, cooccurrence_counts, labels_per_clip

_N_FAILED_SHOWN = 50


def build_report(
    segments: pa.Table,
    ledger: pa.Table,
    *,
    class_names: Mapping[str, str],
    provenance: Mapping[str, str],
    history: pa.Table | None = None,
    pause: Mapping[str, float] | None = None,
) -> tuple[dict[str, Any], Page]:
    """Return what became of a data set: counts, and a page that shows them.

    `class_names` gives name by code in the vocabulary's order; `ledger` has one row a segment,
    `history` (the same when None) those of all runs; `pause` says how often and how long the
    source was down in the last run: n_outages, paused_s.
    """
    summary = build_summary(
        segments,
        ledger,
        class_names=class_names,
        n_failed_shown=_N_FAILED_SHOWN,
        history=history,
    )
    outages = {"n_outages": 0, "paused_s": 0.0} | dict(pause or {})
    report = {**summary, "outages": outages, "provenance": dict(provenance)}
    return report, build_page(report)


def evaluation_report(
    metrics: Metrics,
    *,
    truth: npt.NDArray[np.bool_],
    scores: npt.NDArray[np.floating[Any]],
    class_codes: Sequence[str],
    class_names: Mapping[str, str],
    history: Sequence[Mapping[str, Any]],
    build: Mapping[str, Any] | None,
    provenance: Mapping[str, str],
) -> tuple[dict[str, Any], Page]:
    """Return how well a model tags: its metrics, and a page that shows them.

    `truth` and `scores` are the [n_items, n_classes] that `metrics` was made from; `history` is the
    training's, empty where unknown, and `build` the report of the data set's build.
    """
    predicted = scores >= np.array([row.threshold for row in metrics.per_class])
    report = {
        "metrics": metrics.to_dict(),
        "class_names": {code: class_names.get(code, code) for code in class_codes},
        "labels_per_clip": {
            "in the truth": labels_per_clip(truth),
            "named by the model": labels_per_clip(predicted),
        },
        "cooccurrence": cooccurrence_counts(truth).tolist(),
        "history": [{key: _finite(value) for key, value in row.items()} for row in history],
        "build": build,
        "provenance": dict(provenance),
    }
    return report, evaluation_page(metrics, report, truth=truth, scores=scores)


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
