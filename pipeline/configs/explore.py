"""What an exploration of a dataset is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

from pipeline.errors import UsageError
from pipeline.flags import Uri, described

ALL = "all"
"""The name of all splits together."""
Shown = Literal["train", "val", "test", "all"]


@described
@dataclass(frozen=True)
class ExploreConfig:
    """What to look at, and where to write what was seen."""

    dataset: Uri
    """A dataset's folder, from build_subset."""
    out: Uri
    """The folder for report.html, explore.json and anova.parquet."""
    features: Uri | None = None
    """The folder of its pooled features; no ANOVA if not given."""
    split: Shown = "train"
    """The split to test and to show clips of; counts are of all splits."""

    def __post_init__(self) -> None:
        if self.split not in (known := get_args(Shown)):
            raise UsageError(f"--split {self.split!r}: expected one of {', '.join(known)}")
