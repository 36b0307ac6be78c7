"""What a tagging would do with what is left of a catalogue, and how long that would take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

import pyarrow.compute as pc

from pipeline.evaluation.runs.pace import expected_s
from pipeline.store.worklist import Known, WorkList, audio_s_of
from schemas.tagging_run import TaggingRun


@dataclass(frozen=True)
class TaggingPlan:
    """What `tag_catalog` would do: `tracks` are those `left` and `unchanged`."""

    tracks: int
    """How many tracks the catalogue has."""
    unchanged: int
    """Tracks that need nothing, as before."""
    left: int
    """Tracks that are to be read."""
    changed: int
    """Of those, known ones with another size or time."""
    retried: int
    """Of those, tracks that had failed and would be tried again."""
    gone: int
    """Tracks that have a row, but are not in the catalogue any more."""
    left_out: Mapping[str, int]
    """Files that the listing does not take, by suffix."""
    bytes: int
    """Size of the tracks to read, as far as it is known."""
    audio_s: float
    """Their length in seconds, guessed from their size."""
    seconds: float | None
    """How long it would take; None where no run tells."""


def plan_of(
    work: WorkList, known: Known, runs: Iterable[TaggingRun], left_out: Mapping[str, int]
) -> TaggingPlan:
    """Return the plan; `runs` are earlier ones of the same model, the last one first."""
    audio_s = audio_s_of(work.left, known)
    return TaggingPlan(
        tracks=work.n_tracks,
        unchanged=work.n_unchanged,
        left=work.left.num_rows,
        changed=work.n_changed,
        retried=work.n_retried,
        gone=work.n_removed,
        left_out=left_out,
        bytes=pc.sum(work.left["size_bytes"]).as_py() or 0,
        audio_s=audio_s,
        seconds=expected_s(runs, audio_s) if work.left.num_rows else 0.0,
    )
