"""Calls in a process of their own: what crashes or hangs a decoder takes nothing else with it.

    with Guard(timeout_s=60) as guard:
        samples = guard(decode, path, sample_rate_hz=44_100)    # DecodeError: crashed, too_slow

One process, kept for the next call, and a new one after a crash. Its memory is limited, so that a
file that unpacks to all the machine has ends as a fault as well. Functions are passed by name,
arguments and results are pickled: both ends are this package.
"""

from __future__ import annotations

import os
import resource
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection
from typing import Any, ParamSpec, TypeVar

from pipeline.errors import DecodeError, Reason

P = ParamSpec("P")
R = TypeVar("R")

TIMEOUT_S = 120.0
"""The slowest good file so far, two hours of Opus, takes 20 s."""
MAX_MEMORY_BYTES = 8 << 30
"""Address space of the process: numba and FFmpeg reserve more than they use."""
_DEATHS = 3  # anybody may kill a process: memory, an operator, chaos
_RENEW_AFTER = 2000  # calls: what a decoder leaks does not add up


class Guard:
    """A child process that does one call at a time. Not for several threads at once."""

    def __init__(
        self, *, timeout_s: float = TIMEOUT_S, max_memory_bytes: int = MAX_MEMORY_BYTES
    ) -> None:
        self._timeout_s, self._max_memory_bytes = timeout_s, max_memory_bytes
        self._child: subprocess.Popen[bytes] | None = None
        self._line: Connection | None = None
        self._is_prepared = False
        self._n_calls = 0

    def __enter__(self) -> Guard:
        """Return the guard, which starts its process at the first call."""
        return self

    def __exit__(self, *_: object) -> None:
        """End the guard's process, whatever it is at."""
        self.close()

    def __call__(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Return what the function returns, or raise what it raises.

        Raises
        ------
        DecodeError
            crashed, where the process died of it; too_slow, where it took more than `timeout_s`.
        """
        return self._answer(self._timeout_s, (function, args, kwargs))  # type: ignore[no-any-return]

    def retried(self, function: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Do as a call does, but blame a file only when several processes have died of it."""
        for _ in range(_DEATHS - 1):
            try:
                return self(function, *args, **kwargs)
            except DecodeError as error:
                if error.reason is not Reason.CRASHED:
                    raise
        return self(function, *args, **kwargs)

    def prepare(self, function: Callable[[], None]) -> None:
        """Call a function once in each process, however long it takes.

        What is compiled at its first use may take a busy machine minutes, which are no file's. What
        the function raises is dropped: calls that need it will say so.
        """
        if self._is_prepared:
            return
        with suppress(Exception):
            self._answer(None, (function, (), {}))
        self._is_prepared = self._child is not None  # somebody may have killed it

    def close(self) -> None:
        """End the process; the next call starts another."""
        if self._child is not None:
            self._child.kill()
            self._child.wait()
        if self._line is not None:
            self._line.close()
        self._child = self._line = None
        self._is_prepared = False

    def _answer(self, timeout_s: float | None, call: tuple[Any, ...]) -> Any:
        """Return what the process answers, or raise it; without `timeout_s` wait for the end."""
        line = self._ready()
        try:
            line.send(call)
            if not line.poll(timeout_s):
                raise DecodeError(Reason.TOO_SLOW, f"no end after {timeout_s:.0f} s")
            is_fault, result = line.recv()
        except (EOFError, OSError) as error:
            raise DecodeError(Reason.CRASHED, self._last_words()) from error
        except BaseException:  # the answer to this call must not be taken for that to the next
            self.close()
            raise
        if is_fault:
            raise result
        return result

    def _ready(self) -> Connection:
        self._n_calls += 1
        if self._n_calls % _RENEW_AFTER == 0:
            self.close()
        if self._line is None:
            ours, theirs = socket.socketpair()
            with theirs:
                self._child = subprocess.Popen(
                    [sys.executable, "-m", __name__, str(theirs.fileno())],
                    pass_fds=[theirs.fileno()],
                    stdin=subprocess.DEVNULL,
                    process_group=0,  # a terminal's Ctrl-C must not meet it while it starts
                    env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                )
            self._line = Connection(ours.detach())
            self._line.send(self._max_memory_bytes)
        return self._line

    def _last_words(self) -> str:
        """Say how the process ended."""
        assert self._child is not None
        code = self._child.wait()
        self.close()
        how = signal.Signals(-code).name if code < 0 else f"exit code {code}"
        return f"the decoder's process died: {how}"


def _serve(line: Connection) -> None:
    """Answer calls until the other end is gone."""
    limit = line.recv()
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the parent's to handle
    while True:
        try:
            function, args, kwargs = line.recv()
        except EOFError:
            return
        try:
            answer = (False, function(*args, **kwargs))
        except MemoryError as error:
            answer = (True, DecodeError(Reason.CRASHED, f"out of {limit >> 20} MiB: {error}"))
        except Exception as error:  # it is raised where the call came from
            answer = (True, error)
        line.send(answer)


if __name__ == "__main__":
    _serve(Connection(int(sys.argv[1])))
