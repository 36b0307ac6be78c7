"""Training on Ray Train: N workers, killed workers, killed drivers, and nothing done twice."""

import json
import os
import signal
from dataclasses import replace

import psutil
import pytest
import torch

from pipeline.errors import UsageError
from pipeline.flows.fit import FitConfig, fit
from pipeline.learn.config import TrainConfig
from pipeline.learn.model import load_model
from pipeline.store.dataset import Dataset
from tests.flows.conftest import TINY, kill, wait_for


def test_the_model_carries_all_that_tagging_needs(model, dataset):
    tagger, card = load_model(str(model))
    meta = Dataset.open(str(dataset)).meta()
    assert card.dataset_fingerprint == meta["fingerprint"]
    assert card.heard.spec.to_dict() == meta["feature_spec"]
    assert [c["code"] for c in meta["classes"]] == card.vocabulary.codes
    assert [row["epoch"] for row in card.training["history"]] == [1, 2]
    assert set(card.thresholds) == {"s1", "s2", "max"}
    assert {"torch", "ray", "timm"} <= card.provenance.keys()
    assert tagger(torch.zeros(1, 256, 87)).shape == (1, 11)


def test_the_same_run_is_not_done_again(model, dataset):
    before = (model / "model.json").read_bytes()
    result = fit(FitConfig(str(dataset), str(model), TINY))
    assert result.was_done
    assert (model / "model.json").read_bytes() == before


def test_two_workers_see_what_one_sees(dataset, tmp_path):
    """Gradients are the same sums, so the losses are near, but for each worker's own batch norm."""
    config = replace(TINY, epochs=1, augment=())
    one = fit(FitConfig(str(dataset), str(tmp_path / "1"), replace(config, batch_size=8)))
    two = fit(
        FitConfig(str(dataset), str(tmp_path / "2"), replace(config, batch_size=4), workers=2)
    )
    losses = [r.card.training["history"][0]["train_loss"] for r in (one, two)]
    assert losses[0] == pytest.approx(losses[1], rel=0.15)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(dataset="/nowhere"), r"no dataset\.json"),
        (dict(train=TrainConfig(model="resnet51")), "no such model"),
    ],
)
def test_what_a_user_gets_wrong(dataset, tmp_path, change, message):
    settings = {"dataset": str(dataset), "out": str(tmp_path), "train": TINY} | change
    with pytest.raises(UsageError, match=message):
        fit(FitConfig(**settings))
    with pytest.raises(UsageError, match="--workers"):
        FitConfig(str(dataset), "o", TINY, workers=0)


def flags(dataset, out, epochs):
    return ["--dataset", dataset, "--out", out, "--model", "resnet10t", "--input-size", "32x32",
            "--epochs", epochs, "--batch-size", 8, "--lr", 1e-3]  # fmt: skip


def history(out):
    return json.loads((out / "model.json").read_text())["training"]["history"]


def checkpoints(out):
    return list(out.glob("runs/*/checkpoint_*"))


def test_a_killed_driver_goes_on_and_ends_as_if_undisturbed(dataset, start_job, tmp_path):
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    fit(FitConfig(str(dataset), str(whole), replace(TINY, epochs=4)))
    process = start_job("train", *flags(dataset, killed, 4))
    wait_for(lambda: checkpoints(killed) or process.poll() is not None)
    kill(process)
    assert not (killed / "model.json").exists()
    again = start_job("train", *flags(dataset, killed, 4))
    output, _ = again.communicate(timeout=180)
    assert again.returncode == 0, output
    assert history(killed) == history(whole)
    weights = [(d / "model.safetensors").read_bytes() for d in (whole, killed)]
    assert weights[0] == weights[1]


def worker_pids(driver: int) -> list[int]:
    """Return the training's processes below a driver that has a Ray of its own."""
    below = psutil.Process(driver).children(recursive=True)
    return [one.pid for one in below if "RayTrainWorker" in " ".join(one.cmdline())]


def test_a_killed_worker_is_replaced_and_no_epoch_is_lost(dataset, start_job, tmp_path):
    out = tmp_path / "m"
    process = start_job("train", *flags(dataset, out, 6), "--workers", 2)
    wait_for(lambda: checkpoints(out) or process.poll() is not None)
    os.kill(worker_pids(process.pid)[-1], signal.SIGKILL)
    output, _ = process.communicate(timeout=240)
    assert process.returncode == 0, output
    assert [row["epoch"] for row in history(out)] == list(range(1, 7))
