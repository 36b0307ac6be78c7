"""On a cluster a relative path is refused, whatever the job and the flag; elsewhere all is as ever.

What is submitted runs in a temporary folder of Ray's: a relative --out was written there, the job
said that all is well, and Ray deleted it.
"""

import importlib
import json
import os
import subprocess
import sys
from argparse import ArgumentParser
from pathlib import Path

import pytest

from jobs import harness
from pipeline.flows.doctor import DoctorConfig, checks
from pipeline.flows.doctor_checks import Level
from pipeline.runs.joined import is_on_cluster, relative_on_cluster

ROOT = Path(__file__).parents[2]
JOBS = sorted(path.stem for path in (ROOT / "jobs").glob("[a-z]*.py") if path.stem != "harness")
SUBMITTED = {"RAY_JOB_CONFIG_JSON_ENV_VAR": "{}", "RAY_ADDRESS": "127.0.0.1:6379"}
OTHERS = {
    *(
        "N",
        "X",
        "S",
        "T/V/T",
        "N|N..M",
        "IP",
        "URL",
        "SEGMENT_ID",
        "SHARE",
        "NAME",
        "NAMES",
        "STEPS",
        "ID",
    ),
    *("K", "HxW", "mean,var", "QUESTION", "WORD [desc]", None),
    "FILES",  # the demo's soundfonts: on a cluster its --out is refused before them
}


class Made(Exception):
    """A job has made its parser."""


def parser_of(job, monkeypatch):
    made = []

    def parse(self, args=None, namespace=None):
        made.append(self)
        raise Made

    with monkeypatch.context() as patched:
        patched.setattr(ArgumentParser, "parse_args", parse)
        with pytest.raises(Made):
            importlib.import_module(f"jobs.{job}").main([])
    return made[0]


def values_of(action, text):
    return [text] * (2 if action.nargs == "+" else 1)


def required(parser, but, text):
    """Return what the parser cannot do without."""
    words = []
    for action in parser._actions:
        if action.required and action is not but:
            value = action.choices[0] if action.choices else text
            words += [*action.option_strings[:1], *values_of(action, value)]  # one has no name
    return words


@pytest.mark.parametrize("job", [job for job in JOBS if job not in ("doctor", "submit")])
def test_every_path_of_every_job(job, monkeypatch, capsys):
    parser = parser_of(job, monkeypatch)
    places = [action for action in parser._actions if harness.is_place(action)]
    others = {action.metavar for action in parser._actions if action not in places}
    assert others <= OTHERS, "say whether a flag of this metavar names a file"
    has_out = "--out" in [action.option_strings[0] for action in places]
    assert has_out or job in ("browse", "correct")  # which write beside the tags
    out = ["--out", "/srv/out"] if has_out else []
    for action in places:
        flag, others = action.option_strings[0], required(parser, action, "/srv/x")
        words = [*others, flag, *values_of(action, "data/x")]
        parser.parse_args([*words, *([] if flag == "--out" else out)])
        with monkeypatch.context() as patched:
            for name, value in SUBMITTED.items():
                patched.setenv(name, value)
            with pytest.raises(SystemExit) as caught:
                parser.parse_args(words)
            error = capsys.readouterr().err
            assert (caught.value.code, error.count("\n")) == (harness.USAGE, 1)
            assert error.startswith(f"error: {flag} 'data/x' is relative: in a submitted job")
            assert "such as /srv/x, or a URI" in error
            for good in ("/srv/x", "s3://bucket/x", "~/x"):
                found = parser.parse_args([*others, *out, flag, *values_of(action, good)])
                assert good in str(getattr(found, action.dest))


def test_each_of_several_models_is_looked_at(monkeypatch, capsys):
    parser = parser_of("tag_catalog", monkeypatch)
    for name, value in SUBMITTED.items():
        monkeypatch.setenv(name, value)
    words = ["--catalog", "/srv/music", "--out", "/srv/out", "--model"]
    assert parser.parse_args(words[:-1]).model == "starter"
    assert parser.parse_args([*words, "starter,/srv/a"]).model == "starter,/srv/a"
    with pytest.raises(SystemExit):
        parser.parse_args([*words, "/srv/a,b"])
    assert capsys.readouterr().err.startswith("error: --model 'b' is relative")


@pytest.mark.parametrize(
    ("environ", "is_cluster"),
    [
        ({}, False),
        ({"RAY_ADDRESS": "local"}, False),
        ({"RAY_ADDRESS": "127.0.0.1:6379"}, False),
        ({"RAY_ADDRESS": "localhost:6379"}, False),
        ({"RAY_ADDRESS": "[::1]:6379"}, False),
        (SUBMITTED, True),
        ({"RAY_ADDRESS": "10.0.0.7:6379"}, True),
        ({"RAY_ADDRESS": "ray://head:10001"}, True),
        ({"RAY_ADDRESS": "auto"}, True),
    ],
)
def test_what_a_cluster_is(environ, is_cluster):
    assert is_on_cluster(environ) is is_cluster
    assert (relative_on_cluster("x", environ) is not None) is is_cluster
    assert relative_on_cluster("irmas:/srv/irmas", environ) is None
    assert (relative_on_cluster("irmas:irmas", environ) is not None) is is_cluster


def test_where_the_folder_is_the_users_own_the_cure_is_the_path():
    wrong = relative_on_cluster("data/x", {"RAY_ADDRESS": "10.0.0.7:6379"})
    assert f"give the absolute path, {Path.cwd()}/data/x if all nodes have that" in wrong


def findings(environ, monkeypatch, **config):
    for name in ("RAY_ADDRESS", "RAY_JOB_CONFIG_JSON_ENV_VAR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environ.items():
        monkeypatch.setenv(name, value)
    wanted = [check for check in checks(DoctorConfig(**config)) if "paths" in check.func.__name__]
    return [check() for check in wanted]


def test_the_doctor_says_the_same(monkeypatch):
    assert findings({}, monkeypatch, source="videos", out="out") == []
    (finding,) = findings(SUBMITTED, monkeypatch, source="videos", out="out")
    assert finding.level is Level.FAIL
    assert str(finding).count("is relative") == 2
    (finding,) = findings(SUBMITTED, monkeypatch, out="/srv/out")
    assert finding.level is Level.OK
    (finding,) = findings(SUBMITTED, monkeypatch)  # its own folder is Ray's
    assert finding.level is Level.WARN and "--out" in str(finding)


def test_in_a_log_of_objects_a_wrong_flag_is_one():
    done = subprocess.run(
        [sys.executable, "-m", "jobs.export", "--tags", "tags", "--format", "csv", "--out", "/x"],
        env=os.environ | SUBMITTED | {"TIMBRE_LOG": "json"},
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    (line,) = done.stderr.splitlines()
    event = json.loads(line)
    assert (done.returncode, event["event"], event["job"]) == (2, "failed", "jobs.export")
    assert event["text"].startswith("error: --tags 'tags' is relative")
