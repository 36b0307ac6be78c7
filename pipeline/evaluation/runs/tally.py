"""What the json and the page of a run count, from rows of SCORED. PURE.

A tally is plain values that add up, so that every batch makes its own and the driver adds them.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

TAG_STAGES = {
    "read_s": "reading",
    "decode_s": "decoding",
    "features_s": "log-mel and windows",
    "attributes_s": "attributes",
    "model_s": "the model",
    "write_s": "writing",
}
"""The stages of a run, by their key in run.json."""
_TAG_STAGES_OF_ROWS = tuple(TAG_STAGES)[:-1]  # a file is written for many of them
_ADDED = (
    *("n_ok", "n_failed", "n_same", "n_renamed_in_place", "n_taken_over", "n_unlabelled"),
    "audio_s",
)
N_BINS = 20


@dataclass
class Tally:
    """What became of some tracks."""

    n_ok: int = 0
    n_failed: int = 0
    n_same: int = 0
    n_renamed_in_place: int = 0
    """Of those that are the same: under the same name, too."""
    n_taken_over: int = 0
    """Of those that are the same: by an older version's hash of all their bytes."""
    n_unlabelled: int = 0
    audio_s: float = 0.0
    stages: dict[str, float] = field(default_factory=lambda: dict.fromkeys(TAG_STAGES, 0.0))
    """Seconds of the workers, by stage."""
    reasons: Counter[str] = field(default_factory=Counter)
    labels: Counter[str] = field(default_factory=Counter)
    engines: Counter[str] = field(default_factory=Counter)
    """Tracks by what the model ran on, as json."""
    peak_mib: int = 0
    """Largest memory of a process of the model."""
    histograms: dict[str, list[int]] = field(default_factory=dict)
    """Tracks by score, in 20 bins of 0..1, by class."""
    begun_at: float | None = None
    """When the first track was begun, on the driver's monotonic clock, in s; None of a batch."""
    done_at: float | None = None
    """When the last one was done; likewise."""

    @property
    def n_tracks(self) -> int:
        """How many tracks were counted in all."""
        return self.n_ok + self.n_failed + self.n_same

    def add(self, other: Tally) -> None:
        """Add the counts of another tally to this one."""
        for key in _ADDED:
            setattr(self, key, getattr(self, key) + getattr(other, key))
        for key in ("reasons", "labels", "engines"):
            getattr(self, key).update(getattr(other, key))
        times = [one for one in (self.begun_at, other.begun_at) if one is not None]
        self.begun_at = min(times, default=None)
        times = [one for one in (self.done_at, other.done_at) if one is not None]
        self.done_at = max(times, default=None)
        self.stages = {stage: self.stages[stage] + other.stages[stage] for stage in TAG_STAGES}
        self.peak_mib = max(self.peak_mib, other.peak_mib)
        for code, counts in other.histograms.items():
            before = self.histograms.get(code, [0] * N_BINS)
            self.histograms[code] = [a + b for a, b in zip(before, counts, strict=True)]


def tally_of(rows: Iterable[Mapping[str, Any]], codes: Sequence[str], *, same: str) -> Tally:
    """Count rows of SCORED; `same` is the status of those whose content was known."""
    tally = Tally(histograms={code: [0] * N_BINS for code in codes})
    scores: list[list[float]] = []
    for row in rows:
        for stage in _TAG_STAGES_OF_ROWS:
            tally.stages[stage] += row[stage] or 0.0
        if row["status"] == same:
            tally.n_same += 1
            tally.n_taken_over += row["known_as"] != row["fingerprint"]
        elif row["status"] != "ok":
            tally.n_failed += 1
            tally.reasons[row["reason"]] += 1
        else:
            tally.n_ok += 1
            tally.engines[row["engine"]] += 1
            tally.peak_mib = max(tally.peak_mib, row["peak_mib"])
            tally.audio_s += row["duration_s"]
            tally.labels.update(row["labels"])
            tally.n_unlabelled += not row["labels"]
            scores.append([row["scores"][code] for code in codes])
    if scores:
        bins = np.minimum((np.array(scores) * N_BINS).astype(int), N_BINS - 1)
        for code, column in zip(codes, bins.T, strict=True):
            tally.histograms[code] = np.bincount(column, minlength=N_BINS).tolist()
    return tally
