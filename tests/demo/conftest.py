"""A few videos and tracks, rendered once."""

from pathlib import Path

import pytest

from pipeline.demo.catalogue import plan_catalogue, render_catalogue
from pipeline.demo.corpus import Video, plan_corpus, render_corpus
from pipeline.demo.media_server import Fault

SEED = 55


@pytest.fixture(scope="session")
def small_plan() -> list[Video]:
    """Give eight videos: two of one class, others of more and of none."""
    plan = [video for video in plan_corpus(SEED) if video.fault is Fault.NONE]
    return sorted(plan, key=lambda video: (video.duration_s, video.ytid))[:8]


@pytest.fixture(scope="session")
def videos(small_plan, tmp_path_factory) -> Path:
    """Render them."""
    folder = tmp_path_factory.mktemp("videos")
    assert len(render_corpus(small_plan, folder, workers=2)) == len(small_plan)
    return folder


@pytest.fixture(scope="session")
def library(tmp_path_factory):
    """Render a small catalogue."""
    folder = tmp_path_factory.mktemp("library") / "music"
    assert len(plan_catalogue(folder, SEED)) >= 20
    return folder, render_catalogue(folder, SEED, workers=2)
