"""Files that an export hands over as they are: they run in other programs, and import those."""

from __future__ import annotations

from pathlib import Path


def source_of(name: str) -> bytes:
    """Return the text of one of the files."""
    return Path(__file__).with_name(name).read_bytes()
