"""What every job shares: flags that state their defaults, clear errors, exit codes.

0 all well, 1 failed, 2 usage, 3 finished but past the failure limit, 130 interrupted (by Ctrl-C or
a scheduler's SIGTERM).
"""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from logging import ERROR, WARNING
from time import monotonic
from typing import NoReturn

from ray.exceptions import (
    LocalRayletDiedError,
    NodeDiedError,
    OutOfMemoryError,
    OwnerDiedError,
    RayActorError,
    RayTaskError,
    WorkerCrashedError,
)

from pipeline.errors import TimbreError, UsageError
from pipeline.flows.logs import logged, say

OK, FAILED, USAGE, PAST_LIMIT, INTERRUPTED = 0, 1, 2, 3, 130
_GONE = (
    LocalRayletDiedError,
    NodeDiedError,
    OutOfMemoryError,
    OwnerDiedError,
    RayActorError,
    WorkerCrashedError,
)


def parser(
    description: str | None, *, parents: Sequence[argparse.ArgumentParser] = ()
) -> argparse.ArgumentParser:
    """Return a parser whose --help shows every default, and whose errors are one line."""
    spec = sys.modules["__main__"].__spec__
    return _Parser(
        prog=f"python -m {spec.name}" if spec else None,
        description=description,
        parents=parents,
        formatter_class=_Help,
    )


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        self.exit(USAGE, f"error: {message}; {self.prog} --help says what there is\n")


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    def _get_help_string(self, action: argparse.Action) -> str | None:
        is_plain = action.default in (None, "", ()) or action.default is False
        return action.help if is_plain else super()._get_help_string(action)


def share(text: str) -> float:
    """Parse '1%' or '0.01' as a share of 1."""
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1.0
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text!r}: expected a share such as 1% or 0.01")
    return value


def within(n_failed: int, n_all: int, limit: float, what: str) -> int:
    """Return the exit code by --max-failed; past the limit say why, as no other line may."""
    if n_failed <= limit * n_all:
        return OK
    text = f"{n_failed:,} of {n_all:,} {what}, more than --max-failed {100 * limit:g}% allows"
    say("past_limit", level=WARNING, text=text)
    return PAST_LIMIT


def words(text: str) -> tuple[str, ...]:
    """Parse 'a,b' as words."""
    return tuple(word.strip() for word in text.split(",") if word.strip())


def size(text: str) -> tuple[int, int]:
    """Parse '256x128' as height and width."""
    height, _, width = text.partition("x")
    if not (height.isdecimal() and width.isdecimal() and int(height) and int(width)):
        raise argparse.ArgumentTypeError(f"{text!r}: expected HEIGHTxWIDTH, such as 256x256")
    return int(height), int(width)


def run(job: Callable[[], int]) -> int:
    """Run a job; return its exit code, and print what a user can mend in one line."""
    spec = sys.modules[job.__module__].__spec__
    if threading.current_thread() is threading.main_thread():
        for number in (signal.SIGINT, signal.SIGTERM):  # Ctrl-C, and what schedulers send
            signal.signal(number, signal.default_int_handler)
    try:
        with logged(spec.name if spec else job.__module__):
            return _run(job)
    except UsageError as error:  # of the log itself
        print(f"error: {error}", file=sys.stderr)
        return USAGE


def _run(job: Callable[[], int]) -> int:
    began, code = monotonic(), FAILED
    say("began")
    try:
        code = job()
    except KeyboardInterrupt:
        text = "interrupted: what is committed stays; the same command goes on"
        say("interrupted", level=WARNING, text=text)
        code = INTERRUPTED
    except Exception as error:
        cause = _mendable(error)
        if cause is None:
            raise
        say("failed", level=ERROR, text=f"error: {cause}")
        code = USAGE if isinstance(cause, UsageError) else FAILED
    finally:
        say("ended", exit_code=code, seconds=round(monotonic() - began, 3))
    return code


def _mendable(error: BaseException) -> TimbreError | None:
    """Return the TimbreError that an exception is or wraps; None for a bug."""
    causes = [one for one in _causes(error) if not isinstance(one, RayTaskError)]
    for one in causes:
        if isinstance(one, TimbreError):
            return one
    for one in causes:
        if isinstance(one, _GONE) and not getattr(one, "actor_init_failed", False):
            why = str(one).strip().splitlines()[-1]
            return TimbreError(
                f"Ray lost a process that the run needs: {why} Look whether memory ran out "
                "(dmesg) or a node went; the same command goes on"
            )
    return None


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    """Yield an exception and what it wraps: Ray wraps once for every layer."""
    while error is not None:
        yield error
        failures = getattr(error, "worker_failures", None)  # Ray Train's, by rank
        inner = next(iter(failures.values())) if failures else getattr(error, "cause", None)
        error = inner or error.__cause__ or error.__context__
