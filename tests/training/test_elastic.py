"""How many workers there are at a moment does not change what a step learns from."""

from argparse import ArgumentTypeError
from dataclasses import replace

import pytest

from jobs.train import _defaults, main
from pipeline.configs.train import FitConfig, range_text, worker_range
from pipeline.errors import UsageError
from pipeline.flows.training.fit_worker import with_workers
from pipeline.training.config import TrainConfig
from pipeline.training.data.epochs import epoch_batches
from pipeline.training.presets import GPU_BATCH
from tests.training.test_epochs import window_set


@pytest.mark.parametrize(("text", "expected"), [("4", 4), ("2..8", (2, 8)), ("1..1", (1, 1))])
def test_a_range_of_workers_is_typed(text, expected):
    assert worker_range(text) == expected
    assert range_text(expected) == text


@pytest.mark.parametrize("text", ["", "two", "2..", "..8", "2...8", "-1", "2..8..9"])
def test_what_is_no_range(text):
    with pytest.raises(ArgumentTypeError, match=r"such as 4, or 2\.\.8"):
        worker_range(text)


@pytest.mark.parametrize("workers", [0, (0, 2), (3, 2)])
def test_a_range_that_cannot_be(workers):
    with pytest.raises(UsageError, match="--workers"):
        FitConfig("ds", "out", TrainConfig(), workers)


def test_the_range_is_known_by_its_ends():
    config = FitConfig("ds", "out", TrainConfig(), (2, 8))
    assert (config.least_workers, config.most_workers) == (2, 8)
    config = FitConfig("ds", "out", TrainConfig(), 3)
    assert (config.least_workers, config.most_workers) == (3, 3)


@pytest.mark.parametrize("n_workers", [1, 2, 4])
def test_fewer_workers_take_the_same_steps(n_workers):
    data, most = window_set([862, 862, 862]), 4
    whole = replace(TrainConfig(), batch_size=2, augment=())
    config = with_workers(whole, n_workers, most)
    assert config.accumulate == most // n_workers
    expected = steps_of(data, whole, most)
    assert steps_of(data, config, n_workers) == expected
    assert sum(map(len, expected)) == len(data)


def steps_of(data, config, n_ranks):
    """Return the values of the windows of each step of the optimiser, over all ranks."""
    ranks = [
        list(
            epoch_batches(
                data, epoch=1, seed=0, batch_size=config.batch_size, rank=rank, n_ranks=n_ranks
            )
        )
        for rank in range(n_ranks)
    ]
    steps = []
    for first in range(0, len(ranks[0]), config.accumulate):
        batches = [b for rank in ranks for b in rank[first : first + config.accumulate]]
        steps.append(sorted(float(w[0, 0]) for b in batches for w in b.windows[b.weights > 0]))
    return steps


def test_a_gpu_has_a_batch_and_rates_of_its_own_unless_they_are_given():
    plain, on_gpu = _defaults(None, []), _defaults(None, ["--gpu"])
    assert plain == TrainConfig()
    assert on_gpu.batch_size == GPU_BATCH == 4 * plain.batch_size
    assert on_gpu.lr == pytest.approx(2 * plain.lr)
    assert on_gpu.lr_end == pytest.approx(2 * plain.lr_end)
    assert _defaults(None, ["--gpu", "--preset", "harmony-resnet50"]).batch_size == 16
    assert _defaults(None, ["--gpu", "--model", "knn"]).batch_size == plain.batch_size


def test_the_command_line_takes_a_range(monkeypatch):
    found = []
    monkeypatch.setattr("jobs.train.fit", lambda config: found.append(config) or 1 / 0)
    with pytest.raises(ZeroDivisionError):
        main(["--dataset", "ds", "--out", "out", "--workers", "2..8"])
    assert found[0].workers == (2, 8)
