"""A small corpus of rendered videos, the dataset built from it, and a model trained on that."""

from __future__ import annotations

import fcntl
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from pipeline.datasets.build_plan import BuildConfig
from pipeline.demo.corpus import Video, faults_of, plan_corpus, render_corpus, write_segments_csv
from pipeline.demo.media_server import MediaServer
from pipeline.flows.building.build import build
from pipeline.flows.training.fit import FitConfig, fit
from pipeline.tagging import tag_where
from pipeline.training.config import TrainConfig

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

    def origin(self, **options: float) -> MediaServer:
        """Return a server of the videos, with their faults."""
        return MediaServer(self.folder / "videos", faults_of(self.plan), **options)


Once = Callable[[str, Callable[[Path], object]], Path]


@pytest.fixture(scope="session")
def once(tmp_path_factory: pytest.TempPathFactory) -> Once:
    """Give a function that makes a folder, once for all processes of the suite."""
    base = tmp_path_factory.getbasetemp()
    shared = base.parent if "PYTEST_XDIST_WORKER" in os.environ else base

    def make_once(name: str, make: Callable[[Path], object]) -> Path:
        folder, is_made = shared / f"shared-{name}", shared / f"shared-{name}.made"
        with (shared / f"shared-{name}.lock").open("wb") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if not is_made.exists():
                make(folder)
                is_made.touch()
        return folder

    return make_once


@pytest.fixture(scope="session")
def corpus(once: Once) -> Corpus:
    """Render 26 videos and 8 faulty ones."""
    plan = plan_corpus(3, n_videos=26)

    def render(folder: Path) -> None:
        render_corpus(plan, folder / "videos", workers=2)
        write_segments_csv(plan, folder)

    folder = once("corpus", render)
    return Corpus(plan, folder, tuple(map(str, sorted(folder.glob("*.csv")))))


@pytest.fixture(scope="session")
def dataset(corpus: Corpus, ray_local: None, once: Once) -> Path:
    """Build the corpus, undisturbed."""

    def make(out: Path) -> None:
        with corpus.origin() as origin:
            source = origin.url_template
            build(BuildConfig(corpus.sheets, str(out), source, shard_size=4, split=SPLIT))

    return once("dataset", make)


SPLIT = "50/25/25"
TINY = TrainConfig(
    model="resnet10t", input_size=(32, 32), epochs=2, batch_size=8, lr=1e-3,
    augment=("noise", "masks"),
)  # fmt: skip


@pytest.fixture(scope="session")
def model(dataset: Path, once: Once) -> Path:
    """Train a tiny model, undisturbed."""
    return once("model", lambda out: fit(FitConfig(str(dataset), str(out), TINY)))


@pytest.fixture(scope="module")
def in_process() -> Iterator[None]:
    """Tag in this process, which may have a Ray: test_tag_contract shows that both do the same."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(tag_where, "_has_ray", lambda: False)
        yield


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


@contextmanager
def mounted(where: Path, size: str, *options: str) -> Iterator[Path]:
    """Mount a small file system; only root may."""
    where.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", ",".join([f"size={size}", *options]), "tmpfs"]
    if os.getuid() != 0 or subprocess.run([*command, where], capture_output=True).returncode:
        pytest.skip("only root may mount a small file system")
    try:
        yield where
    finally:
        subprocess.run(["umount", "-l", where], check=True)
