"""All that an evaluation says of a model's scores of some items. PURE."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.arrays import Bools, Float64
from pipeline.evaluation.labels.calibration import Reliability
from pipeline.evaluation.labels.targets import is_there
from pipeline.evaluation.labels.validation import (
    CRITERION,
    Choice,
    Validation,
    compare_calibrations,
    compare_methods,
    compare_rules,
)
from pipeline.evaluation.runs.scored import Scored
from pipeline.evaluation.runs.summary import cooccurrence_counts, finite, labels_per_clip
from pipeline.evaluation.statistics.bootstrap import intervals
from pipeline.evaluation.statistics.confusion import confusion_dict
from pipeline.evaluation.statistics.metrics import Metrics
from schemas.build_report import BuildReport
from schemas.evaluation import EvaluationRecord


@dataclass(frozen=True)
class Measured:
    """Items and their scores, measured, and what is known of them beside that."""

    scored: Scored
    """The items, their truth and their scores."""
    metrics: Metrics
    """The figures of `scored` at the thresholds that are used."""
    class_names: Mapping[str, str]
    """Name by code; a code without one is its own."""
    provenance: Mapping[str, str]
    """What was scored with what, and versions."""
    history: Sequence[Mapping[str, Any]] = ()
    """The training's epochs; empty where unknown."""
    training: Mapping[str, float | None] = field(default_factory=dict)
    """What the training took: seconds and peak_memory_mib."""
    build: BuildReport | None = None
    """The report of the dataset's build; None where tags were scored."""
    choice: Choice = field(default_factory=lambda: Choice("s2"))
    """Aggregation and threshold rule by which scores became labels."""
    own: npt.ArrayLike | None = None
    """The model's own thresholds, `[n_classes]`; those of `metrics` when None."""
    held: Validation | None = None
    """What the model says of validation, where that is known."""
    named: Bools | None = None
    """The labels that a tagging run gave, where there was one, `[n_items, n_classes]`."""

    @property
    def limits(self) -> Float64:
        """The thresholds that are used, `[n_classes]`."""
        return np.array([row.threshold for row in self.metrics.per_class])

    @property
    def predicted(self) -> Bools:
        """The classes that reach them, `[n_items, n_classes]`."""
        return np.asarray(self.scored.scores >= self.limits)


@dataclass(frozen=True)
class Evaluation:
    """What is written of an evaluation, and what its page is drawn from."""

    measured: Measured
    """The items, their scores and their figures."""
    record: EvaluationRecord
    """The record that is written as metrics.json."""
    diagrams: Mapping[str, Reliability]
    """How far scores are probabilities, by kind of scores."""


def evaluation_of(measured: Measured) -> Evaluation:
    """Return how well a model tags: the figures, their intervals, and what others would give."""
    scored, choice, held = measured.scored, measured.choice, measured.held
    truth, scores, codes = scored.truth, scored.scores, scored.codes
    own = measured.limits if measured.own is None else measured.own
    calibration, diagrams = compare_calibrations(
        truth, scores, aggregation=choice.aggregation, held=held, class_codes=codes
    )
    rules = compare_rules(
        truth, scores, choice=choice, held=held, own=own, class_codes=codes, named=measured.named
    )
    record = EvaluationRecord(
        metrics=measured.metrics.to_dict(),
        class_names={code: measured.class_names.get(code, code) for code in codes},
        provenance=dict(measured.provenance),
        labels_per_clip={
            "in the truth": labels_per_clip(is_there(truth)),
            "named by the model": labels_per_clip(measured.predicted),
        },
        cooccurrence=cooccurrence_counts(is_there(truth)).tolist(),
        history=list(map(finite, measured.history)),
        build=None if measured.build is None else measured.build.to_dict(),
        intervals=intervals(
            truth, scores, thresholds=measured.limits, class_codes=codes, groups=scored.groups
        ),
        calibration=calibration,
        confusion=confusion_dict(truth, measured.predicted, class_codes=codes),
        thresholds={
            "used": choice.rule,
            "own": choice.own,
            "target_precision": choice.target_precision,
            "rules": rules,
        },
        aggregation=_methods(measured),
        training=dict(measured.training),
    )
    return Evaluation(measured, record, diagrams)


def _methods(measured: Measured) -> dict[str, Any]:
    held, codes = measured.held, measured.scored.codes
    methods = compare_methods(held, class_codes=codes) if held is not None else []
    return {
        "used": measured.choice.aggregation,
        "best": methods[0]["method"] if methods else None,
        "criterion": CRITERION,
        "methods": methods,
    }
