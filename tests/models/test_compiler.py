"""What torch lacks to compile networks is named, with its cure."""

import pytest

from pipeline.models.engines import compiler


@pytest.fixture
def headers(tmp_path):
    (tmp_path / "Python.h").touch()
    return str(tmp_path)


def test_a_compiler_and_headers_are_enough(headers, monkeypatch):
    monkeypatch.setattr(compiler.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert compiler.compiler_fault(headers) == ""


def test_no_compiler(headers, monkeypatch):
    monkeypatch.setattr(compiler.shutil, "which", lambda name: None)
    assert "build-essential" in compiler.compiler_fault(headers)


def test_no_headers(tmp_path, monkeypatch):
    monkeypatch.setattr(compiler.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert "python3.11-dev" in compiler.compiler_fault(str(tmp_path))
