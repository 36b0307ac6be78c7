"""What the page of a catalogue is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipeline.errors import UsageError
from pipeline.flags import Flag, Uri, described


@described
@dataclass(frozen=True)
class BrowseConfig:
    """Whose tags to show, where, and who corrects them."""

    tags: Uri
    """A tagging folder, as tag_catalog writes it."""
    model_id: Annotated[str | None, Flag("ID")] = None
    """Whose tags; those of the last run's model if not given."""
    model: Annotated[str | None, Flag("starter|URI")] = None
    """The model's folder, for likeness to a span and for windows that were not kept; the one that
    tagged if not given."""
    where: Annotated[str, Flag("QUESTION")] = ""
    """The filter that the printed address opens the page with, such as "cel and not voi"; all
    tracks if not given."""
    port: int = 0
    """The port on 127.0.0.1; 0: any that is free."""
    author: Annotated[str | None, Flag("NAME")] = None
    """Who corrects; the user's name on this machine if not given."""
    open: bool = False
    """Open the page in this machine's browser, too."""

    def __post_init__(self) -> None:
        if not 0 <= self.port < 65536:
            raise UsageError(f"--port {self.port}: expected 0 to 65535")
