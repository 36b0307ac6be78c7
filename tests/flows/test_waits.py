"""A bar that stands at 0 says what it waits for, in a log's first line, until something is done."""

import json
import re
import socket
import threading
from dataclasses import replace

import pytest
from ray.exceptions import ActorUnschedulableError

from pipeline.errors import TimbreError
from pipeline.evaluation.runs.pace import expected_s
from pipeline.flows import cluster, submit, tasks
from pipeline.flows.building.build import show
from pipeline.flows.training import training_progress
from pipeline.runs.logs import logged, progress_bar
from pipeline.runs.mendable import mendable
from pipeline.store.tags.work.worklist import Sizes
from pipeline.tagging.part_steps import Planned
from pipeline.tagging.tag_plan import plan_of
from schemas.tagging_run import TaggingRun


class Asked:
    """A board that stands at 0 when it is first asked, and at step 1 after that."""

    def __init__(self):
        self.read, self.notes = self, Notes()
        self.n, self.twice = 0, threading.Event()

    def remote(self):
        self.n += 1
        if self.n > 2:
            self.twice.set()
        return (min(self.n - 1, 1), 4, [])


class Notes:
    """No lines for the user."""

    def remote(self):
        return []


@pytest.mark.parametrize("form", ["text", "json"])
def test_a_training_waits_for_its_workers(form, capsys, monkeypatch):
    monkeypatch.setenv("TIMBRE_LOG", form)
    monkeypatch.setattr(training_progress, "_LOOK_EVERY_S", 0.01)
    monkeypatch.setattr(training_progress.ray, "get", lambda state: state)
    asked = Asked()
    with logged("jobs.train"), training_progress.show_progress(asked, "resnet10t"):
        assert asked.twice.wait(60)
    first, *_, last = capsys.readouterr().err.splitlines()
    waits = "waiting for the workers to start and to read the dataset"
    assert waits in first and waits not in last
    if form == "json":
        assert (json.loads(first)["note"], json.loads(last)["n"]) == (waits, 1)


def test_a_build_waits_for_its_downloaders_until_there_is_an_outcome(capsys):
    status = {"is_down": False, "outcomes": {}}
    with progress_bar(total=2, postfix="waiting for the downloaders to start") as bar:
        show(bar, status)
        assert bar.postfix == "waiting for the downloaders to start"
        show(bar, status | {"outcomes": {"ok": 1}})
        assert (bar.postfix, bar.n) == ("ok=1", 1)


@pytest.mark.parametrize(
    ("runs", "seconds"),
    [
        ([], None),
        ([{"complete": False, "audio_s": 9.0, "seconds": 1.0}], None),
        ([{"complete": True, "audio_s": 0.0, "seconds": 9.0}], None),
        ([{"complete": True, "audio_s": 10.0, "seconds": 5.0}], 50.0),  # of an older version
        (
            [
                {"complete": True, "audio_s": 0.0, "seconds": 9.0},  # nothing was new
                {
                    "complete": True,
                    "audio_s": 10.0,
                    "work_s": 2.0,
                    "overhead_s": 30.0,
                    "seconds": 9,
                },
            ],
            50.0,
        ),
    ],
)
def test_how_long_a_run_over_100_s_of_audio_takes(runs, seconds):
    assert expected_s(map(TaggingRun.from_dict, runs), 100.0) == seconds


@pytest.mark.parametrize(("n_slow", "n_calls"), [(0, 1), (1, 2), (2, 3), (3, 3)])
def test_a_ray_that_starts_too_slowly_is_started_anew(n_slow, n_calls, monkeypatch):
    calls = []

    def start(**options):
        calls.append(options)
        if len(calls) <= n_slow:
            raise Exception("The current node timed out during startup. This could happen because")

    monkeypatch.setattr(cluster.ray, "init", start)
    monkeypatch.setattr(cluster.ray, "shutdown", lambda: None)  # the session has a Ray of its own
    if n_slow < 3:
        cluster._init_local(num_cpus=1)
    else:
        with pytest.raises(TimbreError, match="too busy"):
            cluster._init_local(num_cpus=1)
    assert calls == [{"num_cpus": 1}] * n_calls


