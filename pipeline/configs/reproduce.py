"""What a reproduction of the report is told."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, Literal, get_args

from pipeline.configs.cluster import ClusterConfig
from pipeline.errors import UsageError
from pipeline.flags import Count, Flag, Uri, described, size, words
from pipeline.models.names import IMAGENET, known_names
from pipeline.selection.splits import SplitBy

Figure = Literal[
    "data", "descriptors", "windows", "networks", "sampling", "datasets", "ast", "cost", "ensemble"
]
FIGURES: tuple[str, ...] = get_args(Figure)
"""What can be asked for: the dataset, ANOVA, and the report's comparisons of models."""

_DATA, _MODELS, _WRITTEN = "what is learned from", "the models", "what is written"
_NOT_NAMED = ("out", "only", "gpu", "max_wait_s", "irmas", "audioset", "ast_weights")
"""Fields that do not change a result, or may be given later, or lie elsewhere then: datasets have
fingerprints, and a training is named by the weights that it begins with."""


@described
@dataclass(frozen=True)
class ReproduceConfig(ClusterConfig):
    """Which data, which of the report's figures, to where."""

    irmas: Annotated[str, Flag("DIR"), _DATA]
    """IRMAS's own folder: its training and testing parts, unpacked, somewhere below it."""
    out: Annotated[Uri, _WRITTEN]
    """The folder for all of it: datasets, models, evaluations, reproduction.json, results.csv,
    report.html."""
    audioset: Annotated[Uri | None, _DATA] = None
    """A finished dataset of the eleven instruments from AudioSet (build_subset), for the figure
    datasets; without it that figure is left out, and the page says so."""
    irmas_split: Annotated[SplitBy, _DATA] = "song"
    """IRMAS's testing clips are in val (30 %) and test (70 %) by song, or by file, as in the
    report."""
    limit: Annotated[Count | None, _DATA] = None
    """Take at most N clips of a class in each split of IRMAS."""
    only: Annotated[tuple[str, ...], words("NAMES", ", ".join(FIGURES)), _WRITTEN] = ()
    """Some figures only, of {known}."""
    epochs: Annotated[Count | None, _MODELS] = None
    """Epochs of every training; the report's 35 if not given."""
    backbone: Annotated[str, Flag("NAME"), _MODELS] = "resnet50"
    """timm's network in place of the report's ResNet-50."""
    input_size: Annotated[tuple[int, int], Flag("HxW", size, "{0[0]}x{0[1]}".format), _MODELS] = (
        256,
        256,
    )
    """The backbone's log-mels become HxW (mel x time)."""
    weights: Annotated[str, Flag("imagenet|URI|none"), _MODELS] = IMAGENET
    """What the backbone begins with."""
    ast_weights: Annotated[str | None, Flag("URI|none"), _MODELS] = None
    """Folder of the published AST (hf download), or none: from nothing; without it AST is left out,
    and the page says so."""
    seed: Annotated[Count, _MODELS] = 0
    """Seed of all trainings and resamples."""
    gpu: Annotated[bool, "where it runs"] = False
    """A GPU for trainings and evaluations."""

    def __post_init__(self) -> None:
        if unknown := [name for name in self.only if name not in FIGURES]:
            raise UsageError(f"--only {','.join(unknown)}: expected some of {', '.join(FIGURES)}")
        for flag, value in (("--epochs", self.epochs), ("--limit", self.limit)):
            if value is not None and value < 1:
                raise UsageError(f"{flag} {value}: expected a whole number from 1 up")
        if self.seed < 0:
            raise UsageError(f"--seed {self.seed}: expected 0 or more")
        if self.backbone in known_names():
            raise UsageError(f"--backbone {self.backbone}: expected a network of timm's")
        if "," in self.out:
            raise UsageError(f"--out {self.out}: expected no comma, which stands between models")

    @property
    def figures(self) -> tuple[str, ...]:
        """The figures to make, in their order."""
        return tuple(name for name in FIGURES if name in (self.only or FIGURES))

    def identity(self) -> dict[str, Any]:
        """Return what results depend on: one folder holds those of one set of options."""
        values = {name: value for name, value in vars(self).items() if name not in _NOT_NAMED}
        return values | {"input_size": list(self.input_size)}
