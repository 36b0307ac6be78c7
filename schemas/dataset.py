"""dataset.json: of which classes and settings a dataset is, and what a build has put there."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from schemas.record import Record

FORMAT = "timbre-dataset-1"


@dataclass(frozen=True)
class DatasetRecord(Record):
    """dataset.json; while a build is under way it has no counts, fingerprint or moments."""

    omitted = frozenset({"n_segments", "n_clips", "fingerprint", "train_moments", "provenance"})

    format: str = FORMAT
    """Name of the folder's layout, as older ones may differ."""
    classes: list[dict[str, Any]] = field(default_factory=list)
    """The vocabulary, a `pipeline.selection.vocabulary.Vocabulary`, as json."""
    feature_spec: dict[str, Any] = field(default_factory=dict)
    """The log-mel of FEATURES: `pipeline.audio.spectra.logmel.LogMelSpec`."""
    split: str = ""
    """How segments were divided: as --split had it, or irmas, openmic, ...: by the source."""
    complete: bool = False
    """Whether every segment has its row in LEDGER."""
    n_segments: int | None = None
    """How many rows SEGMENTS has."""
    n_clips: int | None = None
    """How many rows CLIPS has."""
    fingerprint: str = ""
    """A hash of clips, labels, classes and settings: trainings and features are named by it."""
    train_moments: dict[str, dict[str, float]] = field(default_factory=dict)
    """Of the training split: `n`, `mean`, `deviation` of `samples` (full scale 1), `logmel_db`."""
    provenance: dict[str, str] = field(default_factory=dict)
    """Versions, source and segments' files."""
