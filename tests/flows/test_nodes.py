"""Several Ray nodes on one machine; one of them is taken away, cut off, or has too little room.

With those of training, and of nodes that are cut off or short of room, this takes longer than the
rest of the suite: TIMBRE_CLUSTER=1 runs them. A worker of a training is killed in test_fit.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from itertools import groupby
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
import soundfile
from ray._private.node import Node
from ray.cluster_utils import Cluster

from tests.conftest import SAMPLE_RATE_HZ, tones
from tests.flows.conftest import SPLIT, kill, short_folder
from tests.waiting import wait_for

pytestmark = [pytest.mark.cluster, pytest.mark.slow, pytest.mark.timeout(1800)]
long = pytest.mark.skipif(
    "TIMBRE_CLUSTER" not in os.environ, reason="takes minutes; TIMBRE_CLUSTER=1 runs it"
)
N_TRACKS = 500
N_ELASTIC = 30
CUT_OFF_S = 20
STORE_BYTES = 256 << 20


@contextmanager
def cluster_of(folder: Path, **options: object) -> Iterator[Cluster]:
    """Start a head without CPUs, as those that ship, in a folder of its own; end it and its nodes.

    Ray asks "the latest cluster" of the folder whether a training's controller lives: where others
    start clusters as well, it asks another one, and takes the answer for its death.
    """
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("RAY_TMPDIR", str(folder))  # its processes keep it
        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, **options})
        try:
            yield cluster
        finally:
            cluster.shutdown()


def grow(cluster: Cluster, **options: object) -> Node:
    """Add a node with two CPUs, and wait for it as long as it lives."""
    node = cluster.add_node(wait=False, num_cpus=2, **options)
    n_nodes = len(cluster.list_all_nodes())
    raylet = node.all_processes["raylet"][0].process
    wait_for(lambda: len(cluster.global_state._live_node_ids()) == n_nodes, raylet)
    return node


@pytest.fixture(scope="module")
def head() -> Iterator[Cluster]:
    """A head without room for workers."""
    with cluster_of(Path(short_folder())) as cluster:
        yield cluster


@pytest.fixture
def starved() -> Iterator[Cluster]:
    """A head and two nodes whose object stores are small, and whose disks Ray takes for full."""
    small = {"object_store_memory": STORE_BYTES}
    full = {"_system_config": {"local_fs_capacity_threshold": 0.001}}
    with cluster_of(Path(short_folder()), **small, **full) as cluster:
        for _ in range(2):
            grow(cluster, **small)
        yield cluster


@pytest.fixture
def cluster(head: Cluster) -> Cluster:
    """The head, and two nodes with room for two workers each."""
    for node in list(head.worker_nodes):
        if not node.remaining_processes_alive():  # it was taken for dead while it was cut off
            head.remove_node(node)
    while len(head.worker_nodes) < 2:
        grow(head)
    return head


def processes_of(node: Node, title: str) -> list[psutil.Process]:
    """Return a node's worker processes of some title."""
    below = psutil.Process(node.all_processes["raylet"][0].process.pid).children(recursive=True)
    return [one for one in below if title in _command_of(one)]


def _command_of(process: psutil.Process) -> str:
    with suppress(psutil.NoSuchProcess):  # also a zombie
        return " ".join(process.cmdline())
    return ""


def node_of(cluster: Cluster, title: str) -> Node:
    """Return the node that runs a worker process of some title."""
    return next(node for node in cluster.worker_nodes if processes_of(node, title))


