"""What the taking in of corrections is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipeline.flags import Flag, Uri, described


@described
@dataclass(frozen=True)
class CorrectConfig:
    """What people said elsewhere, and of which tags."""

    tags: Uri
    """A tagging folder, as tag_catalog writes it."""
    said: Annotated[str, Flag("FILE")]
    """A .json that Label Studio has exported in its format JSON, or a .csv with the columns uri,
    code, verdict (present, absent, withdrawn) and, where they are of use, start_s, end_s and
    author."""
    author: Annotated[str | None, Flag("NAME")] = None
    """Who said so, where the file does not say; the user's name on this machine if not given."""
    model_id: Annotated[str | None, Flag("ID")] = None
    """Whose tags were seen; those of the last run's model if not given."""
