"""run.json: what a tagging run, or a retagging, did and what a folder of tags holds after it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from schemas.record import Record

_COMPARED = frozenset(
    {
        *("identity", "complete", "run_id", "catalog", "tracks", "tagged", "failed", "touched"),
        *("unchanged", "same_content", "changed", "retried", "gone", "failed_in_all", "audio_s"),
        *("seconds", "stages", "reasons", "labels", "labels_in_all", "unlabelled", "histograms"),
        "engine",
    }
)
"""What a file must have for its run to be compared with; newer keys are not asked of older runs."""


def run_id_of(started: datetime) -> str:
    """Return the name of a run that began then, in UTC: one a second, in the order of time.

    >>> run_id_of(datetime(2026, 11, 21, 2, 15))
    '20261121T021500Z'
    """
    return f"{started:%Y%m%dT%H%M%SZ}"


@dataclass(frozen=True)
class TaggingRun(Record):
    """One run: `tracks` are those `tagged`, `failed` and `skipped`.

    A run under way has only `identity` and `complete`.
    """

    omitted = frozenset(
        {
            *("model_source", "work_s", "overhead_s", "retagged_from"),
            *("labels_added", "labels_removed", "relabelled"),
        }
    )

    identity: dict[str, Any] = field(default_factory=dict)
    """How the rows were made: `model_id`, `aggregation`, `thresholds`, `gate`, windows and more."""
    complete: bool = False
    """Whether the run has ended."""
    run_id: str = ""
    """When it began, as `20261121T021500Z`: runs are named by the second."""
    started_at: str = ""
    """The same in ISO 8601."""
    catalog: str = ""
    """What was tagged, as --catalog had it."""
    model: str = ""
    """Where the model is, as --model had it, paths made absolute; nothing in older files."""
    tracks: int = 0
    """How many tracks the catalogue has."""
    duplicates: int = 0
    """Rows of a manifest beyond these: their tracks are named more than once."""
    tagged: int = 0
    """Tracks that this run has tagged."""
    failed: int = 0
    """Tracks that it has tried in vain."""
    skipped: int = 0
    """Tracks that it did not decode: `unchanged` and `same_content`."""
    unchanged: int = 0
    """Of those, tracks that were done before."""
    same_content: int = 0
    """Of those, tracks whose audio is known: renamed, copied, touched, or with other tags."""
    touched: int = 0
    """Of `same_content`, those under a known name: their time or their tags are others."""
    taken_over: int = 0
    """Of `same_content`, those found by the hash of all their bytes, which an older version kept;
    they have a new one now."""
    changed: int = 0
    """Tracks that were known, with another size or time."""
    retried: int = 0
    """Tracks that had failed before and were tried again."""
    undescribed: int = 0
    """Tracks that were tagged again as they had none of the `attributes`, or not all."""
    gone: int = 0
    """Tracks that have a row, but are not in the catalogue any more."""
    marked_gone: int = 0
    """Tracks with a row that are gone, as gone/ says after the run; of all catalogues."""
    returned: int = 0
    """Tracks that were gone before this run and are back."""
    pruned: int = 0
    """Tracks whose rows this run has deleted, as --prune asked."""
    failed_in_all: int = 0
    """Tracks of the catalogue whose row says failed, whichever run tried them."""
    max_failed: float = 1.0
    """Share of the catalogue that may have failed, 0 to 1; older runs had no limit."""
    past_limit: bool = False
    """Whether more tracks have failed than `max_failed` allows."""
    attributes: list[str] = field(default_factory=list)
    """Attribute sets that the run described tracks by; `--attributes`."""
    lacking: list[str] = field(default_factory=list)
    """Tables that were asked for, which tracks that were tagged before do not have."""
    audio_s: float = 0.0
    """Audio that was tagged, in seconds."""
    seconds: float = 0.0
    """Wall time of the run."""
    stages: dict[str, float] = field(default_factory=dict)
    """Seconds of the workers, by stage."""
    reasons: dict[str, int] = field(default_factory=dict)
    """Tracks that failed in this run, by reason."""
    labels_of_run: dict[str, int] = field(default_factory=dict)
    """Tracks by label, of those that this run tagged."""
    labels_in_all: dict[str, int] = field(default_factory=dict)
    """Tracks by label, of all rows; written as `labels`, too."""
    unlabelled: int = 0
    """Tracks that were tagged, or retagged, and have no label."""
    histograms: dict[str, list[int]] = field(default_factory=dict)
    """Scores of this run by class, in 20 bins of 0..1."""
    memory: dict[str, float | None] = field(default_factory=dict)
    """Largest memory of the driver and of a worker, in MiB."""
    engine: dict[str, Any] = field(default_factory=dict)
    """What the model ran by: `name`, `precision`, `note`; empty where nothing was decoded."""
    class_names: dict[str, str] = field(default_factory=dict)
    """Name of each class by its code."""
    model_source: dict[str, Any] | None = None
    """Of a pretrained model, whose it is: `home`, `licence`."""
    provenance: dict[str, str] = field(default_factory=dict)
    """Versions of code and packages, and the git revision."""
    left_out: dict[str, int] = field(default_factory=dict)
    """Files that the listing did not take, by suffix."""
    work_s: float | None = None
    """From the first track begun to the last one done; None where nothing was to do."""
    overhead_s: float | None = None
    """All the rest of `seconds`: starting Ray and the model, joining files, the page."""
    retagged_from: str | None = None
    """Of a retagging, the folder of the tags that it was made of."""
    labels_added: dict[str, int] | None = None
    """Of a retagging, tracks by label that got it."""
    labels_removed: dict[str, int] | None = None
    """Of a retagging, tracks by label that lost it."""
    relabelled: int | None = None
    """Of a retagging, tracks with other labels now."""
    is_comparable: bool = True
    """Whether the file had all that a later run is compared with; not written itself."""

    @property
    def model_id(self) -> str:
        """Return whose tags they are; nothing where an older file does not say."""
        return str(self.identity.get("model_id", ""))

    def to_dict(self) -> dict[str, Any]:
        """Return what is written as run.json."""
        values = super().to_dict()
        del values["is_comparable"]
        return values | {"labels": self.labels_in_all}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> TaggingRun:
        """Return the run that a json is of; in older ones `labels` are the run's own."""
        own = values.get("labels_of_run", values.get("labels", {}))
        whole = values.keys() >= _COMPARED
        return super().from_dict({**values, "labels_of_run": own, "is_comparable": whole})
