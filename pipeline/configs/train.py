"""What a training is told, beside what decides the model (`learn.config.TrainConfig`)."""

from __future__ import annotations

from argparse import ArgumentTypeError
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

from pipeline.configs.cluster import ClusterConfig
from pipeline.errors import UsageError
from pipeline.flags import Flag, Seconds, Uri, described
from pipeline.models.names import IMAGENET
from pipeline.models.starter import for_all_processes
from pipeline.training.config import NO_WEIGHTS, WHERE, TrainConfig, check_start

_FILES = "what is read and written"


def worker_range(text: str) -> int | tuple[int, int]:
    """Parse '4' as a number of workers, '2..8' as the least and the most."""
    least, dots, most = text.partition("..")
    if not least.isdecimal() or (dots and not most.isdecimal()):
        raise ArgumentTypeError(f"{text!r}: expected a number such as 4, or 2..8")
    return (int(least), int(most)) if dots else int(least)


def range_text(workers: int | tuple[int, int]) -> str:
    """Return a number of workers as it is typed: 4, or 2..8."""
    return str(workers) if isinstance(workers, int) else f"{workers[0]}..{workers[1]}"


@described
@dataclass(frozen=True)
class FitConfig(ClusterConfig):
    """What to train on, where to, and with how much."""

    dataset: Annotated[Uri, _FILES]
    """The dataset's folder, from build_subset."""
    out: Annotated[Uri, _FILES]
    """The model's folder: a path, s3://, gs://."""
    train: TrainConfig
    """What decides the model: `help(TrainConfig)`."""
    workers: Annotated[int | tuple[int, int], Flag("N|N..M", worker_range, range_text), WHERE] = 1
    """Processes that train together; 2..8: as many as there is room for, also when nodes go or
    come."""
    gpu: Annotated[bool, WHERE] = False
    """A GPU for every worker, in bfloat16."""
    grow_every_s: Annotated[Seconds, Flag("S"), WHERE] = 300.0
    """How often a training with --workers N..M looks for room for more of them, in s; it takes
    them in at the last epoch's end, and goes on from there."""

    def __post_init__(self) -> None:
        if not 1 <= self.least_workers <= self.most_workers:
            raise UsageError(
                f"--workers {range_text(self.workers)}: expected a whole number from 1 up, or two "
                "such as 2..8"
            )
        if not self.grow_every_s > 0:
            raise UsageError(f"--grow-every-s {self.grow_every_s:g}: expected more than 0")
        check_start(self.train)
        object.__setattr__(self, "train", _with_absolute_places(self.train))
        if (folder := self.train.cache_dir) is not None:
            absolute = replace(self.train, cache_dir=str(Path(folder).absolute()))
            object.__setattr__(self, "train", absolute)

    @property
    def least_workers(self) -> int:
        """With fewer the training waits for room."""
        return self.workers if isinstance(self.workers, int) else self.workers[0]

    @property
    def most_workers(self) -> int:
        """The largest number of workers that train together."""
        return self.workers if isinstance(self.workers, int) else self.workers[1]


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
