"""What every job shares: flags that state their defaults, clear errors, exit codes.

0 all well, 1 failed, 2 usage, 3 finished but past the failure limit, 130 interrupted (by Ctrl-C or
a scheduler's SIGTERM), 141 who reads the output has left (`... | head`).
"""

from __future__ import annotations

import argparse
import os
import re
import select
import signal
import sys
import textwrap
import threading
from collections.abc import Callable, Collection, Sequence
from contextlib import suppress
from itertools import takewhile
from logging import ERROR, WARNING
from time import monotonic
from types import FrameType
from typing import Any, NoReturn, Self

from pipeline.errors import UsageError, did_you_mean
from pipeline.flags import add_flags
from pipeline.report.wording import past_limit_text
from pipeline.runs.joined import relative_on_cluster
from pipeline.runs.logs import logged, say
from pipeline.runs.mendable import mendable
from pipeline.store.claims.main_thread import LOCKING

OK, FAILED, USAGE, PAST_LIMIT, INTERRUPTED, UNREAD = 0, 1, 2, 3, 130, 141
_PLACES = {"URI", "GLOB", "MANIFEST", "CSV", "TOML", "JSON", "FILE", "DIR", "PATH"}
"""Of the metavars, those that stand for files and folders."""


def parser(
    description: str | None,
    *configs: type,
    takes_relative: bool = False,
    optional: Collection[str] = (),
) -> argparse.ArgumentParser:
    """Return a parser of what dataclasses ask for; its --help shows every default.

    Its errors are one line. On a cluster a relative path is one, unless `takes_relative`. Flags of
    `optional` need not be given though their fields have no default.
    """
    made = _Parser(
        prog=_program(),
        description=description,
        formatter_class=_Help,
    )
    made.takes_relative = takes_relative
    for config in configs:
        add_flags(made, config, optional=optional)
    return made


def _program() -> str | None:
    """Return how the user has named the job; None where `jobs.__main__` has put it into argv."""
    spec = sys.modules["__main__"].__spec__
    return f"python -m {spec.name}" if spec and spec.name != "jobs.__main__" else None


class _Parser(argparse.ArgumentParser):
    takes_relative = False
    _words: Sequence[str] = ()
    """The words of the command line that are parsed."""

    def parse_known_args(  # type: ignore[override]
        self, args: Sequence[str] | None = None, namespace: None = None
    ) -> tuple[argparse.Namespace, list[str]]:
        self._words = sys.argv[1:] if args is None else args
        found, left = super().parse_known_args(args, namespace)
        if not self.takes_relative:
            self._check_places(found)
        return found, left

    def _check_places(self, found: argparse.Namespace) -> None:
        """Refuse relative paths on a cluster, where they lead elsewhere than the user means."""
        for action in self._actions:
            if not is_place(action):
                continue
            for text in _texts(getattr(found, action.dest), str(action.metavar)):
                is_word = text in str(action.metavar).split("|")
                if not is_word and (wrong := relative_on_cluster(text)):
                    self._fail(f"{action.option_strings[0]} {wrong}")

    def error(self, message: str) -> NoReturn:
        self._fail(f"{self._unknown_flag() or message}; {self.prog} --help says what there is")

    def _unknown_flag(self) -> str:
        """Return what to say of the first flag that is not known; '' where all are.

        It goes before any other fault: a flag that is required may be the one that is misspelt.
        """
        known = [flag for action in self._actions for flag in action.option_strings]
        for word in takewhile("--".__ne__, self._words):
            name = word.partition("=")[0]
            is_flag = re.match(r"-[^\d.]", name) and " " not in word
            if is_flag and not any(flag.startswith(name) for flag in known):
                return f"{name}: no such flag{did_you_mean(name, known)}"
        return ""

    def _fail(self, text: str) -> NoReturn:
        with suppress(UsageError), logged(self.prog.removeprefix("python -m ")):
            say("failed", level=ERROR, text=f"error: {text}")
        self.exit(USAGE)


class _Help(argparse.ArgumentDefaultsHelpFormatter):
    def _get_help_string(self, action: argparse.Action) -> str:
        """Return the help with the default, which stands before a list of choices."""
        is_plain = action.default in (None, "", ()) or action.default is False
        given = action.help or ""
        told = given if is_plain else super()._get_help_string(action) or ""
        first, *choices = given.split("\n")
        return "\n".join([first + told.removeprefix(given), *choices])

    def _split_lines(self, text: str, width: int) -> list[str]:
        """Wrap a text, and each of the choices that stand below it on lines of their own."""
        first, *choices = text.split("\n")
        wrap = textwrap.TextWrapper(width, initial_indent="  ", subsequent_indent="    ").wrap
        return [*super()._split_lines(first, width), *(one for c in choices for one in wrap(c))]


