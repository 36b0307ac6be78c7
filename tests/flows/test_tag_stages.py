"""What the stages of tagging ask of a cluster, and what their processes load."""

import subprocess
import sys
from dataclasses import replace

import pytest

from pipeline.flows.tagging.tag_stages import memory_of
from pipeline.inference.inference_config import inference_config

GIB = 1 << 30


def test_who_decodes_or_commits_loads_no_torch():
    """It would take each of these processes 0.4 GB, and of a short night most of its seconds.

    scipy.signal takes one second more, for features that tagging seldom has.
    """
    code = (
        "import sys, pipeline.flows.tagging.tag_stages\n"
        "seconds = ('torch', 'timm', 'openvino', 'scipy.signal')\n"
        "print([name for name in seconds if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


def test_memory_is_asked_of_a_cluster_for_tracks_of_an_hour(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    starter = inference_config()
    assert memory_of(starter) is None
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    asked = memory_of(starter)
    spec = starter.front_end.input_spec
    an_hour = 3600 * spec.sample_rate_hz / spec.hop * spec.n_rows * 2
    assert asked == pytest.approx(GIB + 3 * an_hour, rel=1e-3)
    assert memory_of(replace(starter, max_track_s=24 * 3600.0)) == asked
    assert memory_of(replace(starter, max_track_s=60.0)) < asked
