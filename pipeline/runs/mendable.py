"""An exception in, the fault of it that a user can mend out, if it is one: Ray wraps them.

Light to import: of Ray only what is there already is looked at.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator

from pipeline.errors import TimbreError

_GONE = (
    *("LocalRayletDiedError", "NodeDiedError", "OutOfMemoryError", "OwnerDiedError"),
    *("RayActorError", "WorkerCrashedError"),
)
"""Of `ray.exceptions`: a process that a run needs is gone."""
_NOT_PLACED = "ActorUnschedulableError", "TaskUnschedulableError"
_NOT_STARTED = "startup repeatedly failed"  # in the message of one whose process never came up


def mendable(error: BaseException) -> TimbreError | None:
    """Return the TimbreError that an exception is or wraps, also Ray's; None for a bug."""
    is_task_error, is_gone = _of_ray("RayTaskError"), _of_ray(*_GONE)
    is_not_placed = _of_ray(*_NOT_PLACED)
    causes = [one for one in _causes(error) if not isinstance(one, is_task_error)]
    for one in causes:
        if isinstance(one, TimbreError):
            return one
    for one in causes:
        if isinstance(one, is_gone) and not getattr(one, "actor_init_failed", False):
            why = str(one).strip().splitlines()[-1]
            return TimbreError(
                f"Ray lost a process that the run needs: {why} Look whether memory ran out "
                "(dmesg) or a node went; the same command goes on"
            )
        if isinstance(one, is_not_placed) and _NOT_STARTED in str(one):
            return TimbreError(
                "Ray could not start a process of the run, several times: the machine is too busy, "
                "or Python does not start on that node (jobs.doctor); the same command goes on"
            )
    return None


def _of_ray(*names: str) -> tuple[type[BaseException], ...]:
    """Return exceptions of Ray by their names; none where Ray was never imported: it takes long."""
    exceptions = sys.modules.get("ray.exceptions")
    return tuple(getattr(exceptions, name) for name in names) if exceptions else ()


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and what it wraps: Ray wraps once for every layer."""
    while error is not None:
        yield error
        failures = getattr(error, "worker_failures", None)  # Ray Train's, by rank
        inner = next(iter(failures.values())) if failures else getattr(error, "cause", None)
        error = inner or error.__cause__ or error.__context__
