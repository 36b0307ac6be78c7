"""What the making of labels anew is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from pipeline.errors import UsageError
from pipeline.evaluation.labels.thresholds import check_share
from pipeline.flags import Flag, Number, Uri, described


@described
@dataclass(frozen=True)
class RetagConfig:
    """Whose labels to make anew, by what, to where."""

    tags: Uri
    """A tagging folder, as tag_catalog writes it."""
    out: Uri
    """Another folder, for tags/ and run.json."""
    thresholds: Annotated[str | None, Flag("FILE")] = None
    """A .json or .toml file: a threshold by code, such as {"cel": 0.4}; the others keep theirs."""
    model: Uri | None = None
    """The model that tagged: the thresholds in its model.json now, which evaluate --keep-thresholds
    may have written."""
    threshold: Number | None = None
    """One for every class, 0 to 1."""
    # --gate was its name in version 0.1.
    min_confidence: Annotated[float | None, Flag("X", aliases=("--gate",))] = None
    """Lowest confidence of a label, 0 to 1; as it was if not given."""
    include_gone: bool = False
    """Also the tracks that are gone from their catalogue."""

    def __post_init__(self) -> None:
        ways = [self.thresholds, self.model, self.threshold]
        if sum(way is not None for way in ways) > 1:
            raise UsageError("--thresholds, --model and --threshold do not go together: give one")
        if all(way is None for way in (*ways, self.min_confidence)):
            raise UsageError(
                "expected --thresholds, --model, --threshold or --min-confidence: what is new?"
            )
        for name in ("threshold", "min_confidence"):
            if getattr(self, name) is not None:
                check_share(f"--{name.replace('_', '-')}", getattr(self, name))