class Jobs:
    """The three jobs on a cluster, and whether what they leave is what undisturbed ones leave."""

    def __init__(self, start, folder: Path, corpus, dataset: Path, model: Path) -> None:
        self._start, self._folder = start, folder
        self._corpus, self._dataset, self._model = corpus, dataset, model
        self.out = folder / "out"

    @contextmanager
    def started(self, name: str, cluster: Cluster) -> Iterator[subprocess.Popen[str]]:
        """Start a job; what was started is checked when the block has ended."""
        with self._corpus.origin(latency_s=0.2) as origin:
            process = self._start(*self.words(name, origin), address=cluster.address)
            yield process
            output, _ = process.communicate()
        assert process.returncode == 0, output
        getattr(self, f"_check_{name}")()

    def words(self, name: str, origin=None) -> list[object]:
        """Return a job's name and flags; a build needs a server of its videos."""
        return list(getattr(self, f"_{name}")(origin))

    def _build(self, origin) -> list[object]:
        return ["build_subset", "--segments", *self._corpus.sheets, "--out", self.out,
                "--source", origin.url_template, "--shard-size", 2, "--split", SPLIT,
                "--max-downloads", 4]  # fmt: skip

    def _check_build(self) -> None:
        assert rows_of(self.out) == rows_of(self._dataset)

    def _train(self, origin) -> list[object]:
        return ["train", "--dataset", self._dataset, "--out", self.out, "--model", "resnet10t",
                "--input-size", "32x32", "--epochs", 12, "--batch-size", 8,
                "--workers", 2]  # fmt: skip

    def _check_train(self) -> None:
        assert [row["epoch"] for row in self.history()] == list(range(1, 13))

    def history(self) -> list[dict[str, float]]:
        """Return what a training says of its epochs."""
        training = json.loads((self.out / "model.json").read_text())["training"]
        return list(training["history"])

    def _elastic(self, origin) -> list[object]:
        return [*self._train(origin), "--batch-size", 2, "--epochs", N_ELASTIC,
                "--workers", "2..4", "--grow-every-s", 3]  # fmt: skip

    def _check_elastic(self) -> None:
        assert [row["epoch"] for row in self.history()] == list(range(1, N_ELASTIC + 1))

    def _tag(self, origin) -> list[object]:
        wav = self._folder / "music" / "0000.wav"
        wav.parent.mkdir()
        soundfile.write(wav, tones(2, 440), SAMPLE_RATE_HZ)
        for k in range(1, N_TRACKS):
            (wav.parent / f"{k:04d}.wav").hardlink_to(wav)
        return ["tag_catalog", "--catalog", wav.parent, "--model", self._model, "--out", self.out,
                "--examples", 0, "--workers", 2]  # fmt: skip

    def _check_tag(self) -> None:
        columns = ["uri", "status", "scores"]
        rows = pq.read_table(self.out / "tags", partitioning=None, columns=columns).to_pylist()
        music = (self._folder / "music").iterdir()
        assert sorted(row["uri"] for row in rows) == sorted(map(str, music))
        assert {row["status"] for row in rows} == {"ok"}
        assert len({tuple(row["scores"].values()) for row in rows}) == 1

    def wait_for_work(self, name: str, process: subprocess.Popen[str]) -> None:
        """Wait until something is committed."""
        wait_for(lambda: self.committed(name), process)

    def committed(self, name: str) -> set[Path]:
        """Return what a job has committed so far."""
        checkpoints = "runs/*/checkpoint_*"
        files = {"build": "ledger/*", "train": checkpoints, "elastic": checkpoints}
        return set(self.out.glob(files.get(name, "tags/**/*.parquet")))


WORKERS = {"build": "_Downloader", "train": "RayTrainWorker", "tag": "MapWorker"}


@pytest.fixture
def jobs(start_job, tmp_path, corpus, dataset, model) -> Jobs:
    return Jobs(start_job, tmp_path, corpus, dataset, model)


@long
def test_a_training_goes_on_when_a_worker_is_killed_and_when_its_node_is_taken_away(cluster, jobs):
    with jobs.started("train", cluster) as process:
        seen: set[Path] = set()
        for blow in ("worker", "node"):
            wait_for(lambda: jobs.committed("train") - seen, process)
            seen.update(jobs.committed("train"))
            node = node_of(cluster, "RayTrainWorker")
            if blow == "worker":
                processes_of(node, "RayTrainWorker")[0].kill()
            else:
                cluster.remove_node(node, allow_graceful=False)


