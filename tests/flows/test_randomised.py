"""A training on randomised windows: its loader processes work beside it, and never outlive it."""

from __future__ import annotations

import threading
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pytest
import torch

from pipeline.datasets.training_data import TrainingData
from pipeline.flows.training.fit import FitConfig, fit
from pipeline.store.dataset import Dataset
from pipeline.training.config import TrainConfig
from tests.flows.conftest import TINY
from tests.waiting import beside, wait_for

pytestmark = pytest.mark.slow

RANDOMISED = replace(TINY, augment=("masks", "randomise"), loader_processes=2, epochs=4)


def test_a_killed_worker_takes_its_loader_processes_with_it(dataset: Path, tmp_path: Path) -> None:
    with beside(partial(kill_the_worker, tmp_path)) as killed:
        card = fit(FitConfig(str(dataset), str(tmp_path), RANDOMISED)).card
    history = card.training["history"]
    assert [row["epoch"] for row in history] == [1, 2, 3, 4]
    assert all(0 < row["waiting_share"] < 1 for row in history)
    assert card.input_spec.to_dict()["kind"] == "logmel"
    loaders = killed.result()
    assert len(loaders) >= 2
    wait_for(lambda: not any(is_running(one) for one in loaders))
    mine = psutil.Process().children(recursive=True)
    wait_for(lambda: not any(is_loader(one) for one in mine))


def kill_the_worker(out: Path, training: threading.Event) -> list[psutil.Process]:
    """Kill the worker once a checkpoint is there; return the processes that it had started."""
    wait_for(lambda: list(out.glob("runs/*/checkpoint_*")), training)
    processes = psutil.Process().children(recursive=True)
    worker = next(p for p in processes if "RayTrainWorker" in " ".join(p.cmdline()))
    loaders = worker.children(recursive=True)
    worker.kill()
    return loaders


def is_loader(process: psutil.Process) -> bool:
    try:
        return "spawn_main" in " ".join(process.cmdline()) and is_running(process)
    except psutil.NoSuchProcess:
        return False


def is_running(process: psutil.Process) -> bool:
    return process.is_running() and process.status() != psutil.STATUS_ZOMBIE


@pytest.mark.parametrize(
    ("model", "augment", "gpu", "has_front", "is_on_device"),
    [
        ("resnet10t", ("randomise",), False, True, False),
        ("resnet10t", ("randomise",), True, False, True),
        ("resnet10t", ("randomise", "noise"), False, False, True),
        ("ast", ("randomise",), False, True, False),
        ("cnn1d-raw", ("randomise",), False, False, False),
    ],
)
def test_bands_are_made_by_the_loader_or_on_the_device(
    dataset: Path, model: str, augment: tuple[str, ...], gpu: bool, has_front: bool,
    is_on_device: bool,
) -> None:  # fmt: skip
    stored = Dataset.open(str(dataset))
    config = TrainConfig(model=model, augment=augment, activity=False, weights="none")
    training_data = TrainingData(stored, stored.record(), config)
    with training_data.kept():
        windows = training_data.train_set(gpu=gpu)
        work = training_data.randomised_windows(gpu=gpu)
        assert work is not None
        assert (work.front is not None) == has_front
        bands = training_data.samples_to_log_mel(windows, gpu=gpu)
        assert (bands is not None) == is_on_device
        found = work.plain(windows.windows(np.array([0])))
        if bands is not None:
            found = bands(torch.from_numpy(found), torch.Generator(), ()).numpy()
        assert found.shape[1:] == training_data.architecture.input_shape
        expected = TrainingData(
            stored, stored.record(), replace(config, augment=())
        ).train_set().windows(np.array([0]))  # fmt: skip
        loud = expected.max() - (60 if model != "cnn1d-raw" else np.inf)
        near = np.abs(found.astype(np.float32) - expected.astype(np.float32))[expected > loud]
        assert np.median(near) < 0.1


@pytest.mark.parametrize("model", ["cnn2d-mfcc", "svm"])
def test_features_are_not_randomised(dataset: Path, model: str) -> None:
    stored = Dataset.open(str(dataset))
    training_data = TrainingData(
        stored, stored.record(), TrainConfig(model=model, augment=("randomise",))
    )
    assert training_data.randomised_windows() is None
    assert not training_data.trains_on_samples
