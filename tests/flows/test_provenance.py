"""The revision is that of the code that runs, or what the environment says, or unknown."""

import subprocess

import pytest

import pipeline
from pipeline.runs import provenance


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A commit with one file, which stands for the code."""
    monkeypatch.delenv("TIMBRE_GIT_REVISION", raising=False)
    code = tmp_path / "code.py"
    code.write_text("1")
    monkeypatch.setattr(provenance, "__file__", str(code))
    who = ["-c", "user.name=a", "-c", "user.email=a@b"]
    for command in (["init", "-q"], ["add", "code.py"], [*who, "commit", "-qm", "m"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    return tmp_path


def test_a_checkout_says_its_revision_and_whether_it_has_changes(checkout):
    revision = provenance.git_revision()
    head = subprocess.run(
        ["git", "rev-parse", "HEAD"], cwd=checkout, capture_output=True, text=True
    )
    assert len(revision) == 12
    assert head.stdout.startswith(revision)
    (checkout / "code.py").write_text("2")
    assert provenance.git_revision() == revision + "+"


def test_an_installation_below_another_checkout_has_none(checkout, monkeypatch):
    (checkout / "lib").mkdir()
    monkeypatch.setattr(provenance, "__file__", str(checkout / "lib" / "code.py"))
    assert provenance.git_revision() == "unknown"


def test_where_there_is_no_git_the_environment_says_it(checkout, monkeypatch):
    monkeypatch.setenv("PATH", str(checkout))
    assert provenance.git_revision() == "unknown"
    monkeypatch.setenv("TIMBRE_GIT_REVISION", "0123456789ab")
    assert provenance.provenance()["git_revision"] == "0123456789ab"


def test_the_version_is_that_of_the_code_whatever_is_installed():
    assert provenance.provenance()["timbre"] == pipeline.__version__
