"""What an export is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipeline.flags import Flag, Uri, described
from pipeline.seams import summaries

_FOUND = summaries("pipeline.exports", "EXPORT")
FORMATS = tuple(dict.fromkeys(("csv", "jsonl", "jams", "audacity", "m3u", *_FOUND)))
"""Names of the formats: the modules of `pipeline.exports`."""
_CHOICES = tuple(f"{name}: {_FOUND[name]}" for name in FORMATS)


@described
@dataclass(frozen=True)
class ExportConfig:
    """What to export, as what, to where."""

    tags: Uri
    """A tagging folder, as tag_catalog writes it."""
    format: Annotated[str, Flag("NAME", choices=FORMATS, known=_CHOICES)]
    """What to write {known}"""
    out: Uri
    """The folder for the files."""
    model_id: Annotated[str | None, Flag("ID")] = None
    """Whose tags; those of the last run's model if not given."""
    include_gone: bool = False
    """Also the tracks that are gone from their catalogue."""
