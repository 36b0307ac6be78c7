"""A wait ends when the thing happens, or when those who should do it are dead."""

import multiprocessing
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.waiting import beside, wait_for


def started(script: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", script]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def test_what_a_process_does_is_waited_for(tmp_path):
    with started(f"open({str(tmp_path / 'x')!r}, 'w'); input()") as process:
        wait_for((tmp_path / "x").exists, process)
        process.kill()


def test_what_it_did_last_counts(tmp_path):
    with started(f"open({str(tmp_path / 'x')!r}, 'w')") as process:
        process.wait()
        wait_for((tmp_path / "x").exists, process)


def test_a_process_that_ended_without_it_is_told():
    with started("print('no room'); raise SystemExit(3)") as process:
        with pytest.raises(pytest.fail.Exception, match=r"exit code 3\nno room"):
            wait_for(lambda: False, process)


def test_so_is_a_child_and_a_thread():
    child = multiprocessing.get_context("spawn").Process(target=sys.exit, args=(4,))
    child.start()
    with pytest.raises(pytest.fail.Exception, match="exit code 4"):
        wait_for(lambda: False, child)
    with ThreadPoolExecutor(1) as pool:
        with pytest.raises(pytest.fail.Exception, match="ZeroDivisionError"):
            wait_for(lambda: False, pool.submit(lambda: 1 / 0))


def test_who_waits_beside_a_block_is_told_of_its_end():
    with pytest.raises(ZeroDivisionError):
        with beside(lambda over: wait_for(lambda: False, over)) as waiting:
            raise ZeroDivisionError
    with pytest.raises(pytest.fail.Exception, match="the block"):
        waiting.result()
