"""Every fault of the world in one run, and the plug pulled in the middle of one."""

import os
import threading
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import ray

from jobs import harness
from pipeline.audio.fetching.access import Access
from pipeline.datasets.build_plan import BuildConfig
from pipeline.demo.media_server import Fault, InjectedFault, MediaServer
from pipeline.flows.building import build as building
from pipeline.flows.building import request_gate as gating
from pipeline.flows.building.build import build
from tests.audio.test_fetch import CASES, FINE
from tests.flows.conftest import SPLIT, Corpus
from tests.waiting import beside, wait_for

pytestmark = pytest.mark.slow

OUTAGE_S = float(os.environ.get("TIMBRE_OUTAGE_S", "3"))  # 30 by hand: see docs/log.md
"""How long it lasts, from when the gate knows."""
N_ATTEMPTS = 2
RETRIED = {"network", "rate_limited"}


def rows_of(out: Path) -> dict[str, tuple]:
    rows = pq.read_table(out / "ledger", partitioning=None).to_pylist()
    keys = ("outcome", "reason", "http_status", "attempts")
    found = {row["ytid"]: tuple(row[key] for key in keys) for row in rows}
    assert len(found) == len(rows)
    return found


def test_every_fault_is_told_and_costs_its_own_segment_only(corpus: Corpus, ray_local, tmp_path):
    good = [video.ytid for video in corpus.selected if video.fault is Fault.NONE]
    passing = {
        good.pop(): InjectedFault(fault, n_failures=1) for fault in (Fault.OVERLOADED, Fault.RESET)
    }
    throttled = good.pop()
    patient = {throttled: InjectedFault(Fault.THROTTLED, n_failures=1, retry_after="2")}
    lasting = {good.pop(): fault for fault in (*CASES, *FINE)}
    faults = {**corpus.origin().faults, **passing, **patient, **lasting}
    out = tmp_path / "ds"
    with MediaServer(corpus.folder / "videos", faults) as origin:
        config = BuildConfig(
            corpus.sheets,
            str(out),
            origin.url_template,
            split=SPLIT,
            shard_size=8,
            attempts=N_ATTEMPTS,
            access=Access(socket_timeout_s=3.0),  # a stall takes it twice
        )
        report = build(config)
    expected = {ytid: ("ok", "ok", None, 1) for ytid in good}
    expected |= {ytid: ("ok", "ok", None, 2) for ytid in (*passing, throttled)}
    for ytid, fault in (lasting | corpus.origin().faults).items():
        outcome, reason, status = CASES.get(getattr(fault, "fault", fault), ("ok", "ok", None))
        n = N_ATTEMPTS if {str(outcome), str(reason)} & RETRIED else 1
        expected[ytid] = (outcome, reason, status, n)
    assert rows_of(out) == {v.ytid: expected[v.ytid] for v in corpus.selected}
    rows = pq.read_table(out / "ledger", partitioning=None).to_pylist()
    (waited_s,) = [row["wait_s"] for row in rows if row["ytid"] == throttled]
    assert waited_s >= 2
    assert sum(row["n"] for row in report.outcomes) == len(corpus.selected)


def test_the_plug_is_pulled_and_no_segment_pays(
    corpus: Corpus, dataset: Path, ray_local, tmp_path, monkeypatch
):
    out, gates = tmp_path / "ds", []

    def start_gate(**options):
        gates.append(gating.start_gate(**options))
        return gates[0]

    def pull(run: threading.Event) -> None:
        wait_for(lambda: list(out.glob("ledger/*.parquet")), run)
        origin.unplug()
        wait_for(lambda: ray.get(gates[0].status.remote())["n_outages"], run)
        time.sleep(OUTAGE_S)
        origin.plug()

    monkeypatch.setattr(building, "start_gate", start_gate)
    with corpus.origin(latency_s=0.1) as origin, beside(pull) as pulled:
        source = origin.url_template
        config = BuildConfig(
            corpus.sheets, str(out), source, split=SPLIT, shard_size=4, max_downloads=3
        )
        report = build(config)
    pulled.result()
    assert rows_of(out) == rows_of(dataset)
    assert report.outages["n_outages"] == 1
    assert report.outages["paused_s"] > OUTAGE_S
    page = (out / "report.html").read_text()
    assert "no attempt was lost" in page


def test_a_source_that_is_not_there_ends_the_run(corpus: Corpus, tmp_path, start_job):
    """Nothing was ever got: after a while the job says so, and blames no segment."""
    job = start_job(
        "build_subset", "--segments", *corpus.sheets, "--out", tmp_path / "ds",
        "--source", "http://127.0.0.1:9/{ytid}", "--max-outage-s", 5,
    )  # fmt: skip
    output, _ = job.communicate()
    assert job.returncode == 1, output
    (error,) = [line for line in output.splitlines() if line.startswith("error: ")]
    assert "the source has been down for too long" in error
    assert "Traceback" not in output
    assert not list((tmp_path / "ds").glob("ledger/*"))


@ray.remote
class Helper:
    """An actor as the jobs have them."""

    def __init__(self, *, is_broken: bool = False) -> None:
        if is_broken:
            raise ZeroDivisionError

    def ready(self) -> bool:
        """Say that it is there."""
        return True


def test_a_process_of_rays_that_is_killed_is_one_line_and_a_bug_is_not(ray_local, capsys):
    helper = Helper.remote()
    assert ray.get(helper.ready.remote())

    def job() -> int:
        ray.kill(helper)
        while ray.get(helper.ready.remote()):  # until it is dead
            pass
        return harness.OK

    assert harness.run(job) == harness.FAILED
    said = capsys.readouterr().err
    assert "Traceback" not in said
    line = said.splitlines()[-1]
    assert line.startswith("error: Ray lost a process that the run needs: ")
    assert line.endswith("the same command goes on")
    with pytest.raises(ray.exceptions.ActorDiedError, match="ZeroDivisionError"):
        harness.run(lambda: ray.get(Helper.remote(is_broken=True).ready.remote()))
