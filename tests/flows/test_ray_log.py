"""A job that joins a cluster: nothing of Ray's own alarms for nothing, and all of it is objects."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
JOB = """
import logging

import jobs  # as `python -m jobs.tag_catalog` does first
import ray.data
from pipeline.flows.cluster import ray_session
from pipeline.runs.logs import logged, say
from pipeline.flows.tagging.tag_stages import quiet


class Same:
    def __call__(self, batch):
        return batch


with logged("jobs.x"), ray_session(min_cpus=2):
    quiet()
    pool = ray.data.ActorPoolStrategy(size=1)
    for _ in range(2):
        rows = ray.data.range(4).map_batches(Same, compute=pool, num_cpus=1).take_all()
    for name in ("ray", "ray.data"):
        logging.getLogger(name).error("by the logger %s", name)
    say("ended")
print(len(rows))
"""


def test_every_line_is_an_object_and_no_restart_is_feared_for(ray_local):
    import ray

    environment = {
        **os.environ,
        "RAY_ADDRESS": ray.get_runtime_context().gcs_address,
        "TIMBRE_LOG": "json",
    }
    environment.pop("RAY_BACKEND_LOG_LEVEL", None)  # as on a cluster, where it hides nothing
    done = subprocess.run(
        [sys.executable, "-c", JOB],
        cwd=ROOT, env=environment, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.stdout == "4\n", done.stderr
    events = [json.loads(line) for line in done.stderr.splitlines()]
    assert [one["event"] for one in events if one.get("job") == "jobs.x"] == [
        *("joining", "by the logger ray", "by the logger ray.data", "ended")
    ]
    assert "restart" not in done.stderr
