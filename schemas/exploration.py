"""explore.json: what a dataset holds, and which features differ between its classes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from schemas.record import Record


@dataclass(frozen=True)
class ExplorationRecord(Record):
    """explore.json: every number of the page. Nothing in it is NaN."""

    n_clips: int
    """How many clips the dataset has."""
    hours: float
    """The length of all clips together."""
    shortest_s: float | None
    """The length of the shortest clip, in seconds; None without clips."""
    longest_s: float | None
    """The length of the longest clip, likewise."""
    splits: dict[str, dict[str, float]]
    """`segments`, `clips` and `hours` by split."""
    classes: list[dict[str, Any]]
    """Of each class `code`, `name`, and `clips` by split."""
    labels_per_clip: dict[str, list[int]]
    """By split, how many clips have 0, 1, 2, ... classes."""
    cooccurrence: list[list[int]]
    """How many clips have both classes."""
    split: str
    """What examples and features are of: train, val, test or all."""
    examples: dict[str, str]
    """The segment_id of a clip of each class that has one, by code."""
    anova: dict[str, Any] | None = None
    """Counts of clips, `features` and `rows` of the ANOVA; None without features."""
    clusters: list[dict[str, Any]] = field(default_factory=list)
    """What k-means makes of each feature, the best first."""
    provenance: dict[str, str] = field(default_factory=dict)
    """Versions of code and packages, the dataset, the features."""
