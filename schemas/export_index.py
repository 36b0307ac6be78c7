"""index-*.jsonl of an export that writes many files: one line of JSON is one of them."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class IndexEntry:
    """Which file is which track's."""

    uri: str
    """The track, as in TAGS."""
    file: str
    """Its file: a name below the export's folder, or a path of its own beside the audio."""
    blake2b: str = ""
    """Hash of what was written there, 16 bytes as hex; nothing where no file was compared."""


@dataclass(frozen=True)
class PlaylistEntry:
    """Which playlist is which instrument's."""

    code: str
    """Code of the playlist's instrument."""
    name: str
    """The instrument's name, as people read it."""
    file: str
    """The playlist: a name below the export's folder."""
    n_tracks: int
    """How many tracks are on the playlist."""