@long
def test_an_elastic_training_goes_on_with_what_is_left_and_takes_in_what_comes(cluster, jobs):
    with jobs.started("elastic", cluster) as process:
        wait_for(lambda: len(jobs.committed("elastic")) > 1, process)  # so the first one counts
        cluster.remove_node(node_of(cluster, "RayTrainWorker"), allow_graceful=False)
        seen = jobs.committed("elastic")
        wait_for(lambda: len(jobs.committed("elastic") - seen) > 1, process)
        grow(cluster)
    n_workers = [row["workers"] for row in jobs.history()]
    assert [n for n, _ in groupby(n_workers)] == [4, 2, 4]


@long
def test_a_kill_in_the_middle_of_a_resize_loses_no_epoch_and_repeats_none(cluster, jobs, start_job):
    process = start_job(*jobs.words("elastic"), address=cluster.address)
    wait_for(lambda: len(jobs.committed("elastic")) > 1, process)
    lost = node_of(cluster, "RayTrainWorker")
    left = next(node for node in cluster.worker_nodes if node is not lost)
    cluster.remove_node(lost, allow_graceful=False)
    wait_for(lambda: not processes_of(left, "RayTrainWorker"), process)
    kill(process)
    grow(cluster)
    with jobs.started("elastic", cluster):
        pass


def test_a_build_leaves_nodes_with_gpus_alone_and_goes_on_when_one_is_taken_away(cluster, jobs):
    gpu_node = grow(cluster, num_gpus=1)
    with jobs.started("build", cluster) as process:
        jobs.wait_for_work("build", process)
        assert not processes_of(gpu_node, "_Downloader")
        cluster.remove_node(node_of(cluster, "_Downloader"), allow_graceful=False)
    cluster.remove_node(gpu_node)


def test_a_tagging_goes_on_when_a_node_is_taken_away(cluster, jobs):
    with jobs.started("tag", cluster) as process:
        jobs.wait_for_work("tag", process)
        cluster.remove_node(node_of(cluster, "MapWorker"), allow_graceful=False)


@long
@pytest.mark.parametrize("name", ["build", "train", "tag"])
def test_a_node_that_is_cut_off_for_a_while_costs_nothing_but_time(name, cluster, jobs):
    with jobs.started(name, cluster) as process:
        jobs.wait_for_work(name, process)
        raylet = node_of(cluster, WORKERS[name]).all_processes["raylet"][0].process.pid
        family = [psutil.Process(raylet), *psutil.Process(raylet).children(recursive=True)]
        for one in family:
            one.suspend()
        time.sleep(CUT_OFF_S)
        for one in family:
            with suppress(psutil.NoSuchProcess):  # some were given up meanwhile
                one.resume()


@long
@pytest.mark.parametrize("name", ["build", "train", "tag"])
def test_small_object_stores_and_full_disks_of_nodes_are_enough(name, starved, jobs):
    with jobs.started(name, starved):
        pass


def rows_of(dataset: Path):
    """Return what each segment came to, and the hash of each clip."""
    ledger = pq.read_table(dataset / "ledger", partitioning=None).to_pylist()
    clips = pq.read_table(dataset / "clips", partitioning=None, columns=["segment_id", "sha256"])
    return (
        sorted((r["segment_id"], r["outcome"], r["reason"]) for r in ledger),
        sorted((r["segment_id"], r["sha256"]) for r in clips.to_pylist()),
    )


@pytest.mark.parametrize("name", ["tag", "train"])
def test_a_gpu_that_no_node_has_is_named_and_the_job_ends(name, cluster, jobs, start_job):
    words = [*jobs.words(name), "--gpu", "--max-wait-s", "2"]
    words += ["--engine", "torch"] * (name == "tag")
    process = start_job(*words, address=cluster.address)
    output, _ = process.communicate()
    assert process.returncode == 1, output
    assert "the cluster has no GPU yet: waiting for a node that has one, 2 s at most" in output
    assert "no GPU in the cluster after 2 s: it has 4 CPU, 0 GPU on 3 nodes" in output
    assert "Traceback" not in output
