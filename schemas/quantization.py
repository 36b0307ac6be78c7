"""quantize.json: what a model in int8 is worth beside the one that it was made of."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from schemas.record import Record


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
