"""The journal of `jobs.export --format file-tags --in-place`: one line of JSON is one changed file.

A line is on the disk before its file is changed, so that what is in the files can be taken back.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from schemas.record import Record


@dataclass(frozen=True)
class TagChange(Record):
    """What one file's own metadata said under some keys, and what it says now."""

    path: str
    """The file; where the track is a link, what it leads to."""
    had_tags: bool
    """Whether the file had a place for metadata; one that was added is removed again."""
    before: Mapping[str, Sequence[str]]
    """Values by key before the change; none where the file did not have the key."""
    after: Mapping[str, Sequence[str]]
    """Values by key after it; none where the key was removed."""
    is_undo: bool = False
    """Whether `--undo` made the change: what came before it is taken back."""
