"""The jobs as a user types them: help, usage errors, exit codes; no needless traceback."""

import importlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
from datetime import datetime
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest

from jobs import build_subset, harness
from pipeline.errors import StoreError, UsageError
from pipeline.flags import share
from pipeline.store.folder import Folder
from schemas.build_report import BuildReport
from schemas.tags import tags_schema

ROOT = Path(__file__).parents[2]
JOBS = ["build_subset", "extract_features", "explore", "train", "evaluate", "compare", "quantize"]
JOBS += ["import_model", "tag_catalog", "retag", "export", "demo", "doctor", "reproduce"]


@pytest.mark.parametrize("name", JOBS)
def test_help_explains_every_flag(name, capsys):
    main = importlib.import_module(f"jobs.{name}").main
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    text = capsys.readouterr().out
    flags = [line.split()[0] for line in text.splitlines() if line.startswith("  --")]
    assert "--out" in flags
    assert "default: None" not in text
    assert "default: (" not in text  # defaults stand as they are typed
    assert "default: False" not in text
    for line in text.splitlines():
        if line.startswith("  --") and len(line) > 40:
            assert line.split("  ")[-1].strip(), line


@pytest.mark.parametrize("name", [name for name in JOBS if name not in ("demo", "doctor")])
def test_missing_flags_are_usage(name):
    with pytest.raises(SystemExit) as caught:
        importlib.import_module(f"jobs.{name}").main([])
    assert caught.value.code == 2


@pytest.mark.parametrize(
    "line",
    [
        "build_subset --segments nowhere.csv --out OUT --source /tmp",
        "build_subset --segments x.csv --out OUT --source http://x/",
        "build_subset --segments x.csv --out OUT --limit 0",
        "train --dataset nowhere --out OUT",
        "train --dataset nowhere --out OUT --epochs 0",
        "evaluate --model nowhere --dataset nowhere --out OUT",
        "evaluate --model nowhere --out OUT",
        "tag_catalog --catalog nowhere --model nowhere --out OUT",
    ],
)
def test_a_wrong_input_is_one_line_and_exit_code_2(line, tmp_path, capsys):
    name, *flags = line.replace("OUT", str(tmp_path / "out")).split()
    assert importlib.import_module(f"jobs.{name}").main(flags) == harness.USAGE
    error = capsys.readouterr().err
    assert error.startswith("error: ")
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_exit_codes(capsys):
    def fails(error):
        def job():
            raise error

        return job

    assert harness.run(lambda: 0) == 0
    assert harness.run(fails(UsageError("u"))) == 2
    assert harness.run(fails(StoreError("s"))) == 1
    assert harness.run(fails(KeyboardInterrupt())) == 130
    with pytest.raises(ZeroDivisionError):  # a bug keeps its traceback
        harness.run(fails(ZeroDivisionError()))


def test_an_interrupt_leaves_no_lock_taken(capsys):
    given_back = []
    lock = SimpleNamespace(acquire=None, release=None)
    lock.__enter__ = partial(signal.raise_signal, signal.SIGINT)
    lock.__exit__ = lambda *_: given_back.append(True)

    def job():
        with threading.Condition(lock):
            pass
        time.sleep(60)

    before = signal.getsignal(signal.SIGINT)
    assert harness.run(job) == harness.INTERRUPTED
    assert given_back == [True]
    assert signal.getsignal(signal.SIGINT) is before
    assert capsys.readouterr().err.startswith("interrupted: ")


def test_what_fails_by_an_interrupt_is_interrupted(capsys):
    def job():
        try:
            signal.raise_signal(signal.SIGTERM)
        finally:
            raise RuntimeError("cannot release un-acquired lock")

    assert harness.run(job) == harness.INTERRUPTED
    assert capsys.readouterr().err.count("\n") == 1


@pytest.mark.parametrize(("text", "value"), [("1%", 0.01), ("0.25", 0.25), ("100%", 1), ("0", 0)])
def test_a_share(text, value):
    assert share(text) == value


