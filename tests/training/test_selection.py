"""The checkpoint is the best epoch's by the figure that was asked for, and so is patience."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from pipeline.errors import UsageError
from pipeline.evaluation.statistics.metrics import multilabel_metrics
from pipeline.training import loop
from pipeline.training.config import TrainConfig
from pipeline.training.loop import Hooks, train
from pipeline.training.recipes import PRESETS
from pipeline.training.selection import (
    SELECTIONS,
    best_row,
    check_selection,
    figures,
    mean_average_precision,
    n_stale,
)
from pipeline.training.validation import clip_scores, validation_figures
from tests.training.test_epochs import window_set
from tests.training.test_loop import CONFIG, CPU, tagger

SILENT = Hooks(lambda step: None, lambda metrics, state: None)
SCRIPT = [
    {"val_s2_loss": 0.1, "val_s1_loss": 0.4, "val_map": 0.2, "val_macro_f1": 0.1},
    {"val_s2_loss": 0.2, "val_s1_loss": 0.1, "val_map": 0.3, "val_macro_f1": 0.2},
    {"val_s2_loss": 0.3, "val_s1_loss": 0.2, "val_map": 0.9, "val_macro_f1": 0.3},
    {"val_s2_loss": 0.4, "val_s1_loss": 0.3, "val_map": 0.4, "val_macro_f1": 0.9},
]
"""Each figure has another best epoch: its number in `SELECTIONS`, for s2-loss the first."""


def scripted(monkeypatch, select: str, **settings):
    """Train four epochs that are judged by the script; return the run and each epoch's average."""
    rows, averages = iter(SCRIPT), []
    judge = lambda *_, **__: next(rows) | {"val_loss": 0.5}  # noqa: E731
    monkeypatch.setattr(loop, "validation_figures", judge)

    def on_epoch(metrics, state):
        averages.append({name: value.clone() for name, value in state["average"].items()})

    data = window_set([862, 400])
    config = replace(CONFIG, epochs=4, select=select, augment=(), **settings)
    progress = train(
        config, tagger(), data, window_set([200, 200, 100]), device=CPU, checkpoint=None,
        hooks=Hooks(lambda step: None, on_epoch),
    )  # fmt: skip
    return progress, averages


def is_same(weights, others) -> bool:
    return all(torch.equal(weights[name], others[name]) for name in weights)


@pytest.mark.parametrize(("select", "best"), [("s2-loss", 0), ("s1-loss", 1), ("f1", 3)])
def test_the_epoch_that_is_kept(monkeypatch, select, best):
    progress, averages = scripted(monkeypatch, select)
    assert best_row(progress.history, select)["epoch"] == best + 1
    assert [is_same(progress.best_weights, one) for one in averages] == [
        k == best for k in range(4)
    ]


def test_patience_follows_what_chooses(monkeypatch):
    assert len(scripted(monkeypatch, "s2-loss", patience=2)[0].history) == 3
    assert len(scripted(monkeypatch, "s1-loss", patience=2)[0].history) == 4
    assert len(scripted(monkeypatch, "f1", patience=1)[0].history) == 4


def test_the_history_holds_all_four_whatever_chooses():
    data = window_set([862, 400, 300, 862])
    progress = train(
        replace(CONFIG, epochs=1), tagger(), data, data, device=CPU, checkpoint=None, hooks=SILENT
    )
    (row,) = progress.history
    assert {"val_s2_loss", "val_s1_loss", "val_macro_f1", "val_loss"} <= row.keys()
    assert row["val_loss"] == row["val_s2_loss"] != row["val_s1_loss"]


def test_figures_are_those_of_the_aggregations():
    data, model = window_set([862, 400, 300, 862]), tagger()
    row = validation_figures(model, data, CONFIG, CPU, precision="f32")
    for method in ("s1", "s2"):
        scores = np.clip(clip_scores(model, data, method, CPU), 1e-6, 1 - 1e-6)
        right = np.where(data.targets > 0.5, scores, 1 - scores)
        assert row[f"val_{method}_loss"] == pytest.approx(-np.log(right).mean(), rel=1e-5)


def test_map_is_an_evaluation_s(rng):
    scores = rng.random((40, 3)).astype(np.float32)
    truth = rng.random((40, 3)) < 0.4
    truth[:, 2] = False  # a class that is nowhere has none
    expected = multilabel_metrics(truth, scores, thresholds=0.5, class_codes=list("abc"))
    targets = truth.astype(np.float32)
    assert mean_average_precision(scores, targets) == pytest.approx(expected.mean_average_precision)
    judged = {m: {"val_loss": 1.0, "val_macro_f1": 0.0} for m in ("s1", "s2")}
    assert "val_map" in figures(judged, scores, targets, "s2")
    assert "val_map" not in figures(judged, scores, np.zeros_like(targets), "s2")


def test_map_leaves_out_what_is_not_known(rng):
    scores = rng.random((40, 2)).astype(np.float32)
    targets = (rng.random((40, 2)) < 0.4).astype(np.float32)
    targets[20:, 1] = np.nan
    each = [
        mean_average_precision(scores[rows, k : k + 1], targets[rows, k : k + 1])
        for k, rows in ((0, slice(None)), (1, slice(20)))
    ]
    assert mean_average_precision(scores, targets) == pytest.approx(np.mean(each))


def test_what_cannot_choose_is_refused():
    data = window_set([862, 400])
    same = np.ones_like(data.targets)
    with pytest.raises(UsageError, match="--select map: no class is there in some"):
        train(
            replace(CONFIG, select="map"), tagger(), data, replace(data, targets=same),
            device=CPU, checkpoint=None, hooks=SILENT,
        )  # fmt: skip
    check_selection("f1", same)
    with pytest.raises(UsageError, match="--select loss: expected s2-loss, s1-loss, map, f1, top1"):
        TrainConfig(select="loss")


def test_the_report_s_runs_choose_as_the_report_does():
    of_report = {one.select for name, one in PRESETS.items() if name.startswith("harmony-")}
    assert of_report == {TrainConfig().select} == {"s2-loss"}
    assert tuple(SELECTIONS) == ("s2-loss", "s1-loss", "map", "f1", "top1", "mae")


def test_older_histories_have_one_loss():
    history = [{"epoch": 1.0, "val_loss": 2.0}, {"epoch": 2.0, "val_loss": 1.0}]
    assert best_row(history)["epoch"] == 2
    assert n_stale([*history, {"epoch": 3.0, "val_loss": 1.0}]) == 1
    assert n_stale([]) == 0
