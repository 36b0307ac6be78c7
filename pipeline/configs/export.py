"""What an export is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipeline.flags import Flag, Uri, described
from pipeline.seams import declaring

_FIRST = ("csv", "jsonl", "jams", "audacity", "m3u")
_MORE = (one for one in declaring("pipeline.exports", "EXPORT") if one not in _FIRST)
FORMATS = (*_FIRST, *_MORE)
"""Names of the formats: the modules of `pipeline.exports`."""


@described
@dataclass(frozen=True)
class ExportConfig:
    """What to export, as what, to where."""

    tags: Uri
    """A folder from tag_catalog."""
    format: Annotated[str, Flag(choices=FORMATS)]
    """A table of all tracks (csv, jsonl); a file a track, with intervals where they were kept
    (jams, audacity); a playlist an instrument, highest score first (m3u)."""
    out: Uri
    """The folder for the files."""
    model_id: Annotated[str | None, Flag("ID")] = None
    """Whose tags; those of the last run's model if not given."""
