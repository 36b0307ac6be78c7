"""What a training is told, beside what decides the model (`learn.config.TrainConfig`)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from pipeline.errors import UsageError
from pipeline.flags import Count, Uri, described
from pipeline.models.names import IMAGENET
from pipeline.models.starter import for_all_processes
from pipeline.training.config import NO_WEIGHTS, WHERE, TrainConfig, check_start

_FILES = "what is read and written"


@described
@dataclass(frozen=True)
class FitConfig:
    """What to train on, where to, and with how much."""

    dataset: Annotated[Uri, _FILES]
    """The dataset's folder, from build_subset."""
    out: Annotated[Uri, _FILES]
    """The model's folder: a path, s3://, gs://."""
    train: TrainConfig
    """What decides the model: `help(TrainConfig)`."""
    workers: Annotated[Count, WHERE] = 1
    """Processes that train together."""
    gpu: Annotated[bool, WHERE] = False
    """A GPU for every worker, in bfloat16."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise UsageError(f"--workers {self.workers}: expected a whole number from 1 up")
        check_start(self.train)
        weights = self.train.weights
        is_path = weights not in (None, IMAGENET, NO_WEIGHTS) and Path(str(weights)).exists()
        if is_path:  # Ray's workers are in another folder
            absolute = replace(self.train, weights=str(Path(str(weights)).absolute()))
            object.__setattr__(self, "train", absolute)
        object.__setattr__(self, "train", _with_absolute_models(self.train))
        if (folder := self.train.cache_dir) is not None:
            absolute = replace(self.train, cache_dir=str(Path(folder).absolute()))
            object.__setattr__(self, "train", absolute)


def _with_absolute_models(config: TrainConfig) -> TrainConfig:
    """Return the config with its models' folders as URIs: workers are in another folder."""
    init = None if config.init is None else for_all_processes(config.init)
    encoder, teacher = (
        tuple(map(for_all_processes, uris)) for uris in (config.encoder, config.teacher)
    )
    return replace(config, init=init, encoder=encoder, teacher=teacher)
