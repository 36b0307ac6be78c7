"""A process of its own: what crashes or hangs in it is a fault of the item, and nothing more."""

import ctypes
import os
import signal
import time
from functools import partial

import numpy as np
import psutil
import pytest

from pipeline.audio.decoding.decode import decode
from pipeline.audio.decoding.guard import TIMEOUT_S, Guard
from pipeline.errors import DecodeError, Reason
from tests.audio.test_decode import WAV
from tests.waiting import wait_for


def boom() -> None:
    raise ZeroDivisionError("a bug, not a file")


def test_results_and_faults_are_those_of_the_call():
    with Guard() as guard:
        np.testing.assert_array_equal(
            guard(decode, WAV, sample_rate_hz=44_100), decode(WAV, sample_rate_hz=44_100)
        )
        with pytest.raises(DecodeError) as caught:
            guard(decode, b"no audio", sample_rate_hz=44_100)
        assert caught.value.reason == Reason.NOT_AUDIO
        with pytest.raises(ZeroDivisionError, match="a bug"):
            guard(boom)


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ((ctypes.string_at, 0), "SIGSEGV"),
        ((signal.raise_signal, signal.SIGKILL), "SIGKILL"),
        ((os._exit, 3), "exit code 3"),
        ((np.ones, 1 << 40), "out of 8192 MiB"),
    ],
)
def test_a_crash_is_a_fault_and_the_next_call_works(how, words):
    with Guard() as guard:
        assert guard(abs, -1) == 1
        with pytest.raises(DecodeError, match=words) as caught:
            guard(*how)
        assert caught.value.reason == Reason.CRASHED
        assert guard(abs, -2) == 2


def hang(guard: Guard) -> None:
    """Let a call hang; others, and a process's start, have the time that they need."""
    guard._timeout_s = 0.5
    with pytest.raises(DecodeError) as caught:
        guard(time.sleep, 3600)
    guard._timeout_s = TIMEOUT_S
    assert caught.value.reason == Reason.TOO_SLOW


def test_what_hangs_is_ended():
    with Guard() as guard:
        guard(abs, -1)
        hang(guard)
        assert guard(abs, -2) == 2


def test_the_time_out_is_the_one_that_was_asked_for():
    with Guard(timeout_s=0.01) as guard, pytest.raises(DecodeError, match="no end after"):
        guard(time.sleep, 3600)


def test_what_a_process_prepares_takes_the_time_that_it_needs():
    with Guard(timeout_s=0.01) as guard:
        guard.prepare(partial(time.sleep, 0.5))
        began = time.monotonic()
        guard.prepare(partial(time.sleep, 3600))  # done already, in this process
        assert time.monotonic() - began < 60
        with pytest.raises(DecodeError, match="no end after"):
            guard(time.sleep, 3600)
        guard._timeout_s = TIMEOUT_S
        guard.prepare(partial(os.putenv, "PREPARED", "1"))  # the next process, which is another
        assert guard(abs, -1) == 1


@pytest.mark.parametrize("function", [boom, partial(signal.raise_signal, signal.SIGKILL)])
def test_what_cannot_be_prepared_is_left_to_the_calls(function):
    with Guard() as guard:
        guard.prepare(function)
        assert guard(abs, -1) == 1


def test_nothing_is_left_behind():
    n_files = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with Guard() as guard:
            pid = guard(os.getpid)
            assert pid != os.getpid()
            hang(guard)
        assert not psutil.pid_exists(pid)
    assert len(os.listdir("/proc/self/fd")) == n_files


def test_the_process_ends_with_the_one_that_asked(tmp_path):
    guard = Guard()
    pid = guard(os.getpid)
    guard._line.close()  # what the system does when this process is killed
    wait_for(lambda: psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)  # it is our child
    guard._line = None
    guard.close()
