"""An exception from any thread into the main thread, also where that waits for something."""

from __future__ import annotations

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Condition, Event
from types import FrameType
from typing import Any

LOCKING = Condition.__enter__.__code__, Condition.__exit__.__code__
"""Where nothing may be raised from outside: the main thread takes or gives back a lock. Threads
would wait for that lock for ever, or it would be given back twice."""
_SIGNAL = signal.SIGUSR2
_AGAIN_S = 0.05


@contextmanager
def raised_in_main(error: Callable[[], Exception | None]) -> Iterator[Callable[[Event], None]]:
    """Give a function that raises what `error` returns in the main thread, which runs the block.

    The function takes an event that is set when the block is over, and tries until then or until it
    was raised. It goes by a signal, as this ends waits, too. In another thread it does nothing.
    """
    if threading.current_thread() is not threading.main_thread():
        yield lambda over: None
        return
    was_raised = False

    def handle(number: int, frame: FrameType | None) -> None:
        nonlocal was_raised
        found = error()
        if found is None or was_raised:
            _hand_on(before, number, frame)  # of a block around this one
        elif frame is None or frame.f_code not in LOCKING:
            was_raised = True
            raise found

    def stop(over: Event) -> None:
        main = threading.main_thread().ident
        while main is not None and not (was_raised or over.is_set()):
            signal.pthread_kill(main, _SIGNAL)
            over.wait(_AGAIN_S)

    before = signal.signal(_SIGNAL, handle)
    try:
        yield stop
    finally:
        # Never the default, which ends the process: a signal may be on its way still.
        signal.signal(_SIGNAL, before if callable(before) else signal.SIG_IGN)


def _hand_on(handler: Any, number: int, frame: FrameType | None) -> None:
    if callable(handler):
        handler(number, frame)
