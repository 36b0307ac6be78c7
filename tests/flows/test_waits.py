"""A bar that stands at 0 says what it waits for, in a log's first line, until something is done."""

import json

import pytest

from pipeline.flows.build import show
from pipeline.flows.logs import logged, progress_bar
from pipeline.score.pace import expected_s


def test_a_bar_says_at_once_what_it_waits_for(capsys):
    with progress_bar(total=3, unit=" tracks", desc="tag", postfix="waiting for x"):
        assert capsys.readouterr().err.startswith("tag:   0% 0/3 [00:00<?, ? tracks/s, waiting for")


def test_so_it_does_as_an_object(capsys, monkeypatch):
    monkeypatch.setenv("TIMBRE_LOG", "json")
    with logged("x"), progress_bar(total=3, unit=" tracks", desc="tag", postfix="waiting for x"):
        event = json.loads(capsys.readouterr().err.splitlines()[0])
    assert (event["event"], event["n"], event["note"]) == ("progress", 0, "waiting for x")


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
    assert expected_s(runs, 100.0) == seconds
