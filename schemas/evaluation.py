"""metrics.json of an evaluation, folds.json of a cross-validation, quantize.json of a model."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from schemas.record import Record


@dataclass(frozen=True)
class EvaluationRecord(Record):
    """metrics.json: how well a model tags some items. Nothing in it is NaN."""

    metrics: dict[str, Any]
    """Over all items, and `per_class`: `pipeline.evaluation.statistics.metrics.Metrics`."""
    class_names: dict[str, str] = field(default_factory=dict)
    """Name of each class by its code."""
    provenance: dict[str, str] = field(default_factory=dict)
    """What was scored with what: model_id, aggregation, thresholds, scored; and versions."""
    labels_per_clip: dict[str, list[int]] = field(default_factory=dict)
    """How many items have 0, 1, 2, ... classes: in the truth, and named by the model."""
    cooccurrence: list[list[int]] = field(default_factory=list)
    """How many items have both classes."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """The training's epochs, where they are known."""
    build: dict[str, Any] | None = None
    """The report.json of the dataset; None where tags were scored."""
    intervals: dict[str, Any] = field(default_factory=dict)
    """Bootstrap intervals of the figures, and of each class's F1 and AP."""
    calibration: dict[str, Any] = field(default_factory=dict)
    """How far scores are from probabilities, raw and mapped."""
    confusion: dict[str, Any] = field(default_factory=dict)
    """Right and wrong answers by class, and what was named instead."""
    thresholds: dict[str, Any] = field(default_factory=dict)
    """The rule that was used, and what the other rules would have given."""
    aggregation: dict[str, Any] = field(default_factory=dict)
    """The aggregation that was used, and how all of them do on validation."""
    training: dict[str, float | None] = field(default_factory=dict)
    """What the model's training took: seconds and peak_memory_mib; older files say nothing."""


@dataclass(frozen=True)
class FoldsRecord(Record):
    """folds.json: what a cross-validation came to."""

    summary: dict[str, dict[str, float | None]]
    """Mean and sample deviation of a figure over the folds, by its name."""
    folds: list[dict[str, Any]]
    """Of each fold its model_id and the figures of the clips that it held out."""
    together: dict[str, Any]
    """The figures of all clips, each scored by the model of the fold that held it out."""
    provenance: dict[str, str] = field(default_factory=dict)
    """Versions of code and packages, the dataset, the aggregation."""


@dataclass(frozen=True)
class QuantizationRecord(Record):
    """quantize.json: figures of the same model in several arithmetics, on one split."""

    model_id: str
    """The name of the int8 model."""
    quantized: dict[str, Any]
    """As in its model.json: of which model it is, and its `calibration`."""
    split: str
    """The split that the figures are of."""
    aggregation: str
    """How scores of windows became those of clips."""
    precisions: dict[str, dict[str, float | None]]
    """Figures, largest difference of a score and windows a second and core, by arithmetic."""
    drop: float
    """By how much macro F1 of the classes that are there falls from f32 to int8."""
    max_drop: float
    """By how much it may fall at most."""
    graph_bytes: int
    """Size of the files of OpenVINO's graph."""
    provenance: dict[str, str] = field(default_factory=dict)
    """Versions of the programs that made it."""
