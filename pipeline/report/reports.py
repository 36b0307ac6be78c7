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

from pipeline.arrays import Bools, Floats
from pipeline.report.build_page import build_page
from pipeline.report.evaluation_page import evaluation_page
from pipeline.report.page import Page
from pipeline.score.bootstrap import intervals
from pipeline.score.confusion import confusion_dict
from pipeline.score.metrics import Metrics
from pipeline.score.summary import build_summary, cooccurrence_counts, labels_per_clip
from pipeline.score.targets import Targets, is_there
from pipeline.score.validation import (
    CRITERION,
    Choice,
    Validation,
    compare_calibrations,
    compare_methods,
    compare_rules,
)

_N_FAILED_SHOWN = 50


def build_report(
    segments: pa.Table,
    ledger: pa.Table,
    *,
    class_names: Mapping[str, str],
    provenance: Mapping[str, str],
    history: pa.Table | None = None,
    pause: Mapping[str, float] | None = None,
    cap_text: str = "",
) -> tuple[dict[str, Any], Page]:
    """Return what became of a dataset: counts, and a page that shows them.

    `class_names` gives name by code in the vocabulary's order; `ledger` has one row a segment,
    `history` (the same when None) those of all runs; `pause` says how often and how long the
    source was down in the last run: n_outages, paused_s; `cap_text` what --max-per-class did.
    """
    summary = build_summary(
        segments,
        ledger,
        class_names=class_names,
        n_failed_shown=_N_FAILED_SHOWN,
        history=history,
    )
    outages = {"n_outages": 0, "paused_s": 0.0} | dict(pause or {})
    report = {**summary, "outages": outages, "cap": cap_text, "provenance": dict(provenance)}
    return report, build_page(report)


def evaluation_report(
    metrics: Metrics,
    *,
    truth: Targets,
    scores: Floats,
    class_codes: Sequence[str],
    class_names: Mapping[str, str],
    history: Sequence[Mapping[str, Any]],
    build: Mapping[str, Any] | None,
    provenance: Mapping[str, str],
    choice: Choice | None = None,
    own: npt.ArrayLike | None = None,
    held: Validation | None = None,
    named: Bools | None = None,
    groups: Sequence[str] | None = None,
) -> tuple[dict[str, Any], Page]:
    """Return how well a model tags: its metrics, and a page that shows them.

    `truth` (NaN where unknown) and `scores` are the [n_items, n_classes] that `metrics` was made
    from; `history` is the
    training's, empty where unknown, and `build` the report of the dataset's build. `choice` says
    how scores became labels, `own` gives the model's own thresholds (those of `metrics` when None),
    and `held` what the model says of validation, where that is known. `named` are the labels that
    a tagging run gave, where there was one, `[n_items, n_classes]`; `groups` is what the items were
    cut from, each its own when None.
    """
    limits = np.array([row.threshold for row in metrics.per_class])
    codes = list(class_codes)
    choice = choice or Choice("s2")
    own = limits if own is None else own
    calibration, diagrams = compare_calibrations(
        truth, scores, aggregation=choice.aggregation, held=held, class_codes=codes
    )
    rules = compare_rules(
        truth, scores, choice=choice, held=held, own=own, class_codes=codes, named=named
    )
    methods = compare_methods(held, class_codes=codes) if held is not None else []
    predicted = scores >= limits
    report = {
        "metrics": metrics.to_dict(),
        "class_names": {code: class_names.get(code, code) for code in class_codes},
        "labels_per_clip": {
            "in the truth": labels_per_clip(is_there(truth)),
            "named by the model": labels_per_clip(predicted),
        },
        "cooccurrence": cooccurrence_counts(is_there(truth)).tolist(),
        "history": [{key: _finite(value) for key, value in row.items()} for row in history],
        "build": build,
        "provenance": dict(provenance),
        "intervals": intervals(truth, scores, thresholds=limits, class_codes=codes, groups=groups),
        "calibration": calibration,
        "confusion": confusion_dict(truth, predicted, class_codes=codes),
        "thresholds": {
            "used": choice.rule,
            "own": choice.own,
            "target_precision": choice.target_precision,
            "rules": rules,
        },
        "aggregation": {
            "used": choice.aggregation,
            "best": methods[0]["method"] if methods else None,
            "criterion": CRITERION,
            "methods": methods,
        },
    }
    page = evaluation_page(metrics, report, truth=truth, scores=scores, diagrams=diagrams)
    return report, page


def _finite(value: Any) -> Any:
    return None if isinstance(value, float) and not math.isfinite(value) else value