def is_place(action: argparse.Action) -> bool:
    """Say whether a flag takes a path or URI, as its metavar tells: `imagenet|URI`, `URI,URI`."""
    return not _PLACES.isdisjoint(re.split("[|,]", str(action.metavar)))


def _texts(given: Any, metavar: str) -> list[str]:
    """Return the values of a flag that was given, apart where its metavar has a comma."""
    values = given if isinstance(given, (list, tuple)) else [given]
    texts = [text for text in values if text is not None]
    return [part for text in texts for part in text.split(",")] if "," in metavar else texts


def check_limit(n: int, n_all: int, limit: float, what: str, *, flag: str = "--max-failed") -> int:
    """Return the exit code by a flag's share; past the limit say why, as no other line may."""
    text = past_limit_text(n, n_all, limit, what, flag=flag)
    return past_limit(text) if text else OK


def past_limit(text: str) -> int:
    """Say which limit of the caller's is passed; return the exit code."""
    say("past_limit", level=WARNING, text=text)
    return PAST_LIMIT


def run(job: Callable[[], int]) -> int:
    """Run a job; return its exit code, and print what a user can mend in one line."""
    spec = sys.modules[job.__module__].__spec__
    try:
        with logged(spec.name if spec else job.__module__), _Interrupts() as interrupts:
            return _run(job, interrupts)
    except UsageError as error:  # of the log itself
        print(f"error: {error}", file=sys.stderr)
        return USAGE


def exit_process(code: int) -> NoReturn:
    """End the process with a job's exit code.

    After an interrupt at once: of what it broke off, threads may still run, and one that meets
    what Python has taken down ends the process by SIGSEGV.
    """
    if code == INTERRUPTED:
        with suppress(OSError):  # who reads it may have been interrupted too
            sys.stdout.flush()
            sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


class _Interrupts:
    """Make KeyboardInterrupt of Ctrl-C, and of what schedulers send, and know that one came.

    Not where the main thread takes or gives back a lock (1 of 200 that met a thread pool). A moment
    later then.
    """

    _NUMBERS = signal.SIGINT, signal.SIGTERM, signal.SIGALRM
    _LATER_S = 0.01

    def __init__(self) -> None:
        self.came = False
        self._before: list[Any] = []

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = [signal.signal(number, self) for number in self._NUMBERS]
        return self

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        for number, handler in zip(self._NUMBERS, self._before, strict=False):
            signal.signal(number, handler or signal.SIG_DFL)

    def __call__(self, _: int, frame: FrameType | None) -> None:
        self.came = True
        if frame is None or frame.f_code not in LOCKING:
            raise KeyboardInterrupt
        signal.setitimer(signal.ITIMER_REAL, self._LATER_S)


def _run(job: Callable[[], int], interrupts: _Interrupts) -> int:
    began, code = monotonic(), FAILED
    say("began")
    try:
        code = job()
    except (Exception, KeyboardInterrupt) as error:
        if interrupts.came or isinstance(error, KeyboardInterrupt):
            code = _interrupted()
        elif isinstance(error, BrokenPipeError) and _reader_has_left():
            code = UNREAD
        else:
            code = _failed(error)
    finally:
        say("ended", exit_code=code, seconds=round(monotonic() - began, 3))
    return code


def _reader_has_left() -> bool:
    """Say whether nobody reads the output any more; what is still to come goes nowhere then."""
    waiting = select.poll()
    waiting.register(sys.stdout.fileno(), 0)
    has_left = any(event & select.POLLERR for _, event in waiting.poll(0))
    if has_left:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # or the exit would raise
    return has_left


def _interrupted() -> int:
    text = "interrupted: what is committed stays; the same command goes on"
    say("interrupted", level=WARNING, text=text)
    return INTERRUPTED


def _failed(error: BaseException) -> int:
    """Say in a line what a user can mend, and return the exit code; raise what is a bug."""
    cause = mendable(error)
    if cause is None:
        raise error
    say("failed", level=ERROR, text=f"error: {cause}")
    return USAGE if isinstance(cause, UsageError) else FAILED
