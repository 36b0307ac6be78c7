"""A small corpus of rendered videos, the dataset built from it, and a model trained on that."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.demo.corpus import Video, faults_of, plan_corpus, render_corpus, write_segments_csv
from pipeline.demo.origin import Origin
from pipeline.flows.build import BuildConfig, build
from pipeline.flows.fit import FitConfig, fit
from pipeline.learn.config import TrainConfig

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Corpus:
    """Rendered videos, their plan and their segments CSVs."""

    plan: list[Video]
    folder: Path
    sheets: tuple[str, ...]

    @property
    def selected(self) -> list[Video]:
        """The videos whose segment has a class."""
        return [video for video in self.plan if video.codes]

    def origin(self, **options: float) -> Origin:
        """Return a server of the videos, with their faults."""
        return Origin(self.folder / "videos", faults_of(self.plan), **options)


@pytest.fixture(scope="session")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Corpus:
    """Render 26 videos and 8 faulty ones."""
    folder = tmp_path_factory.mktemp("corpus")
    plan = plan_corpus(3, n_videos=26)
    render_corpus(plan, folder / "videos", workers=2)
    sheets = write_segments_csv(plan, folder)
    return Corpus(plan, folder, tuple(map(str, sheets)))


@pytest.fixture(scope="session")
def dataset(corpus: Corpus, ray_local: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build the corpus, undisturbed."""
    out = tmp_path_factory.mktemp("dataset") / "ds"
    with corpus.origin() as origin:
        build(BuildConfig(corpus.sheets, str(out), origin.url_template, shard_size=4, split=SPLIT))
    return out


SPLIT = "50/25/25"
TINY = TrainConfig(model="resnet10t", input_size=(32, 32), epochs=2, batch_size=8, lr=1e-3)


@pytest.fixture(scope="session")
def model(dataset: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Train a tiny model, undisturbed."""
    out = tmp_path_factory.mktemp("model") / "m"
    fit(FitConfig(str(dataset), str(out), TINY))
    return out


@pytest.fixture
def start_job(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Give a function that starts `python -m jobs.<name>` in a session of its own."""
    started: list[subprocess.Popen[str]] = []

    def start(name: str, *flags: object, address: str | None = None) -> subprocess.Popen[str]:
        environment = {**os.environ, "RAY_TMPDIR": short_folder()}
        environment.pop("RAY_ADDRESS", None)
        if address is not None:
            environment["RAY_ADDRESS"] = address
        process = subprocess.Popen(
            [sys.executable, "-m", f"jobs.{name}", *map(str, flags)],
            cwd=ROOT,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        kill(process)


def short_folder() -> str:
    """Return a folder for Ray's sockets, whose paths may have 107 bytes at most."""
    import tempfile

    return tempfile.mkdtemp(prefix="ray-", dir="/tmp")


def kill(process: subprocess.Popen[str]) -> None:
    """Kill a driver with -9, and wait until nothing of it is left."""
    if process.poll() is None:
        os.kill(process.pid, signal.SIGKILL)
    process.wait()
    if process.stdout:
        process.stdout.close()


def wait_for(condition: Callable[[], object], seconds: float = 90) -> None:
    """Wait until something is true."""
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)
