"""What a training cost: seconds and memory, an epoch each, of the worker that holds most."""

import socket
from pathlib import Path

import torch
import torch.distributed as dist
import torch.multiprocessing as mp

from pipeline.training import cost
from pipeline.training.cost import CostMeter, cost_of, peak_rss_mib
from pipeline.training.loop import Hooks, train
from tests.training.test_epochs import window_set
from tests.training.test_loop import CONFIG, CPU, tagger

CLOCK = [10.0, 13.0, 17.5, 100.0]


def test_each_epoch_of_the_history_says_what_it_cost(monkeypatch):
    ticks = iter(CLOCK)
    monkeypatch.setattr(cost, "monotonic", lambda: next(ticks))
    meter = CostMeter(CPU)
    data = window_set([862, 400])
    progress = train(
        CONFIG, tagger(), data, data, device=CPU, checkpoint=None,
        hooks=Hooks(lambda step: None, lambda metrics, state: None, measure=meter),
    )  # fmt: skip
    assert [row["seconds"] for row in progress.history] == [3.0, 4.5, 82.5]
    peaks = [row["peak_mib"] for row in progress.history]
    assert 50 < peaks[0] <= peaks[1] <= peaks[2] <= peak_rss_mib()
    assert cost_of(progress.history) == {"seconds": 90.0, "peak_mib": peaks[2]}
    assert cost_of([{"val_loss": 1.0}]) == {}


def test_waiting_is_a_share_of_the_steps_time_and_of_one_epoch_only():
    meter = CostMeter(CPU)
    meter.waited(1.5, 6.0)
    assert meter()["waiting_share"] == 0.25
    assert "waiting_share" not in meter()
    meter.waited(0.0, 0.0)
    assert meter()["waiting_share"] == 0


def rank_of_two(rank: int, port: int, folder: Path) -> None:
    dist.init_process_group("gloo", init_method=f"tcp://127.0.0.1:{port}", rank=rank, world_size=2)
    held = torch.ones((1 + 300 * rank) << 18)  # MiB of float32
    found = CostMeter(CPU)()["peak_mib"]
    torch.save((found, peak_rss_mib(), len(held)), folder / f"{rank}.pt")
    dist.destroy_process_group()


def test_the_worker_that_holds_most_counts(tmp_path: Path):
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    mp.spawn(rank_of_two, (port, tmp_path), nprocs=2)
    (said, own, _), (same, large, _) = (torch.load(tmp_path / f"{rank}.pt") for rank in (0, 1))
    assert said == same
    assert own + 200 < said <= large + 1
