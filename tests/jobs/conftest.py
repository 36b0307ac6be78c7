"""A Ray cluster of one node, to which jobs are submitted as a user does it."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.flows.conftest import corpus as corpus  # a fixture
from tests.flows.conftest import once as once
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]
RAY = Path(sys.executable).with_name("ray")
PLANTED = {"AWS_SECRET_ACCESS_KEY": "planted-key-5b1f", "HF_TOKEN": "planted-token-77aa"}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@dataclass(frozen=True)
class Head:
    """A head node: its folder, and how to say `ray job ...` to it."""

    folder: Path
    job: Callable[..., subprocess.CompletedProcess[str]]
    environment: dict[str, str]
    """In which `timbre submit` finds it."""


@pytest.fixture(scope="session")
def head():
    """A head node on loopback with token auth, planted secrets and a process group of its own."""
    folder = tempfile.mkdtemp(prefix="ray-", dir="/tmp")
    port, dashboard = free_port(), free_port()
    environment = {
        **os.environ,
        **PLANTED,
        "PATH": f"{RAY.parent}:{os.environ['PATH']}",  # `python` is this environment's
        "RAY_AUTH_MODE": "token",
        "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
        "RAY_TMPDIR": folder,
        "http_proxy": "http://127.0.0.1:9",  # no question to a cloud's metadata address
        "no_proxy": "127.0.0.1,localhost",
    }
    environment.pop("RAY_ADDRESS", None)
    command = [
        *[RAY, "start", "--head", "--block", f"--port={port}", "--node-ip-address=127.0.0.1",
         "--dashboard-host=127.0.0.1", f"--dashboard-port={dashboard}", "--num-cpus=4",
         f"--dashboard-agent-listen-port={free_port()}",  # the default one is the other Ray's
         "--object-store-memory=300000000", f"--temp-dir={folder}"],
    ]  # fmt: skip
    address = f"http://127.0.0.1:{dashboard}"

    def ray_job(*arguments: object) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [RAY, "job", *map(str, arguments)],
            env=environment | {"RAY_ADDRESS": address}, cwd=ROOT,
            capture_output=True, text=True, check=False,
        )  # fmt: skip

    def started() -> subprocess.Popen[bytes]:
        process = subprocess.Popen(
            command, env=environment, start_new_session=True,
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        # The dashboard answers before the node's job agent does: it is up when a job goes through.
        while process.poll() is None and ray_job("submit", "--", "true").returncode:
            pass
        return process

    process = started()
    if process.poll() is not None:  # Ray gives itself 30 s, which a busy machine may not do
        process = started()
    wait_for(lambda: process.poll() is None, process)
    told = environment | {"RAY_API_SERVER_ADDRESS": address, "PYTHONPATH": str(ROOT)}
    yield Head(Path(folder), ray_job, told)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
