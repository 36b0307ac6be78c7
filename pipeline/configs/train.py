"""What a training is told, beside what decides the model (`learn.config.TrainConfig`)."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
        object.__setattr__(self, "train", _with_absolute_places(self.train))


def _with_absolute_places(config: TrainConfig) -> TrainConfig:
    """Return the config with what it begins from as absolute paths and URIs.

    Workers are in another folder than the caller.
    """
    weights = config.weights
    if weights not in (None, IMAGENET, NO_WEIGHTS):
        from pipeline.store.folder import Folder  # as late as can be: it brings pyarrow

        weights = Folder(str(weights)).uri
    init = None if config.init is None else for_all_processes(config.init)
    encoder, teacher = (
        tuple(map(for_all_processes, uris)) for uris in (config.encoder, config.teacher)
    )
    return replace(config, weights=weights, init=init, encoder=encoder, teacher=teacher)
