"""Small runs in the job's own process: no Ray, the same rows, and no kill loses what is there."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from jobs import harness
from pipeline.tagging.in_process import batches, read_ahead
from tests.conftest import tones
from tests.tagging.catalogues import ROOT, tag_in_a_process, without_ray
from tests.waiting import wait_for

N_TRACKS = 200


def test_a_night_with_nothing_new_imports_neither_ray_nor_torch(tmp_path):
    """Its page has what there is to listen to, nevertheless: kept from the night before."""
    music, out = tmp_path / "music", tmp_path / "out"
    music.mkdir()
    for k in range(2):
        soundfile.write(music / f"{k}.wav", tones(3, 330 * (k + 1)), 44_100)
    words = ["--catalog", music, "--out", out, "--examples", 2]
    assert "ray" not in tag_in_a_process(*words)["imported"]
    first = (out / "report.html").read_text()
    assert tag_in_a_process(*words) == {"code": 0, "imported": []}
    run = json.loads((out / "run.json").read_text())
    assert run["unchanged"] == run["tracks"] == 2
    again = (out / "report.html").read_text()
    assert first.count("<audio ") == again.count("<audio ") > 0


@pytest.fixture(scope="module")
def music(tmp_path_factory) -> Path:
    """Write tracks that make four commits."""
    folder = tmp_path_factory.mktemp("music")
    good = tones(2, 440, sample_rate_hz=22_050)
    for k in range(N_TRACKS):  # no two alike, or the second run would decode none of them
        soundfile.write(folder / f"{k:03d}.wav", good * (0.2 + 0.8 * k / N_TRACKS), 22_050)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT])
def test_what_is_committed_stays_and_the_same_command_goes_on(music, tmp_path, number):
    out = tmp_path / "out"
    words = ["--catalog", music, "--out", out, "--examples", 0]
    job = subprocess.Popen(
        [sys.executable, "-m", "jobs.tag_catalog", *map(str, words)],
        cwd=ROOT, env=without_ray(), start_new_session=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
    )  # fmt: skip
    try:
        wait_for(lambda: list(out.glob("tags/**/*.parquet")), job)
        decoders = psutil.Process(job.pid).children(recursive=True)
        if number == signal.SIGKILL:
            job.kill()
        else:
            os.killpg(job.pid, number)  # as a terminal does: the decoder is not to print a trace
        said = job.communicate()[0]
    finally:
        job.kill()
    if number == signal.SIGKILL:
        assert job.returncode == -number
    else:
        assert job.returncode == harness.INTERRUPTED
        assert "interrupted: what is committed stays; the same command goes on" in said
        assert "Traceback" not in said
    assert decoders
    wait_for(lambda: not any(one.is_running() and one.status() != "zombie" for one in decoders))
    assert not json.loads((out / "run.json").read_text())["complete"]
    before = times(out)
    assert 0 < len(before) < N_TRACKS
    assert tag_in_a_process(*words)["code"] == 0
    after = times(out)
    assert len(after) == N_TRACKS
    assert {uri: after[uri] for uri in before} == before
    run = json.loads((out / "run.json").read_text())
    assert (run["unchanged"], run["tracks"]) == (len(before), N_TRACKS)


def times(out: Path) -> dict[str, object]:
    """Return when each track was tagged; each has one row."""
    rows = pq.read_table(out / "tags", partitioning=None, columns=["uri", "tagged_at"])
    found = dict(zip(rows["uri"].to_pylist(), rows["tagged_at"].to_pylist(), strict=True))
    assert len(found) == rows.num_rows
    return found


def test_items_come_in_order_and_a_fault_comes_through():
    def items():
        yield from range(5)
        raise ValueError("at five")

    with read_ahead(items(), 2) as found:
        assert [next(found) for _ in range(5)] == list(range(5))
        with pytest.raises(ValueError, match="at five"):
            next(found)
    with read_ahead(iter(()), 3) as none:
        assert list(none) == []


def test_no_more_is_made_than_is_asked_for():
    made = []

    def items():
        for k in range(100):
            made.append(k)
            yield k

    with read_ahead(items(), 3) as found:
        next(found)
    assert len(made) <= 4  # the one that was taken, and three ahead


def test_batches_are_not_copied():
    big = pa.table({"a": list(range(6))})
    parts = [big.slice(k, 1) for k in range(6)]
    (first, second) = batches(parts, 4)
    assert (first.num_rows, second.num_rows) == (4, 2)
    assert first["a"].num_chunks == 4


def test_the_process_keeps_its_threads():
    import torch

    from pipeline.models.engines.engines import kept_threads

    n_threads = torch.get_num_threads()
    with kept_threads():
        torch.set_num_threads(n_threads + 1)
    assert torch.get_num_threads() == n_threads
