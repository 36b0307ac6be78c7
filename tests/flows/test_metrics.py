"""What the jobs show to Prometheus: named, labelled, there while its process lives, then gone."""

import urllib.request

import pytest
import ray

from pipeline.flows.metrics import SERIES
from tests.waiting import wait_for

pytestmark = pytest.mark.slow


@ray.remote(num_cpus=0)
class _Counting:
    def count(self, n: int) -> str:
        from pipeline.flows import metrics

        rows = [{"outcome": "ok", "reason": "ok", "bytes_fetched": 100, "fetch_s": 0.5}] * n
        metrics.add_segments(rows)
        metrics.show_epoch({"epoch": 2.0, "train_loss": 0.5, "val_macro_f1": 0.25}, "resnet18")
        return ray.get_runtime_context().get_job_id()


def served() -> dict[str, float]:
    """Return our series as this node serves them, by name and labels."""
    node = next(node for node in ray.nodes() if node["Alive"])
    url = f"http://127.0.0.1:{node['MetricsExportPort']}/metrics"
    with urllib.request.urlopen(url) as response:
        lines = response.read().decode().splitlines()
    ours = [line for line in lines if line.startswith("ray_timbre_")]
    return {name: float(value) for name, value in (line.rsplit(" ", 1) for line in ours)}


def total(name: str, *labels: str) -> float:
    return sum(
        value
        for key, value in served().items()
        if key.startswith(f"ray_{name}{{") and all(label in key for label in labels)
    )


def test_series_say_their_job_and_model_and_end_with_their_process(ray_local):
    actors = [_Counting.remote() for _ in range(2)]
    job = f'job_id="{ray.get([one.count.remote(3) for one in actors])[0]}"'
    done = ("timbre_segments_total", job, 'outcome="ok"')
    wait_for(lambda: total(*done) == 6)
    wait_for(lambda: total("timbre_fetched_bytes_total", job) == 600)
    wait_for(lambda: total("timbre_segment_seconds_total", job, 'stage="fetch"') == 3.0)
    epochs = ("timbre_training_epoch", job, 'model="resnet18"')
    wait_for(lambda: total(*epochs) == 4.0)  # 2 of each actor
    ray.get(actors[0].count.remote(1))
    wait_for(lambda: total(*done) == 7)
    ray.kill(actors[0])
    wait_for(lambda: total(*done) == 3)  # its own are gone; the other has been silent for longer


def test_all_series_have_a_job_and_none_is_named_twice():
    assert all(name.startswith("timbre_") for name in SERIES)
    assert not any({"job_id", "model"} & {*one.labels} for one in SERIES.values())
