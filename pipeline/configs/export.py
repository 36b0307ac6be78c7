"""What an export is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal

from pipeline.flags import Flag, Uri, described

Format = Literal["csv", "jsonl", "jams", "audacity", "m3u"]


@described
@dataclass(frozen=True)
class ExportConfig:
    """What to export, as what, to where."""

    tags: Uri
    """A folder from tag_catalog."""
    format: Format
    """A table of all tracks (csv, jsonl); a file a track, with intervals where they were kept
    (jams, audacity); a playlist an instrument, highest score first (m3u)."""
    out: Uri
    """The folder for the files."""
    model_id: Annotated[str | None, Flag("ID")] = None
    """Whose tags; those of the last run's model if not given."""
