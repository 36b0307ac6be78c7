"""Several Ray nodes on one machine, and one of them taken away, as a spot market does it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest
from ray._private.node import Node
from ray.cluster_utils import Cluster

from tests.flows.conftest import SPLIT, wait_for

N_TRACKS = 800


@pytest.fixture(scope="module")
def head() -> Iterator[Cluster]:
    """A head without room for workers."""
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1})
    yield cluster
    cluster.shutdown()


@pytest.fixture
def cluster(head: Cluster) -> Cluster:
    """The head, and two nodes with room for two workers each."""
    while len(head.worker_nodes) < 2:
        head.add_node(num_cpus=2)
    head.wait_for_nodes()
    return head


def processes_of(node: Node, title: str) -> list[psutil.Process]:
    """Return a node's worker processes of some title."""
    below = psutil.Process(node.all_processes["raylet"][0].process.pid).children(recursive=True)
    return [one for one in below if title in " ".join(one.cmdline())]


def node_of(cluster: Cluster, title: str) -> Node:
    """Return the node that runs a worker process of some title."""
    return next(node for node in cluster.worker_nodes if processes_of(node, title))


def test_a_training_goes_on_when_a_worker_is_killed_and_when_its_node_is_taken_away(
    cluster, dataset, start_job, tmp_path
):
    out = tmp_path / "m"
    flags = ["--dataset", dataset, "--out", out, "--model", "resnet10t", "--input-size", "32x32",
             "--epochs", 12, "--batch-size", 8, "--workers", 2]  # fmt: skip

    def checkpoints() -> set[Path]:
        return set(out.glob("runs/*/checkpoint_*"))

    seen: set[Path] = set()
    process = start_job("train", *flags, address=cluster.address)
    for blow in ("worker", "node"):
        wait_for(lambda: checkpoints() - seen or process.poll() is not None)
        assert process.poll() is None, process.stdout.read()
        seen.update(checkpoints())
        node = node_of(cluster, "RayTrainWorker")
        if blow == "worker":
            processes_of(node, "RayTrainWorker")[0].kill()
        else:
            cluster.remove_node(node, allow_graceful=False)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    history = json.loads((out / "model.json").read_text())["training"]["history"]
    assert [row["epoch"] for row in history] == list(range(1, 13))


def test_a_build_goes_on_when_a_node_is_taken_away(cluster, corpus, dataset, start_job, tmp_path):
    out = tmp_path / "ds"
    with corpus.origin(latency_s=0.2) as origin:
        process = start_job(
            "build_subset", "--segments", *corpus.sheets, "--source", origin.url_template,
            "--out", out, "--shard-size", 2, "--split", SPLIT, "--max-downloads", 4,
            address=cluster.address,
        )  # fmt: skip
        wait_for(lambda: list(out.glob("ledger/*")) or process.poll() is not None)
        assert process.poll() is None, process.stdout.read()
        cluster.remove_node(node_of(cluster, "_Downloader"), allow_graceful=False)
        output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    assert rows_of(out) == rows_of(dataset)


def test_a_tagging_goes_on_when_a_node_is_taken_away(cluster, model, make_wav, start_job, tmp_path):
    wav = make_wav("music/0000.wav", 2, 440)
    for k in range(1, N_TRACKS):
        (wav.parent / f"{k:04d}.wav").hardlink_to(wav)
    out = tmp_path / "tags"
    flags = ["--catalog", wav.parent, "--model", model, "--out", out, "--examples", 0]
    flags += ["--workers", 2]
    process = start_job("tag_catalog", *flags, address=cluster.address)
    wait_for(lambda: list(out.glob("tags/*/*/*.parquet")) or process.poll() is not None, 200)
    assert process.poll() is None, process.stdout.read()
    cluster.remove_node(node_of(cluster, "MapWorker"), allow_graceful=False)
    output, _ = process.communicate(timeout=280)
    assert process.returncode == 0, output
    tags = pq.read_table(out / "tags", partitioning=None, columns=["uri", "status", "scores"])
    rows = tags.to_pylist()
    assert sorted(row["uri"] for row in rows) == sorted(map(str, wav.parent.iterdir()))
    assert {row["status"] for row in rows} == {"ok"}
    assert len({tuple(row["scores"].values()) for row in rows}) == 1


def rows_of(dataset: Path):
    """Return what each segment came to, and the hash of each clip."""
    ledger = pq.read_table(dataset / "ledger", partitioning=None).to_pylist()
    clips = pq.read_table(dataset / "clips", partitioning=None, columns=["segment_id", "sha256"])
    return (
        sorted((r["segment_id"], r["outcome"], r["reason"]) for r in ledger),
        sorted((r["segment_id"], r["sha256"]) for r in clips.to_pylist()),
    )
