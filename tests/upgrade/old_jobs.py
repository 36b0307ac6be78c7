"""Runs jobs of the old version, all in one process and one Ray; a program, not a test.

    PYTHONPATH=OLD_TREE python old_jobs.py '[["build_subset", "--out", ...], ["train", ...]]'

A process has the old modules or the present ones, never both.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
import threading
import time
from contextlib import ExitStack
from pathlib import Path

from pipeline.flows.cluster import ray_session

INTERRUPTED = 130
_STARTS = 5


def main(commands: list[list[str]]) -> None:
    """Run each command; end with the first exit code that is not what it should be.

    `interrupted:train` is a training that gets a Ctrl-C after its first checkpoint.
    """
    with ExitStack() as stack:
        _start_ray(stack)
        for name, *words in commands:
            how, _, job = name.rpartition(":")
            if how:
                runs = Path(words[words.index("--out") + 1]) / "runs"
                threading.Thread(target=_interrupt_at, args=(runs,), daemon=True).start()
            expected = INTERRUPTED if how else 0
            code = importlib.import_module(f"jobs.{job}").main(words)
            if code != expected:
                sys.exit(f"{job} {words}: exit code {code}, expected {expected}")


def _start_ray(stack: ExitStack) -> None:
    """Start Ray; again where a busy machine was slower than the 30 s that Ray waits."""
    for n_left in reversed(range(_STARTS)):
        try:
            stack.enter_context(ray_session(min_cpus=4))
            return
        except Exception as error:  # Ray has no type of its own for it
            if "timed out during startup" not in str(error) or not n_left:
                raise


def _interrupt_at(runs: Path) -> None:
    while not list(runs.glob("*/checkpoint_manager_snapshot.json")):  # or it does not count
        time.sleep(0.02)
    os.kill(os.getpid(), signal.SIGINT)


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
