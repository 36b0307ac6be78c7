"""What of a training's config goes with a regression, and what does not. Light to import."""

from __future__ import annotations

from typing import TYPE_CHECKING, get_args

from pipeline.errors import UsageError
from pipeline.models.names import CLASSICAL, PROBE, Output, Task

if TYPE_CHECKING:
    from pipeline.training.config import TrainConfig

REGRESSION: Task = "regression"
AUGMENTATIONS = ("masks", "shift")
"""What changes the window and not the sound that its targets are of. All others make another sound:
pitch, tilt and randomise its colour, mix its loudness and roughness, noise its sharpness."""

_LEFT_OUT = {
    "teacher": "teachers score classes",
    "encoder": "a probe tells classes",
    "init": "it begins from a tagger's classes; --weights begins from a file's",
    "folds": "a cross-validation measures classes",
}
_NEEDED = {
    "loss": ("sigmoid", "its loss is the mean absolute error, --task regression alone says so"),
    "sampling": ("plain", "the targets of a mixture are not known"),
    "balance": ("none", "it counts classes"),
    "select": ("mae", "its epoch is chosen by the mean absolute error: --select mae"),
    "aggregation": ("s1", "a clip's value is the mean over its windows"),
    "activity": (False, "its targets are of the whole sound: --no-activity"),
}


def check_task(config: TrainConfig) -> None:
    """Raise UsageError where a config asks for what does not go with its task."""
    for name, named in {"task": Task, "output_activation": Output}.items():
        if (value := getattr(config, name)) not in (allowed := get_args(named)):
            raise UsageError(f"{_flag(name)} {value}: expected {', '.join(allowed)}")
    if config.task == REGRESSION:
        _check_regression(config)
    elif config.select == "mae" or config.output_activation != "linear":
        flag = "--select mae" if config.select == "mae" else _flag("output_activation")
        raise UsageError(f"{flag}: of a regression; give --task regression with it")


def _check_regression(config: TrainConfig) -> None:
    if config.model in (*CLASSICAL, PROBE):
        raise UsageError(f"--task regression: {config.model} tells classes; name a network")
    for name, why in _LEFT_OUT.items():
        if getattr(config, name):
            raise UsageError(f"--task regression with {_flag(name)}: {why}; leave it out")
    for name, (value, why) in _NEEDED.items():
        if (found := getattr(config, name)) != value:
            raise UsageError(f"--task regression with {_flag(name)} {found}: {why}")
    if others := [one for one in config.augment if one not in AUGMENTATIONS]:
        raise UsageError(
            f"--task regression with --augment {others[0]}: it changes the sound, and so its "
            f"targets; some of {','.join(AUGMENTATIONS)} do not"
        )


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
