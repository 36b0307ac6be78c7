"""A track's uri in, where its file lies below --out out: as in the catalogue's own folders. PURE.

A name is the track's own with the format's suffix behind, `Trio/01.flac.jams`: two tracks never
have one name, and the track's can be read off it. What no folder can take on every disk (`..`,
control characters, very long names) and what is not below the catalogue's folder has no such name:
its file goes to the top, by `texts.file_stem`.
"""

from __future__ import annotations

import unicodedata
from pathlib import Path

from pipeline.store.out import catalogue_folder
from pipeline.store.uris import without_options

_PART_BYTES = 200  # disks take 255, a temporary name and the format's suffix included


class Places:
    """Where the files of a catalogue's tracks lie below an export's folder."""

    def __init__(self, catalog: str) -> None:
        """Take a catalogue as --catalog had it; of a manifest's tracks the whole paths are kept."""
        folder = catalogue_folder(catalog) if catalog else None
        self._root: tuple[list[str], str] | None = None
        if folder is not None:
            is_uri = "://" in folder
            self._root = _parts(folder if is_uri else str(Path(folder).expanduser().absolute()))

    def of(self, uri: str) -> str | None:
        """Return a name with slashes between folders; None where the track has none such.

        >>> Places("/music/*").of("/music/Trio/01.flac")
        'Trio/01.flac'
        >>> Places("s3://bucket/night.csv").of("/music/01.flac")
        'music/01.flac'
        """
        root, options = self._root or ([], "")
        parts, own_options = _parts(uri)
        below = parts[len(root) :]
        is_below = parts[: len(root)] == root and own_options == options
        is_harmless = below and all(map(_is_harmless, below))
        return "/".join(below) if is_below and is_harmless else None


def _parts(uri: str) -> tuple[list[str], str]:
    """Return the folders and the name of a path or URI, and the options at its end."""
    address, options = without_options(uri)
    scheme, separator, rest = address.partition("://")
    path = rest if separator else address.removeprefix("/")
    parts = path.rstrip("/").split("/") if path.rstrip("/") else []
    return [scheme, *parts] if separator else parts, options


def _is_harmless(part: str) -> bool:
    """Say whether every disk takes a name, and keeps it within its folder."""
    if part in ("", ".", ".."):
        return False
    if any(unicodedata.category(c) in ("Cc", "Cs", "Zl", "Zp") for c in part):
        return False
    return len(part.encode()) <= _PART_BYTES