@pytest.mark.parametrize("text", ["x", "2", "-1%", "101%"])
def test_what_is_no_share(text):
    with pytest.raises(Exception, match="expected a share"):
        share(text)


def test_a_job_is_a_module_with_an_exit_code():
    done = subprocess.run(
        [sys.executable, "-m", "jobs.train", "--dataset", "nowhere", "--out", "x"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr.startswith("error: nowhere: no dataset.json there")


def test_a_wrong_flag_is_one_line_that_names_the_command():
    done = subprocess.run(
        [sys.executable, "-m", "jobs.train", "--dataset", "x", "--out", "y", "--epochs", "many"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == (
        "error: argument --epochs: invalid int value: 'many'; python -m jobs.train --help says "
        "what there is\n"
    )


def test_a_build_past_its_limit_says_so(tmp_path, monkeypatch, capsys):
    report = BuildReport(wanted=200, got=150)
    monkeypatch.setattr(build_subset, "build", lambda config: report)
    words = ["--segments", "x.csv", "--out", str(tmp_path), "--max-failed"]
    assert build_subset.main([*words, "25%"]) == harness.OK
    assert build_subset.main([*words, "0.1"]) == harness.PAST_LIMIT
    assert capsys.readouterr().err.splitlines() == [
        "50 of 200 segments were not got, more than --max-failed 10% allows"
    ]


def test_a_log_of_objects(tmp_path):
    """With TIMBRE_LOG=json each line of stderr is an object; stdout has the summary, in words."""
    folder = Folder(str(tmp_path / "run"))
    row = {"uri": "a", "model_id": "m", "status": "ok", "labels": ["cel"], "scores": {"cel": 0.9}}
    table = pa.Table.from_pylist([row], tags_schema(["cel"]))
    folder.write_table("tags/model=m/date=2026-11-21/0.parquet", table)

    def log_of(**environment: str) -> tuple[int, str, list[dict]]:
        done = subprocess.run(
            [sys.executable, "-m", "jobs.export", "--tags", folder.uri, "--format", "csv",
             "--out", str(tmp_path / "out")],
            cwd=ROOT, env=os.environ | environment, capture_output=True, text=True, check=False,
        )  # fmt: skip
        return done.returncode, done.stdout, done.stderr.splitlines()

    code, summary, lines = log_of(TIMBRE_LOG="json")
    events = [json.loads(line) for line in lines]
    assert (code, "tags.csv: 1 rows" in summary) == (harness.OK, True)
    assert {event["job"] for event in events} == {"jobs.export"}
    assert [event["event"] for event in events if event["event"] != "progress"] == [
        "began",
        "ended",
    ]
    assert datetime.fromisoformat(events[0]["time"]).tzinfo is not None
    (last,) = [event for event in events if event["event"] == "progress" and event["n"] == 1]
    assert (last["what"], last["total"], last["unit"], last["level"]) == (
        *("export", 1, "tracks"),
        "INFO",
    )
    assert events[-1]["exit_code"] == harness.OK
    assert events[-1]["seconds"] > 0
    folder.delete("tags/model=m/date=2026-11-21/0.parquet")
    code, _, lines = log_of(TIMBRE_LOG="json")
    _, failed, ended = map(json.loads, lines)
    assert (code, failed["level"], ended["exit_code"]) == (harness.USAGE, "ERROR", harness.USAGE)
    assert failed["text"].startswith("error: ")
    assert log_of(TIMBRE_LOG="text")[2] == [failed["text"]]
    code, _, (line,) = log_of(TIMBRE_LOG="xml")
    assert (code, line) == (harness.USAGE, "error: TIMBRE_LOG=xml: expected one of text, json")


def test_a_reader_that_leaves_is_no_traceback():
    job = "from jobs.harness import exit_process, run\n"
    job += "def job():\n    while True:\n        print('a line', flush=True)\n"
    job += "exit_process(run(job))"
    with subprocess.Popen(
        [sys.executable, "-c", job], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout.readline() == b"a line\n"
        process.stdout.close()
        assert process.stderr.read() == b""
        assert process.wait() == harness.UNREAD == 141
