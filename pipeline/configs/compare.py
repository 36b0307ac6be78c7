"""What a comparison is told: of evaluations, or of two tagging runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from typing import Annotated

from pipeline.errors import UsageError
from pipeline.flags import Count, Flag, Share, Uri, described


@described
@dataclass(frozen=True)
class CompareConfig:
    """What to compare, to where."""

    evaluations: Annotated[tuple[str, ...], Flag("URI")]
    """Two or more folders, each from evaluate."""
    out: Uri
    """The folder for its files: comparison.json and report.html."""
    seed: Count = 0
    """Seed of the bootstrap's resamples."""

    def __post_init__(self) -> None:
        if len(self.evaluations) < 2:
            raise UsageError("--evaluations: expected two or more folders")
        from pipeline.store.folder import Folder  # as late as can be: it brings pyarrow

        addresses = [Folder(uri).uri.rstrip("/") for uri in self.evaluations]
        if twice := [uri for uri, n in Counter(addresses).items() if n > 1]:
            raise UsageError(f"--evaluations: {twice[0]} is there twice")


@described
@dataclass(frozen=True)
class CompareTagsConfig:
    """Which two models to compare, and where to write what differs."""

    a: Uri
    """A folder from tag_catalog: the labels there are today."""
    b: Uri
    """Another one, or the same: the labels of another model, that may follow it."""
    out: Uri
    """The folder for differences.json, differences.parquet, apart.parquet and report.html."""
    a_model_id: Annotated[str | None, Flag("ID")] = None
    """The model in --a: that of the folder's run.json if not given; where --a and --b are one
    folder, the latest there that is not B's."""
    b_model_id: Annotated[str | None, Flag("ID")] = None
    """The model in --b: that of the folder's run.json if not given; where --a and --b are one
    folder, the latest there that is not A's."""
    include_gone: bool = False
    """Also the tracks that are gone from their catalogue, in one folder or the other."""
    max_changed: Share = 1.0
    """Exit with 3 when more than this share of the tracks that both have tagged change their labels
    (5% or 0.05)."""
