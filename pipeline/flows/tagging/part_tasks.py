"""A step of all parts in, a task a part on the cluster that is named, their results out."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TypeVar

import ray
from ray.exceptions import RayTaskError

from pipeline.flows.cluster import ray_session
from pipeline.tagging.part_steps import Each

Item = TypeVar("Item")
Result = TypeVar("Result")
PART_BYTES = 1 << 30
"""Memory that a task asks for: a part has a million rows at most, whose index, catalogue and work
list take half of it (benchmarks/scale.py)."""


@contextmanager
def each_on_ray(*, max_wait_s: float) -> Iterator[Each]:
    """Lend what does a step of all parts, as `map` does; the errors of a step are its own."""
    with ray_session(max_wait_s=max_wait_s):
        yield _each


def _each(step: Callable[[Item], Result], parts: Sequence[Item]) -> list[Result]:
    task = ray.remote(num_cpus=1, memory=PART_BYTES)(_call)
    shared = ray.put(step)  # with all that it holds, once for all parts
    try:
        results: list[Result] = ray.get([task.remote(shared, part) for part in parts])
    except RayTaskError as error:
        raise error.cause from None
    return results


def _call(step: Callable[[Any], Any], part: Any) -> Any:
    return step(part)
