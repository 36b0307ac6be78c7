"""What a regressor's targets are (model.json), and how well it gives them (evaluation.json)."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any

from schemas.record import Record


@dataclass(frozen=True)
class TargetRange:
    """A target of a regression, as the training clips have it: it is scaled to 0..1 by them."""

    name: str
    """Of the descriptor: depth, brightness ..."""
    unit: str
    """Of the values; "rating" is a listener's, 0 to 100."""
    minimum: float
    """The least value of the training clips: 0 in scaled units."""
    maximum: float
    """The largest value of the training clips: 1 in scaled units."""
    median: float
    """The middle value of the training clips: what the best constant would say."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for json."""
        return asdict(self)


@dataclass(frozen=True)
class TargetFigures(TargetRange):
    """How well a model gives one target, over the clips that have a value of it."""

    n_clips: int
    """How many clips have a value."""
    mae: float
    """Mean absolute error, in scaled units: shares of the training clips' range."""
    mae_unit: float
    """The same in the target's own unit."""
    baseline_mae: float
    """What always saying the training clips' median would give, in scaled units."""
    r2: float | None
    """Coefficient of determination: 1 is perfect, 0 as good as the mean; None where all clips have
    the same value, or there is only one."""


@dataclass(frozen=True)
class RegressionEvaluation(Record):
    """evaluation.json: how well a regressor gives its targets of a split's clips."""

    model_id: str
    """The model that was measured."""
    split: str
    """The split that the figures are of."""
    n_clips: int
    """How many clips the figures are of."""
    left_out: dict[str, int]
    """Clips that have no target at all, by why: these count nowhere."""
    mae: float
    """Mean of the targets' mean absolute errors, in scaled units; each target weighs the same."""
    mae_unit: float
    """The same in the targets' own units."""
    baseline_mae: float
    """What the medians of the training clips would give, in scaled units."""
    r2: float | None
    """Mean of the targets' coefficients of determination; None where one has none."""
    targets: list[dict[str, Any]]
    """Of each target the fields of `TargetFigures`."""
    history: list[dict[str, Any]] = field(default_factory=list)
    """What each epoch of the training came to."""
    provenance: dict[str, str] = field(default_factory=dict)
    """What was scored with what, and versions."""
