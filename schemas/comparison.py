"""comparison.json of evaluations, and differences.json of two tagging runs."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from schemas.record import Record


@dataclass(frozen=True)
class ComparisonRecord(Record):
    """comparison.json: several models' figures over the same items, the best first."""

    n_items: int
    """Items that all models scored."""
    n_groups: int
    """Recordings that they were cut from: resamples draw these whole."""
    n_present: int
    """Classes that the truth has."""
    class_names: dict[str, str]
    """Name by code, in the order of every `per_class`."""
    best: str
    """The name of the model with the largest macro F1."""
    level: float
    """Of the intervals, 0 to 1."""
    n_resamples: int
    """How often the items were resampled."""
    seed: int
    """Seed of the random resamples."""
    models: list[dict[str, Any]]
    """Of each model its origin, figures, `intervals`, `per_class`, `training`, `against_best`."""
    provenance: dict[str, str] = field(default_factory=dict)
    """Versions of the code and its packages."""


@dataclass(frozen=True)
class DifferencesRecord(Record):
    """differences.json: where two models' labels of the same tracks differ."""

    a: dict[str, Any]
    """Model A and its run: folder, model_id, identity, engine, n_tracks, n_failed and more."""
    b: dict[str, Any]
    """The other model, B, likewise."""
    class_names: dict[str, str]
    """Name by code, of the classes that both know."""
    classes_only_a: list[str]
    """Codes that only A knows: they are not compared."""
    classes_only_b: list[str]
    """Codes that only B knows."""
    labels: dict[str, Any]
    """How many labels and tracks differ, over all."""
    per_class: list[dict[str, Any]]
    """By class: who gives the label, agreement, and how scores correlate."""
    grid: list[list[int]]
    """What B makes of A's labels: see `pipeline.evaluation.runs.tag_differences.findings`."""
    apart: dict[str, int]
    """Tracks that are not compared, by why."""
    apart_first: dict[str, list[str]]
    """The uris of the first of them."""
    n_compared: int
    """Tracks that both have tagged."""
    n_unverified: int
    """Of those, paired by uri alone: one run has no fingerprint, or one of an older kind."""
    largest: list[dict[str, Any]]
    """The tracks with the most labels that differ."""
    max_changed: float
    """Share of the compared tracks whose labels may change, 0 to 1."""
    past_limit: bool
    """Whether more tracks have changed than the caller allows."""
    provenance: dict[str, str] = field(default_factory=dict)
    """Versions of the code and its packages."""
