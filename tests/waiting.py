"""Waiting for what happens. There is no clock: a loaded machine takes as long as it takes."""

from __future__ import annotations

import subprocess
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.process import BaseProcess
from typing import Any, TypeVar

import pytest

T = TypeVar("T")
Doer = subprocess.Popen[str] | BaseProcess | Future[Any] | threading.Event
"""Who makes it happen: a process, a thread by its future, or what sets an event when it is over."""


def wait_for(condition: Callable[[], object], *doers: Doer) -> None:
    """Wait until something is true; fail where a doer has ended and it is not.

    Without a doer, and where one lives on and never does it, pytest-timeout ends the test.
    """
    while not condition():
        over = [doer for doer in doers if _is_over(doer)]
        if over and not condition():  # its last deed counts
            pytest.fail("ended before it had happened: " + "; ".join(map(_told, over)))
        time.sleep(0.05)


@contextmanager
def beside(act: Callable[[threading.Event], T]) -> Iterator[Future[T]]:
    """Do something in a thread while the block runs; give its future.

    `act` gets an event that is set when the block is over: a doer for its own waits.
    """
    over = threading.Event()
    with ThreadPoolExecutor(1) as pool:
        try:
            yield pool.submit(act, over)
        finally:
            over.set()


def _is_over(doer: Doer) -> bool:
    if isinstance(doer, subprocess.Popen):
        return doer.poll() is not None
    if isinstance(doer, BaseProcess):
        return doer.exitcode is not None
    return doer.done() if isinstance(doer, Future) else doer.is_set()


def _told(doer: Doer) -> str:
    """Say what a doer ended with."""
    if isinstance(doer, subprocess.Popen):
        said = doer.stdout.read() if doer.stdout else ""
        return f"exit code {doer.returncode}\n{said}"
    if isinstance(doer, BaseProcess):
        return f"exit code {doer.exitcode}"
    return repr(doer.exception() or doer.result()) if isinstance(doer, Future) else "the block"
