"""A build into a bucket, over HTTP; and what the job says of buckets and disks that refuse."""

from __future__ import annotations

import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

from jobs import build_subset
from pipeline.datasets.build_plan import BuildConfig
from pipeline.errors import StoreError
from pipeline.flows.building.build import build
from pipeline.flows.evaluation.evaluate import EvaluateConfig, evaluate
from pipeline.flows.tagging.tag import TagConfig, tag_catalog
from pipeline.flows.training.fit import FitConfig, fit
from pipeline.models.model import load_card
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder
from pipeline.store.tags.tagstore import TagStore
from schemas.features import read_logmels
from tests.flows.conftest import SPLIT, TINY, Corpus, kill, mounted
from tests.s3 import BUCKET, S3Server
from tests.waiting import wait_for

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def s3() -> Iterator[S3Server]:
    """One server for all tests here."""
    with S3Server() as server:
        yield server


@pytest.fixture
def flags(corpus: Corpus) -> list[str]:
    """What a build of the whole corpus takes, but for --out."""
    source = str(corpus.folder / "videos")
    flags = ["--segments", *corpus.sheets, "--source", source, "--shard-size", "4"]
    return [*flags, "--split", SPLIT, "--max-downloads", "2"]


def rows(dataset: Dataset) -> tuple[list[tuple[str, str, str]], list[tuple[str, str]]]:
    """Return what every segment came to, and the hash of every clip."""
    ledger = [(r["segment_id"], r["outcome"], r["reason"]) for r in dataset.ledger().to_pylist()]
    names = dataset.folder.names("clips")
    schema = pa.schema([("segment_id", pa.string()), ("sha256", pa.string())])
    clips = dataset.folder.read_tables(names, schema).to_pylist()
    return sorted(ledger), sorted((r["segment_id"], r["sha256"]) for r in clips)


@pytest.fixture(scope="module")
def local(corpus: Corpus, ray_local: None, tmp_path_factory: pytest.TempPathFactory) -> Dataset:
    """The dataset on this machine's disk."""
    out, source = str(tmp_path_factory.mktemp("local") / "ds"), str(corpus.folder / "videos")
    build(BuildConfig(corpus.sheets, out, source, shard_size=4, split=SPLIT))
    return Dataset.open(out)


@pytest.fixture(scope="module")
def remote(corpus: Corpus, s3: S3Server, ray_local: None) -> Dataset:
    """The same in a bucket."""
    out, source = s3.uri("built/ds"), str(corpus.folder / "videos")
    build(BuildConfig(corpus.sheets, out, source, shard_size=4, split=SPLIT))
    return Dataset.open(out)


def test_a_build_in_a_bucket_is_that_on_a_disk(local: Dataset, remote: Dataset, s3: S3Server):
    assert rows(remote) == rows(local)
    assert len(rows(remote)[1]) > 15
    assert remote.meta()["complete"]
    assert remote.meta()["fingerprint"] == local.meta()["fingerprint"]
    names = sorted(name for name, _, _ in local.folder.walk() if name != ".lock")
    assert s3.keys("built/ds") == [f"built/ds/{name}" for name in [".lease", *names]]


