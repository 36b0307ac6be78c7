"""Training on Ray Train: N workers, nothing done twice; more is killed in test_s3, test_nodes."""

import re
import signal
import threading
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import psutil
import pytest
import torch

from jobs import demo, harness, train
from pipeline.datasets import trained_model
from pipeline.errors import UsageError
from pipeline.evaluation.labels.aggregate import METHODS
from pipeline.flows.training.fit import FitConfig, fit
from pipeline.models.engines.precision import has_fast_bf16
from pipeline.models.model import load_card, load_model
from pipeline.store.dataset import Dataset
from pipeline.training.config import TrainConfig
from tests.flows.conftest import TINY
from tests.waiting import beside, wait_for

pytestmark = pytest.mark.slow


def test_the_model_carries_all_that_tagging_needs(model, dataset):
    tagger, card = load_model(str(model))
    meta = Dataset.open(str(dataset)).meta()
    assert card.dataset_fingerprint == meta["fingerprint"]
    assert card.input_spec.to_dict()["kind"] == "logmel"  # though its samples were disturbed
    assert card.input_spec.spec.to_dict() == meta["feature_spec"]
    assert [c["code"] for c in meta["classes"]] == card.vocabulary.codes
    assert [row["epoch"] for row in card.training["history"]] == [1, 2]
    assert set(card.thresholds) == set(METHODS)
    assert {"torch", "ray", "timm"} <= card.provenance.keys()
    assert tagger(torch.zeros(1, 256, 87)).shape == (1, 11)


def test_the_page_shows_the_learning_rate_and_augmented_clips_of_the_dataset(model, dataset):
    html = (model / "report.html").read_text()
    titles = re.findall(r"<h2>(.*?)</h2>", html)
    assert titles.count("Learning rate") == 1
    assert len([title for title in titles if title.startswith("Augmentation of a clip: ")]) == 2
    store = Dataset.open(str(dataset)).folder
    ids = [
        one
        for name in store.names("clips")
        if name.startswith("clips/train-")
        for one in store.read_table(name, ["segment_id"])["segment_id"].to_pylist()
    ]
    assert sum(one in html for one in ids) == 2
    training = load_card(str(model)).training
    n_windows = 10 * len(ids)  # of 10 s
    assert training["steps_per_epoch"] == -(-n_windows // TINY.batch_size)


def test_the_same_run_is_not_done_again(model, dataset):
    before = (model / "model.json").read_bytes()
    result = fit(FitConfig(str(dataset), str(model), TINY))
    assert result.was_done
    assert (model / "model.json").read_bytes() == before


def test_two_workers_see_what_one_sees_also_when_one_is_killed(dataset, model, tmp_path):
    """Gradients are the same sums, so the losses are near, but for each worker's own batch norm."""
    config = replace(TINY, batch_size=TINY.batch_size // 2, epochs=6)
    with beside(partial(kill_a_worker, tmp_path)) as killed:
        two = fit(FitConfig(str(dataset), str(tmp_path), config, workers=2)).card
    n_done = killed.result()
    history = two.training["history"]
    assert [row["epoch"] for row in history] == list(range(1, 7))
    assert 1 <= n_done < 6
    first = load_card(str(model)).training["history"][0]
    assert first["train_loss"] == pytest.approx(history[0]["train_loss"], rel=0.15)


def kill_a_worker(out: Path, training: threading.Event) -> int:
    """Kill one of two workers once a checkpoint is there; return how many there were."""
    wait_for(lambda: list(out.glob("runs/*/checkpoint_*")), training)
    processes = psutil.Process().children(recursive=True)
    next(p for p in processes if "RayTrainWorker" in " ".join(p.cmdline())).kill()
    return len(list(out.glob("runs/*/checkpoint_*")))


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


def test_the_job_says_how_a_classical_model_went(dataset, tmp_path, capsys):
    """It is fitted once, whatever the epochs: that is no early end."""
    out = tmp_path / "out"
    assert train.main(["--dataset", str(dataset), "--out", str(out), "--model", "knn"]) == 0
    said = capsys.readouterr().out
    assert "\nval loss " in said
    assert "epoch" not in said
    command = ["--dataset", str(dataset), "--out", str(out), "--model", "svm"]
    assert train.main(command) == 2
    assert "knn-" in capsys.readouterr().err
    assert load_card(str(out)).training["config"]["model"] == "knn"


def test_a_training_that_is_killed_at_its_page_gets_one(dataset, ray_local, tmp_path, monkeypatch):
    config = FitConfig(str(dataset), str(tmp_path), TrainConfig(model="knn"))
    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(trained_model, "render_page", interrupted)
        fit(config)
    card = fit(config).card
    assert card.model_id in (tmp_path / "report.html").read_text()
    assert fit(config).was_done


def interrupted(page):
    raise KeyboardInterrupt


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_training_that_is_stopped_says_so(dataset, tmp_path, start_job, number):
    """Ctrl-C, and what schedulers send: Ray has handlers of its own, which say nothing or abort."""
    flags = ["--model", "resnet10t", "--input-size", "32x32", "--epochs", "500"]
    job = start_job("train", "--dataset", dataset, "--out", tmp_path, *flags)
    wait_for(lambda: any(tmp_path.glob("runs/*/checkpoint_*")), job)
    started = psutil.Process(job.pid).children(recursive=True)
    job.send_signal(number)
    said, _ = job.communicate()
    assert job.returncode == harness.INTERRUPTED
    assert said.splitlines()[-1].startswith("interrupted: ")
    assert "***" not in said
    psutil.wait_procs(started)  # none is left behind


def test_the_demos_own_training_learns_on_this_machine(dataset, tmp_path):
    """Its network, input, batch size and arithmetic; tiny trainings meet none of those shapes."""
    flags = ["--dataset", str(dataset), "--out", str(tmp_path), *demo.TRAINING.split()]
    assert train.main([*flags, "--epochs", "2"]) == 0
    history = load_card(str(tmp_path)).training["history"]
    losses = [[row["train_loss"], row["val_loss"]] for row in history]
    assert len(losses) == 2
    assert np.isfinite(losses).all()
    assert losses[1][0] < losses[0][0]


def test_the_job_says_that_a_training_diverged(dataset, tmp_path, capsys):
    flags = ["--model", "resnet10t", "--input-size", "32x32", "--epochs", "2", "--lr", "1e30"]
    assert train.main(["--dataset", str(dataset), "--out", str(tmp_path), *flags]) == 1
    said = capsys.readouterr().err
    assert re.search(r"the loss of step \d+ was no number in f32, and no epoch was whole", said)
    assert "lower --lr 1e+30" in said
    if has_fast_bf16(torch.device("cpu")):  # it began in it, or that is wrong on this machine
        assert "float32" in said
    assert not (tmp_path / "model.json").exists()


@pytest.mark.parametrize("step", [None, 7])
def test_a_divergence_is_told_from_an_early_end(step, capsys):
    """By what was written down; neither patience nor fewer epochs are a divergence."""
    history = [{"epoch": 1.0, "val_loss": 2.0, "val_macro_f1": 0.1}]
    config = {"model": "crnn", "epochs": 5, "patience": 1, "weights": None}
    training = {"config": config, "history": history, "diverged_at": step, "precision": "f32"}
    card = SimpleNamespace(model_id="crnn-1", training=training, untrained_classes=[])
    card.regression = None
    train._say_model(SimpleNamespace(card=card, was_done=False), "out")
    said = capsys.readouterr().out
    assert ("the loss of step 7 was no number in f32" in said) == (step is not None)
    assert ("it ended there" in said) == (step is not None)
