"""What the learning from people's corrections is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipeline.flags import Flag, Uri, described


@described
@dataclass(frozen=True)
class LearnCorrectionsConfig:
    """Whose corrections to learn from, to where."""

    corrections: Uri
    """A tagging folder with corrections, as jobs.browse writes them, and embeddings."""
    out: Uri
    """The folder of the new model."""
    init: Annotated[str | None, Flag("starter|URI")] = None
    """The model that tagged; where not given, it is read from where the run had it."""
    model_id: Annotated[str | None, Flag("ID")] = None
    """Whose tags were corrected; those of the last run's model if not given."""
