"""report.json of a dataset: what became of the segments of a build."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from schemas.record import Record


@dataclass(frozen=True)
class BuildReport(Record):
    """report.json; `wanted` = `got` + `not_got`. Nothing in it is NaN."""

    wanted: int = 0
    """How many segments were planned."""
    got: int = 0
    """How many segments became clips."""
    not_got: int = 0
    """How many segments did not become clips."""
    untried: int = 0
    """Of those, segments that no run has tried."""
    audio_s: float = 0.0
    """Length of the clips, in seconds."""
    bytes_fetched: int = 0
    """Bytes that were read from the source, in all runs."""
    bytes_saved: int = 0
    """Bytes fewer than the whole files have, where that is known."""
    seconds: float = 0.0
    """Seconds of the workers, in all runs, many at once."""
    stages: dict[str, float] = field(default_factory=dict)
    """The same seconds, by stage of the work."""
    attempts: int = 0
    """Attempts of all segments in all runs."""
    tries: int = 0
    """Rows of the ledger: a segment and run each."""
    splits: dict[str, dict[str, int]] = field(default_factory=dict)
    """`wanted` and `got` by split."""
    classes: list[dict[str, Any]] = field(default_factory=list)
    """Of each class `code`, `name`, and by split `wanted`, `got` and, in newer files, `unknown`."""
    labels_per_clip: dict[str, list[int]] = field(default_factory=dict)
    """How many segments have 0, 1, 2, ... classes: of those wanted, and of those got."""
    cooccurrence: list[list[int]] = field(default_factory=list)
    """How many clips have both classes."""
    outcomes: list[dict[str, Any]] = field(default_factory=list)
    """Segments by `outcome` and `reason`: `n`."""
    failed: list[dict[str, Any]] = field(default_factory=list)
    """The first rows of the ledger that are not ok."""
    slowest: list[dict[str, Any]] = field(default_factory=list)
    """The rows that took longest, with the time of each stage."""
    outages: dict[str, float] = field(default_factory=lambda: {"n_outages": 0, "paused_s": 0.0})
    """How often and how long the source was down in the last run."""
    cap: str = ""
    """What --max-per-class left out, in words."""
    provenance: dict[str, str] = field(default_factory=dict)
    """Versions, source and segments' files."""
