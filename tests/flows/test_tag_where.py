"""Where a run tags: in its own process what is small, on Ray what is large or asks for it."""

from __future__ import annotations

import sys
from types import SimpleNamespace

import pytest

from pipeline.store.tags.work.worklist import Sizes
from pipeline.tagging.tag_where import SMALL_BYTES, is_small, n_bytes

FEW = Sizes(n_bytes=3000, n_unsized=1)


@pytest.fixture(autouse=True)
def _no_ray(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    monkeypatch.delitem(sys.modules, "ray", raising=False)


def test_a_few_tracks_are_small():
    assert is_small(FEW, gpu=False, workers=None)
    assert is_small(Sizes(), gpu=False, workers=None)


def test_the_line_is_at_bytes_of_audio():
    at = Sizes(n_bytes=SMALL_BYTES)
    assert is_small(at, gpu=False, workers=None)
    assert not is_small(at + Sizes(n_bytes=1), gpu=False, workers=None)
    assert not is_small(Sizes(n_unsized=1000), gpu=False, workers=None)  # of a web server
    assert n_bytes(FEW) > 3000


def test_what_asks_for_ray_gets_it(monkeypatch):
    assert not is_small(FEW, gpu=True, workers=None)
    assert not is_small(FEW, gpu=False, workers=1)
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert not is_small(FEW, gpu=False, workers=None)


@pytest.mark.parametrize("is_running", [True, False])
def test_a_ray_that_runs_already_is_used(monkeypatch, is_running):
    monkeypatch.setitem(sys.modules, "ray", SimpleNamespace(is_initialized=lambda: is_running))
    assert is_small(FEW, gpu=False, workers=None) is not is_running