@pytest.fixture
def asked(monkeypatch):
    """Give what an autoscaler is asked for, in a cluster of nothing that is looked at at once."""
    asked: list[object] = []
    monkeypatch.setattr(cluster, "request_resources", lambda bundles: asked.append(bundles))
    monkeypatch.setattr(cluster, "_LOOK_EVERY_S", 0.0)
    monkeypatch.setattr(cluster, "_what_there_is", lambda: "4 CPU, 0 GPU on 2 nodes")
    return asked


def test_a_cluster_without_gpus_is_asked_for_one_and_the_wait_is_said(asked, monkeypatch, capsys):
    counts = iter([0, 0, 0, 1])
    monkeypatch.setattr(cluster, "count", lambda resource: next(counts))
    with logged("jobs.tag_catalog"):
        cluster.await_room("GPU", max_wait_s=600)
    said = capsys.readouterr().err
    assert "the cluster has no GPU yet: waiting for a node that has one, 600 s at most" in said
    assert asked == [[{"GPU": 1}], []]


def test_a_wait_ends(asked, monkeypatch, capsys):
    monkeypatch.setattr(cluster, "count", lambda resource: 0)
    words = "no GPU in the cluster after 0 s: it has 4 CPU, 0 GPU on 2 nodes; add a node"
    with logged("jobs.tag_catalog"), pytest.raises(TimbreError, match=words):
        cluster.await_room("GPU", max_wait_s=0)
    assert asked == [[{"GPU": 1}], []]


def test_who_has_room_does_not_wait(asked, monkeypatch):
    monkeypatch.setattr(cluster, "count", lambda resource: 2)
    cluster.await_room("CPU", max_wait_s=0)
    assert asked == []


def test_how_long_is_told_by_runs_that_described_by_the_same_attributes():
    planned = Planned(n_tracks=1, n_left=1, sizes=Sizes(n_bytes=60 * 24_000))  # a minute
    plain = TaggingRun(complete=True, audio_s=60.0, seconds=40.0)
    described = replace(plain, seconds=400.0, attributes=["timbral"])
    for runs, names, expected in (
        ([described, plain], [], 40.0),
        ([plain, described], ["timbral"], 400.0),
        ([plain], ["timbral"], None),
    ):
        assert plan_of(planned, runs, {}, names).seconds == expected


def test_a_bar_is_drawn_again_while_a_result_is_waited_for(monkeypatch, capsys):
    asked = iter([([], ["result"]), ([], ["result"]), (["result"], [])])
    monkeypatch.setattr(tasks.ray, "wait", lambda *_, **__: next(asked))
    with progress_bar(total=1, postfix="fitting") as bar:
        bar.refresh = lambda: bar.display(f"still fitting, {bar.n} of 1")
        assert tasks.wait_for_one(["result"], bar) == "result"
    assert "still fitting, 0 of 1" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("message", "is_mendable"),
    [("worker startup repeatedly failed.", True), ("no node has the resources", False)],
)
def test_a_process_that_ray_could_not_start_is_one_line(message, is_mendable):
    fault = mendable(ActorUnschedulableError(message))
    assert bool(fault) == is_mendable
    assert fault is None or "the machine is too busy" in str(fault)


class Unreachable:
    """The client of a cluster that is out of reach, and at last knows the job no more."""

    def __init__(self):
        self.faults = [ConnectionError("refused"), ConnectionError("refused")]

    async def tail_job_logs(self, _job_id):
        raise self.faults.pop() if self.faults else RuntimeError("status code 404")
        yield


def test_who_waits_for_a_job_is_told_that_the_cluster_does_not_answer(monkeypatch, capsys):
    monkeypatch.setattr(submit, "_ASK_AGAIN_S", 0.01)
    with pytest.raises(TimbreError, match="tag-1 is lost: status code 404"):
        submit.wait_for(Unreachable(), "tag-1")
    (line,) = capsys.readouterr().err.splitlines()  # once, not at every try
    assert line == "tag-1: no answer from the cluster, asking again for 300 s at most"


def test_a_cluster_that_does_not_answer_is_one_line_with_the_cure():
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # and does not listen
        address = f"127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(TimbreError) as raised:
            cluster._join(address)
    assert re.fullmatch(
        rf"RAY_ADDRESS={address}: cannot join that Ray cluster: .*Connection refused; look whether "
        r"its head runs, and at the token \(RAY_AUTH_MODE\), or unset RAY_ADDRESS .*",
        str(raised.value),
    )
