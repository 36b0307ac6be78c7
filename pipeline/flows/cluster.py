"""Ray, met once: start or join it, count what it has."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import ray
from ray.autoscaler.sdk import request_resources
from ray.exceptions import AuthenticationError
from tenacity import Retrying, retry_if_exception, stop_after_attempt

from pipeline.configs.cluster import MAX_WAIT_S
from pipeline.errors import TimbreError, UsageError
from pipeline.flows import metrics
from pipeline.runs.logs import log_as_objects, log_form, say

_TOO_SLOW = "timed out during startup"  # in the message of a Ray that did
_MOST_STARTS = 3
_OBJECT_STORE_BYTES = 1 << 30
_EXECUTOR_ENDS_S = 30.0
_LOOK_EVERY_S = 1.0
_WHY_CHARS = 300  # of what Ray says
_ANSWERS_S = 10.0
_PROCESS_STARTS_S = "300"  # Ray's 60 are too few for torch on a machine that others use, too


@contextmanager
def ray_session(
    *, min_cpus: int = 1, gpu: bool = False, max_wait_s: float = MAX_WAIT_S
) -> Iterator[None]:
    """Join the cluster that RAY_ADDRESS names (`ray job submit` sets it), or start a local Ray.

    Parameters
    ----------
    min_cpus
        Logical CPUs of a local Ray: Ray Data needs some to spare for its own reading tasks, or it
        waits for ever. It listens on loopback only.
    gpu
        Whether the job wants GPUs: UsageError where this machine would have to have one.
    max_wait_s
        How long to wait, in s, for a cluster that has no CPU or GPU yet; see `await_room`.
    """
    if ray.is_initialized():
        yield
        return
    try:
        with own_signal(signal.SIGTERM):
            _start_or_join(min_cpus=min_cpus, gpu=gpu)
        if "RAY_ADDRESS" in os.environ:
            await_room("GPU" if gpu else "CPU", max_wait_s=max_wait_s)
        yield
    finally:
        metrics.stop()
        _end_executors()
        ray.shutdown()


def _start_or_join(*, min_cpus: int, gpu: bool) -> None:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    quiet: dict[str, Any] = {"logging_level": "ERROR", "log_to_driver": False}
    if log_form() == "json":
        os.environ.setdefault("RAY_BACKEND_LOG_JSON", "1")  # what its C++ says is an object, too
    if "RAY_ADDRESS" in os.environ:
        _join(os.environ["RAY_ADDRESS"], **quiet)
        _hear_of_restarts()
    else:
        if gpu and not _has_gpu():
            raise UsageError(
                "--gpu: torch finds no GPU here; leave it out, or submit the job to a cluster "
                "that has some (docs/cluster.md)"
            )
        os.environ.setdefault("RAY_TRAIN_ENABLE_PREEMPTION_WATCHER", "0")  # nobody takes this node
        os.environ.setdefault("RAY_worker_register_timeout_seconds", _PROCESS_STARTS_S)
        os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # it warns of Ray Data's own actors
        say("starting", text="starting Ray on this machine")
        with _silenced_stderr():  # and says there that it was told not to
            _init_local(
                address="local",
                num_cpus=max(min_cpus, own_cpus()),
                include_dashboard=False,
                object_store_memory=_OBJECT_STORE_BYTES,
                _node_ip_address="127.0.0.1",
                **quiet,
            )
    log_as_objects("ray")


def _join(address: str, **options: Any) -> None:
    """Join the cluster of RAY_ADDRESS; one that does not answer is told at once, not by Ray."""
    say("joining", text=f"joining the Ray cluster at {address}")
    try:
        _check_answers(address)
        ray.init(**options)
    except (AuthenticationError, OSError, RuntimeError) as error:
        why = " ".join(str(error).split())[:_WHY_CHARS].rstrip(".")
        raise TimbreError(
            f"RAY_ADDRESS={address}: cannot join that Ray cluster: {why}; look whether its "
            "head runs, and at the token (RAY_AUTH_MODE), or unset RAY_ADDRESS to run on this "
            "machine"
        ) from error


def _check_answers(address: str) -> None:
    """Raise OSError where nothing listens at HOST:PORT; Ray itself asks on for minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host.strip("[]"), int(port)), _ANSWERS_S).close()


def _has_gpu() -> bool:
    import torch  # here, as most workers do without it

    return torch.cuda.is_available()


