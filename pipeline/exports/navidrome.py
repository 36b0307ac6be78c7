"""A smart playlist for Navidrome for every instrument, by the tags that file-tags writes."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from pipeline.exports.metadata.values import INSTRUMENTS, attribute_key
from pipeline.exports.task import Export, Task
from pipeline.exports.texts import TagSource

FIELD = INSTRUMENTS.lower()
"""Navidrome's name of the tag; smart playlists ask for it."""


def playlist(code: str, origin: TagSource) -> dict[str, Any]:
    """Return a smart playlist: all tracks whose tag has the instrument's name as one value."""
    name = origin.name(code)
    return {
        "name": name[:1].upper() + name[1:],
        "comment": f"Tracks with {name}, as {origin.model_id} has found them",
        "all": [{"is": {FIELD: name}}],
        "sort": "title",
    }


def settings(attributes: Sequence[str]) -> str:
    """Return the lines of navidrome.toml that make its scanner read the tags."""
    lines = [_tag(FIELD, INSTRUMENTS)]
    lines += [
        _tag(name, attribute_key(name)) + f"Tags.{name}.Type = 'float'\n" for name in attributes
    ]
    return "# For navidrome.toml. A full scan is needed after a change of these lines.\n" + "".join(
        lines
    )


def _tag(name: str, key: str) -> str:
    """Return a tag's spellings: those of Vorbis comments, ID3 and MP4."""
    aliases = [key, f"TXXX:{key}", f"----:com.apple.iTunes:{key}"]
    return f"Tags.{name}.Aliases = {json.dumps([one.lower() for one in aliases])}\n"


def _write(task: Task) -> str:
    codes, origin = task.source.codes, task.source.origin
    for _ in task.batches():
        pass  # what the playlists hold is Navidrome's to find; the summary counts the tracks
    for code in codes:
        with task.writing(f"{code}.nsp") as write:
            write(json.dumps(playlist(code, origin), indent=2, ensure_ascii=False) + "\n")
    with task.writing("navidrome.toml") as write:
        write(settings(origin.attributes))
    return (
        f"{len(codes)} smart playlists .nsp, for Navidrome's PlaylistsPath; navidrome.toml has "
        "the lines for its settings\n"
        "  the tracks get their tags by --format file-tags"
    )


EXPORT = Export("navidrome", _write)
