"""A process of its own: what crashes or hangs in it is a fault of the item, and nothing more."""

import ctypes
import os
import signal
import time

import numpy as np
import psutil
import pytest

from pipeline.audio.decode import decode
from pipeline.audio.guard import Guard
from pipeline.errors import DecodeError, Reason
from tests.audio.test_decode import WAV


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


def test_what_hangs_is_ended():
    with Guard(timeout_s=0.5) as guard:
        guard(abs, -1)
        began = time.monotonic()
        with pytest.raises(DecodeError) as caught:
            guard(time.sleep, 60)
        assert caught.value.reason == Reason.TOO_SLOW
        assert time.monotonic() - began < 5
        assert guard(abs, -2) == 2


def test_nothing_is_left_behind():
    n_files = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with Guard(timeout_s=0.5) as guard:
            pid = guard(os.getpid)
            assert pid != os.getpid()
            with pytest.raises(DecodeError):
                guard(time.sleep, 60)
        assert not psutil.pid_exists(pid)
    assert len(os.listdir("/proc/self/fd")) == n_files


def test_the_process_ends_with_the_one_that_asked(tmp_path):
    guard = Guard()
    pid = guard(os.getpid)
    guard._line.close()  # what the system does when this process is killed
    psutil.wait_procs([psutil.Process(pid)], timeout=5)
    assert not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    guard._line = None
    guard.close()
