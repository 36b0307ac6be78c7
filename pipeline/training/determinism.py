"""The same bytes from the same run, on GPUs too: the settings that this takes, and their end.

On a CPU a run is repeatable as it is. On a GPU some kernels add in whatever order their threads
come, and cuDNN tries kernels and keeps the fastest.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Concatenate, ParamSpec, TypeVar

import torch

from pipeline.errors import TimbreError
from pipeline.training.config import TrainConfig

P = ParamSpec("P")
T = TypeVar("T")

ENVIRONMENT = {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
"""Of a process that trains so; cuBLAS reads it when it starts."""


class NoDeterministicOp(TimbreError):
    """An operation of the training has no deterministic form on this device."""


@contextmanager
def deterministic(is_wanted: bool) -> Iterator[None]:
    """Let torch take deterministic operations only, within the block.

    Raises
    ------
    NoDeterministicOp
        Where an operation has no such form.
    """
    if not is_wanted:
        yield
        return
    before = (
        torch.are_deterministic_algorithms_enabled(),
        torch.is_deterministic_algorithms_warn_only_enabled(),
        torch.backends.cudnn.benchmark,
    )
    for name, setting in ENVIRONMENT.items():
        os.environ.setdefault(name, setting)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    try:
        yield
    except RuntimeError as error:
        if (line := _told(error)) is not None:
            raise NoDeterministicOp(line) from error
        raise
    finally:
        torch.use_deterministic_algorithms(before[0], warn_only=before[1])
        torch.backends.cudnn.benchmark = before[2]


def as_configured(
    train: Callable[Concatenate[TrainConfig, P], T],
) -> Callable[Concatenate[TrainConfig, P], T]:
    """Let a training, whose first argument is its config, be deterministic where that says so."""

    @wraps(train)
    def within(config: TrainConfig, /, *args: P.args, **kwargs: P.kwargs) -> T:
        with deterministic(config.deterministic):
            return train(config, *args, **kwargs)

    return within


def _told(error: RuntimeError) -> str | None:
    """Return what a user can do about an error of torch's, where it is about determinism."""
    text = str(error)
    if "does not have a deterministic implementation" not in text:
        return None
    name = text.partition(" does not have")[0].split()[-1]
    return (
        f"--deterministic: {name} has no deterministic form on this device; leave out what needs "
        "it (--augment pitch needs cumsum, on a GPU), train on a CPU, or leave out --deterministic"
    )
