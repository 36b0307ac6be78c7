"""Entry points for `ray job submit`: parse, run one flow, print a summary, exit."""

import signal
import sys
from types import TracebackType

import pipeline as pipeline  # before Ray, which is to listen on loopback
from pipeline.errors import UsageError


def say_in_a_line(
    kind: type[BaseException], error: BaseException, trace: TracebackType | None
) -> None:
    """Print what a user can mend in one line, and exit; anything else as Python does.

    Jobs say it themselves (`harness.run`); this is for what their imports meet: a file that was
    added at a seam, and cannot be imported, is read before there is a job.
    """
    if not isinstance(error, UsageError):
        sys.__excepthook__(kind, error, trace)
        return
    print(f"error: {error}", file=sys.stderr)
    sys.exit(2)  # harness.USAGE, which is not imported yet


def prepare_process() -> None:
    """Make Ctrl-C and errors short until a job runs, which then sees to both itself."""
    sys.excepthook = say_in_a_line
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # ends the process, without a traceback


if sys.argv[:1] == ["-m"]:  # python -m jobs.x, and not a program that imports it
    prepare_process()
