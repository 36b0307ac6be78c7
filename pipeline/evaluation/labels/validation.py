"""The aggregation, thresholds and calibration that scores of validation items speak for.

Whatever is chosen is chosen here, on validation, and then measured on other items. PURE.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
from sklearn.metrics import log_loss

from pipeline.arrays import Bools, Float64, Floats
from pipeline.errors import UsageError
from pipeline.evaluation.labels import calibration, thresholds
from pipeline.evaluation.labels.calibration import Reliability, calibration_errors, reliability
from pipeline.evaluation.labels.targets import Targets, is_known, is_there
from pipeline.evaluation.labels.thresholds import TARGET_PRECISION, Thresholds
from pipeline.evaluation.statistics.metrics import PRESENT, Metrics, multilabel_metrics

CRITERION = "macro F1 of the classes that are there, at tuned thresholds"


@dataclass(frozen=True)
class Validation:
    """What a model says of the validation items."""

    truth: Targets
    """Shape [n_items, n_classes]; NaN where it is unknown."""
    scores: Mapping[str, Floats]
    """By aggregation, each of the same shape."""
    own: Mapping[str, Float64]
    """The model's own thresholds by aggregation, `[n_classes]`."""


@dataclass(frozen=True)
class Choice:
    """How the scores of the items that are measured become labels."""

    aggregation: str
    rule: str = "own"
    """How thresholds are found, one of `thresholds.RULES`."""
    target_precision: float = TARGET_PRECISION
    own: str = "the model's own"
    """Whose thresholds the rule `own` means, in words."""


def compare_methods(held: Validation, *, class_codes: Sequence[str]) -> list[dict[str, Any]]:
    """Return how well each aggregation does on validation, the best first by `CRITERION`.

    The tuned thresholds are tuned on the same items, so that figure flatters all alike; own
    thresholds mean something else to every aggregation, and would favour the one they suit.
    """
    rows = []
    for method, scores in held.scores.items():
        tuned = thresholds.tuned(held.truth, scores, class_codes=class_codes).array()
        at = [
            multilabel_metrics(held.truth, scores, thresholds=limits, class_codes=class_codes)
            for limits in (held.own[method], tuned)
        ]
        rows.append(
            {
                "method": method,
                "macro_f1_present": at[0].macro_f1_present,
                "macro_f1_present_tuned": at[1].macro_f1_present,
                "macro_f1": at[0].macro_f1,
                "macro_f1_tuned": at[1].macro_f1,
                "mean_average_precision": at[0].mean_average_precision,
                "loss": _loss(held.truth, scores),
            }
        )
    return sorted(rows, key=lambda row: -row["macro_f1_tuned"])


def choose_thresholds(
    choice: Choice, held: Validation | None, *, own: npt.ArrayLike, class_codes: Sequence[str]
) -> Thresholds:
    """Return the thresholds of a rule; UsageError where it needs validation and there is none."""
    if choice.rule not in thresholds.RULES:
        raise UsageError(f"rule {choice.rule!r}: expected one of {', '.join(thresholds.RULES)}")
    if choice.rule == "own":
        limits = np.broadcast_to(np.asarray(own, np.float64), len(class_codes))
        return Thresholds(dict(zip(class_codes, limits.tolist(), strict=True)))
    if choice.rule == "fixed":
        return thresholds.fixed(class_codes)
    if held is None:
        raise UsageError(f"thresholds by the rule {choice.rule!r} need validation clips")
    scores = held.scores[choice.aggregation]
    if choice.rule == "tuned":
        return thresholds.tuned(held.truth, scores, class_codes=class_codes)
    return thresholds.for_precision(
        held.truth, scores, class_codes=class_codes, target=choice.target_precision
    )


def compare_rules(
    truth: Targets,
    scores: Floats,
    *,
    choice: Choice,
    held: Validation | None,
    own: npt.ArrayLike,
    class_codes: Sequence[str],
    named: Bools | None = None,
) -> list[dict[str, Any]]:
    """Return how well the items are tagged with the thresholds of every rule that can be had.

    `named`, `[n_items, n_classes]`, are the labels that a tagging run gave, by a gate as well: the
    rule `labels`, which has no thresholds.
    """
    rows = []
    for rule in thresholds.RULES if held is not None else ("own", "fixed"):
        found = choose_thresholds(
            replace(choice, rule=rule), held, own=own, class_codes=class_codes
        )
        at = multilabel_metrics(truth, scores, thresholds=found.array(), class_codes=class_codes)
        rows.append(_rule_row(rule, at, found))
    if named is not None:
        at = multilabel_metrics(truth, named * 1.0, thresholds=0.5, class_codes=class_codes)
        rows.append(_rule_row("labels", at, Thresholds({})))
    return rows


def _rule_row(rule: str, at: Metrics, found: Thresholds) -> dict[str, Any]:
    return {
        "rule": rule,
        **{key: getattr(at, key) for key in PRESENT},
        "macro_precision": at.macro_precision,
        "macro_recall": at.macro_recall,
        "macro_f1": at.macro_f1,
        "micro_f1": at.micro_f1,
        "thresholds": found.values,
        "notes": list(found.warnings),
    }


def compare_calibrations(
    truth: Targets,
    scores: Floats,
    *,
    aggregation: str,
    held: Validation | None,
    class_codes: Sequence[str],
) -> tuple[dict[str, Any], dict[str, Reliability]]:
    """Return the calibration errors of scores, raw and mapped, and their reliability diagrams.

    The map is fitted on validation, and returned as plain values beside the errors: it is the one
    that `jobs.evaluate --keep-calibration` keeps, and `jobs.tag_catalog --calibrated` uses.
    """
    kinds: dict[str, tuple[Float64, dict[str, Any] | None]] = {
        "raw": (np.asarray(scores, np.float64), None)
    }
    if held is not None and len(held.truth):
        found = calibration.fit(held.truth, held.scores[aggregation], class_codes=class_codes)
        kinds[calibration.METHOD] = (found.apply(scores), found.to_dict()["classes"])
    diagrams = {name: reliability(truth, values) for name, (values, _) in kinds.items()}
    errors = {
        name: {
            "macro": _mean(by_class := calibration_errors(truth, values)),
            "per_class": dict(zip(class_codes, by_class, strict=True)),
            "map": mapped,
            "diagram": diagrams[name].to_dict(),
        }
        for name, (values, mapped) in kinds.items()
    }
    return {"n_bins": calibration.N_BINS, "scores": errors}, diagrams


def _loss(truth: Targets, scores: Floats) -> float | None:
    """Return the mean binary cross-entropy over all answers that are known."""
    known = is_known(truth)
    if not known.any():
        return None
    clipped = np.clip(np.asarray(scores, np.float64)[known], 1e-7, 1 - 1e-7)
    return float(log_loss(is_there(truth)[known], clipped, labels=[False, True]))


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
