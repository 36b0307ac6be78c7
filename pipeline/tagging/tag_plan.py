"""What a tagging would do with what is left of a catalogue, and how long that would take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from pipeline.evaluation.runs.pace import expected_s
from pipeline.tagging.part_steps import Planned
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
    undescribed: int = 0
    """Of those left, tracks that were tagged without the attributes that are asked for."""
    duplicates: int = 0
    """Rows of a manifest beyond the tracks: these are named more than once."""


def plan_of(
    planned: Planned,
    runs: Iterable[TaggingRun],
    left_out: Mapping[str, int],
    attributes: Sequence[str] = (),
) -> TaggingPlan:
    """Return the plan; `runs` are earlier ones of the same model, the last one first.

    How long it takes is told by those that described tracks by the same `attributes`, as these may
    take longer than all the rest.
    """
    audio_s = planned.sizes.audio_s(planned.known)
    alike = (run for run in runs if run.attributes == list(attributes))
    return TaggingPlan(
        tracks=planned.n_tracks,
        unchanged=planned.n_unchanged,
        left=planned.n_left,
        changed=planned.n_changed,
        retried=planned.n_retried,
        gone=planned.n_removed,
        left_out=left_out,
        bytes=planned.sizes.n_bytes,
        audio_s=audio_s,
        seconds=expected_s(alike, audio_s) if planned.n_left else 0.0,
        undescribed=planned.n_undescribed,
    )
