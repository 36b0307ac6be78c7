"""One Ray for the whole session, and audio that the tests make themselves."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import settings
from xdist.scheduler import LoadScopeScheduling

from tests.s3 import ENVIRONMENT as CREDENTIALS

# Processes of the suite share the cores: threads that wait for one another spin away the others'.
_N_CORES = max(1, (os.cpu_count() or 1) // int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1")))
for _name in ("OMP_NUM_THREADS", "LOKY_MAX_CPU_COUNT"):  # before torch is imported
    os.environ.setdefault(_name, str(_N_CORES))
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

SAMPLE_RATE_HZ = 44_100
settings.register_profile("untimed", deadline=None)
settings.load_profile("untimed")
BESIDE = (
    "tests/flows/test_evaluate.py",
    "tests/flows/test_nodes.py",
    "tests/flows/test_quantize.py",
    "tests/flows/test_tag",
    "tests/jobs/",
    "tests/upgrade/",
)
"""Tests of flows that run in the other process."""


class _RayInTwoProcesses(LoadScopeScheduling):  # type: ignore[misc]
    """Give two processes the tests that start Ray, from the beginning, and others what is left.

    Three Rays at once bring two cores to a load of 90. Those with a Ray of their own, of several
    nodes or for submitted jobs, and tagging are one half of them. What is left goes by file: what a
    file's tests share is made once.
    """

    def _split_scope(self, nodeid: str) -> str:
        if nodeid.startswith(BESIDE):
            return "clusters"
        is_of_flows = nodeid.startswith(("tests/flows/", "tests/test_api"))
        return "flows" if is_of_flows else nodeid.partition("::")[0]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with what needs no model: the other process makes it meanwhile."""
    items.sort(key=lambda item: not item.nodeid.startswith("tests/jobs/"))


def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    """Divide the tests for `make test`."""
    return _RayInTwoProcesses(config, log)


@pytest.fixture(scope="session", autouse=True)
def _home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep Ray's token and yt-dlp's cache out of the user's home."""
    patch = pytest.MonkeyPatch()
    token = tmp_path_factory.mktemp("ray") / "auth_token"
    token.write_text(secrets.token_hex(32))
    patch.setenv("RAY_AUTH_TOKEN_PATH", str(token))
    patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
    patch.setenv("RAY_USAGE_STATS_ENABLED", "0")
    # Ray's processes run at 15 if nothing is said, and wait while the other tests compute.
    patch.setenv("RAY_worker_niceness", "0")
    for name, value in CREDENTIALS.items():  # Ray's workers have the environment that it began with
        patch.setenv(name, value)
    yield
    patch.undo()


@pytest.fixture(scope="session")
def ray_local(_home: None) -> Iterator[None]:
    """Start Ray as a job would, once."""
    import ray

    from pipeline.flows.cluster import ray_session

    os.environ.pop("RAY_ADDRESS", None)
    with ray_session(min_cpus=4):
        yield
    assert not ray.is_initialized()


@pytest.fixture
def rng() -> np.random.Generator:
    """Give a seeded generator."""
    return np.random.default_rng(0)


def tones(
    seconds: float, *frequencies_hz: float, sample_rate_hz: int = SAMPLE_RATE_HZ
) -> np.ndarray:
    """Return a sum of sines, `[n_samples]`, at -12 dB each."""
    time_s = np.arange(round(seconds * sample_rate_hz)) / sample_rate_hz
    waves = [0.25 * np.sin(2 * np.pi * f * time_s) for f in frequencies_hz]
    return np.sum(waves, axis=0).astype(np.float32)


@pytest.fixture
def make_wav(tmp_path: Path):
    """Give a function that writes a wav of sines and returns its path."""
    import soundfile

    def make(name: str, seconds: float, *frequencies_hz: float, **options: int) -> Path:
        rate = options.get("sample_rate_hz", SAMPLE_RATE_HZ)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, tones(seconds, *frequencies_hz, sample_rate_hz=rate), rate)
        return path

    return make


@pytest.fixture
def one_thread():
    """Let torch compute in one thread, so that sums are made in one order."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