def _init_local(**options: Any) -> None:
    """Start a Ray of our own; Ray gives it 30 s, which may be too short on a busy machine."""
    starts = Retrying(
        stop=stop_after_attempt(_MOST_STARTS),
        retry=retry_if_exception(_is_too_slow),
        after=lambda _: ray.shutdown(),
        reraise=True,
    )
    try:
        starts(ray.init, **options)
    except Exception as error:  # Ray has no type of its own for it
        if not _is_too_slow(error):
            raise
        raise TimbreError(
            f"Ray did not start within 30 s, {_MOST_STARTS} times: the machine is too busy; run "
            "the same command again when it is not"
        ) from error


def _is_too_slow(error: BaseException) -> bool:
    return _TOO_SLOW in str(error)


def await_room(resource: str, *, max_wait_s: float) -> None:
    """Wait until the cluster has a "CPU" or "GPU"; ask its autoscaler for one meanwhile.

    Ray waits without a word for what no node has. Here a line says within seconds what is missing;
    TimbreError after `max_wait_s`.
    """
    began = time.monotonic()
    if count(resource):
        return
    request_resources(bundles=[{resource: 1}])
    try:
        text = f"the cluster has no {resource} yet: waiting for a node that has one"
        say("waiting", text=f"{text}, {max_wait_s:.0f} s at most (--max-wait-s)")
        while not count(resource):
            if time.monotonic() - began > max_wait_s:
                raise TimbreError(
                    f"no {resource} in the cluster after {max_wait_s:.0f} s: it has "
                    f"{_what_there_is()}; add a node that has one (docs/cluster.md), or give a "
                    "larger --max-wait-s"
                )
            time.sleep(_LOOK_EVERY_S)
    finally:
        request_resources(bundles=[])  # or the cluster would keep the node for ever


def _what_there_is() -> str:
    """Return the cluster's resources in words, as in 16 CPU, 0 GPU on 3 nodes."""
    n_nodes = sum(node["Alive"] for node in ray.nodes())  # type: ignore[no-untyped-call]
    return f"{count('CPU')} CPU, {count('GPU')} GPU on {n_nodes} nodes"


def _hear_of_restarts() -> None:
    """Let Ray say unheard what it says once a process: that an actor's restart may fail.

    It says so of each pool of Ray Data's, whose driver holds the arguments that it fears for
    (github.com/ray-project/ray/issues/57733). The level of its log would hide real failures, too.
    """
    actor: Any = ray.remote(num_cpus=0, max_restarts=1)(_Idle)
    with _silenced_stderr():
        ray.kill(actor.remote(ray.put(None)))


class _Idle:
    def __init__(self, _: object) -> None:
        pass


def _end_executors() -> None:
    """End Ray Data's threads, of which an interrupted run may leave one.

    It would ask a Ray that is no more, and Ray ends a process that does: at once, without a word.
    """
    for thread in threading.enumerate():
        if thread.name.startswith("StreamingExecutor-"):
            thread.shutdown(force=True)  # type: ignore[attr-defined]
            thread.join(_EXECUTOR_ENDS_S)


@contextmanager
def own_signal(number: signal.Signals) -> Iterator[None]:
    """Keep a job's handler of a signal, and KeyboardInterrupt where it comes meanwhile.

    Ray sets its own: of SIGTERM, one that aborts with a stack trace, and in training one of Ctrl-C
    that ends the process without a word.
    """
    before = signal.getsignal(number)
    try:
        yield
    except SystemExit as error:
        raise KeyboardInterrupt from error
    finally:
        if callable(before) and threading.current_thread() is threading.main_thread():
            signal.signal(number, before)


@contextmanager
def _silenced_stderr() -> Iterator[None]:
    """Drop what native code writes to stderr; exceptions come through."""
    sys.stderr.flush()
    kept = os.dup(2)
    with Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), 2)
    try:
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def count(resource: str) -> int:
    """Return how many "CPU" or "GPU" the cluster has now; a local CPU is a logical one."""
    return int(ray.cluster_resources().get(resource, 0))  # type: ignore[no-untyped-call]


def cpus() -> int:
    """Return the cluster's CPUs now; of a local Ray, which is told of more, those there are."""
    told = count("CPU")
    return told if "RAY_ADDRESS" in os.environ else min(told, own_cpus())


def own_cpus() -> int:
    """Return the CPUs that this process may use: a container's limit counts, too."""
    from joblib import cpu_count  # here, as workers do without it

    return int(cpu_count())