def test_a_second_build_into_a_bucket_is_refused_by_one_line(
    s3: S3Server, flags: list[str], capsys
):
    out = s3.uri("busy")
    with Folder(out).claimed():
        assert build_subset.main([*flags, "--out", out]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert f"another job is writing there: {Path(sys.argv[0]).stem} on " in line
        assert s3.keys("busy") == ["busy/.lease"]


def test_training_data_comes_from_a_bucket(local: Dataset, remote: Dataset):
    for split in ("train", "val", "test"):
        here, there = (
            [m.tobytes() for t in dataset.features(split) for m in read_logmels(t)]
            for dataset in (local, remote)
        )
        assert here and here == there


def test_tags_go_to_a_bucket(s3: S3Server):
    store = TagStore(Folder(s3.uri("tagged")))
    windows = pa.table({"uri": ["a", "b"], "fingerprint": ["blake2b:" + "0" * 32] * 2})
    columns = {"uri": ["a", "b"], "size_bytes": [1, 2], "modified_ns": [3, 4]}
    when = pa.array([1, 2], pa.timestamp("ms", "UTC"))
    rest = {"status": ["ok"] * 2, "model_id": ["m"] * 2, "tagged_at": when}
    rows = pa.table({**columns, **rest, "fingerprint": windows["fingerprint"]})
    store.commit(rows, date="2026-01-01", beside={"windows": windows})
    again = rows.slice(0, 1).set_column(5, "tagged_at", when[1:])
    store.commit(again, date="2026-01-02", beside={})
    assert store.compact("m") == 1
    assert store.read(["uri"])["uri"].to_pylist() == ["b", "a"]
    assert len(s3.keys("tagged/windows/model=m/part=0-of-1/date=2026-01-01/")) == 1
    store.clear()
    assert s3.keys("tagged") == []


def test_a_tagging_goes_on_after_its_bucket_gave_out(
    corpus: Corpus, model: Path, s3: S3Server, tmp_path
):
    music, out = tmp_path / "music", s3.uri("tonight")
    music.mkdir()
    for video in sorted((corpus.folder / "videos").glob("*.webm"))[:3]:
        shutil.copy(video, music)
    config = TagConfig(str(music), str(model), out, n_examples=0)
    s3.fails = lambda method, path, query: method != "GET" and "/tags/" in path
    try:
        with pytest.raises(StoreError, match=r"cannot write s3://.*check AWS_ACCESS_KEY_ID"):
            tag_catalog(config)
    finally:
        s3.fails = lambda method, path, query: False
    assert not s3.keys("tonight/tags/")
    run = tag_catalog(config)
    assert (run.tracks, run.tagged, run.skipped) == (3, 3, 0)
    assert tag_catalog(config).skipped == 3
    assert s3.keys("tonight/report.html")


def test_a_rerun_in_a_bucket_changes_nothing(
    corpus: Corpus, remote: Dataset, s3: S3Server, flags: list[str]
):
    before = s3.etags("built/ds")
    s3.requests.clear()
    assert build_subset.main([*flags, "--out", remote.folder.uri]) == 0
    changed = {key for key, etag in s3.etags("built/ds").items() if before.get(key) != etag}
    tables = {key for key in before if key.endswith(".parquet")}
    assert len(tables) > 15 and not changed & tables
    assert not [path for method, path, _ in s3.requests if method == "DELETE"]


MEASURED = {"seconds", "peak_mib", "waiting_share"}
"""Of a row of the history: what is not the same again."""


def learned(history: list[dict[str, float]]) -> list[dict[str, float]]:
    """Return a history without what the clock and the machine say."""
    assert all(row.keys() >= MEASURED for row in history)
    return [{k: v for k, v in row.items() if k not in MEASURED} for row in history]


def test_a_build_into_a_bucket_is_killed_with_9_and_run_again(
    corpus: Corpus, local: Dataset, s3: S3Server, flags: list[str], start_job, monkeypatch
):
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    s3.latency_s = 0.05
    process = start_job("build_subset", *flags, "--out", f"s3://{BUCKET}/killed/ds")
    wait_for(lambda: s3.keys("killed/ds/ledger"), process)
    assert process.poll() is None, process.stdout.read()
    kill(process)
    s3.latency_s = 0.0
    done = s3.etags("killed/ds/ledger")
    assert 1 <= len(done) < len(local.folder.names("ledger"))
    dataset = Dataset.open(s3.uri("killed/ds"))
    assert not dataset.meta()["complete"]
    assert build_subset.main([*flags, "--out", s3.uri("killed/ds")]) == 0
    assert rows(dataset) == rows(local)
    assert dataset.meta()["fingerprint"] == local.meta()["fingerprint"]
    assert done.items() <= s3.etags("killed/ds/ledger").items()


def test_a_training_in_a_bucket_is_killed_with_9_and_ends_as_if_undisturbed(
    dataset: Path, model: Path, s3: S3Server, start_job, monkeypatch
):
    whole = load_card(str(model))
    for name, value in s3.environment.items():
        monkeypatch.setenv(name, value)
    out = f"s3://{BUCKET}/killed/m"
    flags = ["--dataset", dataset, "--out", out, "--model", "resnet10t", "--input-size", "32x32",
             "--epochs", 2, "--batch-size", 8, "--lr", 1e-3,
             "--augment", "noise,masks"]  # fmt: skip

    def checkpoints() -> list[str]:
        """Return the file that Ray Train goes on by; a checkpoint counts once it stands there."""
        return [key for key in s3.keys("killed/m/runs") if key.endswith("snapshot.json")]

    def is_last(method: str, path: str, query: str) -> bool:
        return method == "PUT" and path.endswith("/model.json")

    is_killed = threading.Event()  # before that it cannot end
    s3.fails = lambda *call: is_last(*call) and is_killed.wait()
    try:
        process = start_job("train", *flags)
        wait_for(checkpoints, process)
        kill(process)
    finally:
        is_killed.set()
        s3.fails = lambda method, path, query: False
    assert not [key for key in s3.keys("killed/m") if key.endswith("model.json")]
    n_requests = len(s3.requests)
    card = fit(FitConfig(str(dataset), s3.uri("killed/m"), TINY)).card
    read = [path for method, path, _ in s3.requests[n_requests:] if method == "GET"]
    assert [path for path in read if path.endswith("state.pt")]  # it went on from a checkpoint
    assert learned(card.training["history"]) == learned(whole.training["history"])
    assert card.model_id == whole.model_id  # the weights are the same to the bit
    assert [key for key in s3.keys("killed/m/tensorboard") if "tfevents" in key]
    config = EvaluateConfig(s3.uri("killed/m"), s3.uri("scored"), str(dataset), validation=False)
    n_items = evaluate(config).n_items
    assert Folder(config.out).read_json("metrics.json")["metrics"]["n_items"] == n_items > 0


@pytest.mark.parametrize(
    ("bucket", "endpoint", "refused", "cure"),
    [
        ("no-such-bucket", None, False, "create the bucket first, name another, or check AWS_END"),
        (BUCKET, None, True, "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"),
        (BUCKET, "http://127.0.0.1:1", False, "check the network and AWS_ENDPOINT_URL"),
    ],
)
def test_a_bucket_that_refuses_is_one_clear_line(
    s3: S3Server, flags, monkeypatch, capsys, bucket, endpoint, refused, cure
):
    environment = s3.environment | ({"AWS_ENDPOINT_URL": endpoint} if endpoint else {})
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    if refused:
        s3.check_credentials()
    try:
        assert build_subset.main([*flags, "--out", f"s3://{bucket}/refused"]) == 1
    finally:
        s3.check_credentials(after="inf")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("error: cannot ")
    assert f"s3://{bucket}/refused" in line and cure in line


def test_a_bucket_that_is_lost_in_the_middle_is_one_clear_line(
    s3: S3Server, flags, local: Dataset, capsys
):
    s3.fails = lambda method, path, query: method == "PUT" and "/features/" in path
    out = s3.uri("lost")
    assert build_subset.main([*flags, "--out", out]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("error: cannot write s3://") and "/lost/features/" in line
    assert s3.keys("lost/ledger") == s3.keys("lost/features") == []
    s3.fails = lambda method, path, query: False
    assert build_subset.main([*flags, "--out", out]) == 0
    assert rows(Dataset.open(out)) == rows(local)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 6 MiB."""
    with mounted(tmp_path / "disk", "6m") as disk:
        yield disk


def test_a_full_disk_is_one_clear_line_and_the_same_command_goes_on(
    local: Dataset, small_disk: Path, flags, capsys
):
    out = small_disk / "ds"
    assert build_subset.main([*flags, "--out", str(out)]) == 1
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith(f"error: cannot write {out}/")
    assert line.endswith("free some space, then run the same command again")
    whole = {name.removeprefix("ledger/") for name in local.folder.names("ledger")}
    done = {path.name for path in out.glob("ledger/*.parquet")}
    assert done < whole
    for name in done:  # a shard that counts is whole
        table = local.folder.read_table(f"ledger/{name}")
        assert Folder(str(out)).read_table(f"ledger/{name}").num_rows == table.num_rows
    remount = ["mount", "-o", "remount,size=64m", str(small_disk)]
    subprocess.run(remount, check=True)
    assert build_subset.main([*flags, "--out", str(out)]) == 0
    assert rows(Dataset.open(str(out))) == rows(local)
    assert not list(out.rglob("*.tmp"))  # nor of those who were killed while they wrote


def test_a_disk_that_may_not_be_written_is_one_clear_line(small_disk: Path, flags, capsys):
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    assert build_subset.main([*flags, "--out", str(small_disk / "ds")]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"error: cannot write {small_disk}/ds")
    assert "make it accessible to this user, or name another folder" in line
