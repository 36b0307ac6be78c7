"""The plan: which experiments the figures need, with the presets' settings, each once."""

from __future__ import annotations

from dataclasses import replace

import pytest

from pipeline.configs.reproduce import FIGURES, ReproduceConfig
from pipeline.errors import UsageError
from pipeline.reproduction.figures import FIGURE_PLANS, study_plan
from pipeline.reproduction.plan import FigurePlan, StudyPlan, Training, plan_lines
from pipeline.training.config import TrainConfig
from pipeline.training.presets import PRESETS

CONFIG = ReproduceConfig("irmas", "out")


def trainings(config=CONFIG, **changes):
    return {one.name: one for one in study_plan(replace(config, **changes)).trainings}


def test_every_figure_has_a_plan():
    assert tuple(FIGURE_PLANS) == FIGURES
    assert study_plan(CONFIG).names == list(FIGURES)


def test_a_model_of_several_figures_is_trained_once():
    plan = study_plan(CONFIG)
    wanted = [one.name for figure in plan.figures for one in figure.trainings]
    assert wanted.count("resnet50") == 6
    assert len({one.name for one in plan.trainings}) == len(plan.trainings) == 15
    assert {name for one in plan.scorings for name in one.models} <= set(trainings())


def test_the_settings_are_the_presets():
    found = trainings()
    assert found["resnet50"].config == PRESETS["harmony-resnet50"]
    for name in ("cnn1d-raw", "cnn2d-mfcc", "cnn1d-descriptors"):
        assert found[name].config == PRESETS[f"harmony-{name}"]
    base = found["resnet50"].config
    assert found["resnet50-3s"].config == replace(base, window_s=3.0)
    mixed = found["resnet50-dynamic-5"].config
    assert mixed == replace(base, sampling="dynamic", mix_min=1, mix_max=5)


def test_options_change_all_models_alike():
    found = trainings(epochs=2, seed=7, backbone="resnet10t", input_size=(64, 32), weights="none")
    assert {(one.config.epochs, one.config.seed) for one in found.values()} == {(2, 7)}
    assert found["resnet10t-2s"].config.input_size == (64, 32)
    assert found["resnet10t-2s"].config.begins_from is None
    assert found["cnn1d-raw"].config.input_size == TrainConfig().input_size


def test_what_needs_weights_or_a_dataset_says_so_and_is_planned_where_they_are():
    found = trainings()
    assert "--ast-weights FOLDER (hf download MIT/ast-" in found["ast"].skipped
    assert found["resnet50-of-audioset"].skipped == "give --audioset DATASET, from build_subset"
    found = trainings(ast_weights="none", audioset="subset")
    assert not any(one.skipped for one in found.values())
    assert found["resnet50-of-audioset"].dataset == "audioset"
    bare = found["ast-unregularised"].config
    assert (bare.augment, bare.dropout, bare.weight_decay, bare.head_weight_decay) == ((), 0, 0, 0)


def test_some_figures_only():
    plan = study_plan(replace(CONFIG, only=("ensemble", "windows")))
    assert plan.names == ["windows", "ensemble"]
    assert plan.scorings[-1].models == ("cnn1d-raw", "cnn2d-mfcc", "cnn1d-descriptors", "resnet50")
    with pytest.raises(UsageError, match="--only windos: expected some of data, descriptors, win"):
        replace(CONFIG, only=("windos",))


def test_two_experiments_of_one_name_are_a_bug():
    one = Training("a", "a", TrainConfig())
    twice = (FigurePlan("x", "x", (one,)), FigurePlan("y", "y", (replace(one, about="b"),)))
    with pytest.raises(AssertionError, match="called a"):
        _ = StudyPlan(twice).trainings


def test_the_plan_in_words():
    text = "\n".join(plan_lines(study_plan(CONFIG)))
    assert "\n  claim: Windows of 1 s are better than those of 3 s.\n" in text
    assert "  resnet50-2s: resnet50, windows of 2 s; test split of irmas\n" in text
    assert "  resnet50-on-audioset: resnet50; test split of audioset; NOT RUN: give --aud" in text
    assert "  ensemble: cnn1d-raw + cnn2d-mfcc + cnn1d-descriptors + resnet50;" in text


def test_the_plan_says_what_is_trained_for_a_figure_without_scores():
    lines = plan_lines(study_plan(replace(CONFIG, only=("cost",))))
    assert lines[1] == "  of cnn1d-raw: 1-D CNN on samples"
    assert lines[-2].startswith("  of ast: AST as the preset has it; NOT RUN: give --ast-weights")
    names = "cnn1d-raw, cnn2d-mfcc, cnn1d-descriptors, resnet50"
    assert lines[-1] == f"trainings in all: 4: {names}"
    assert plan_lines(study_plan(replace(CONFIG, only=("data",))))[-1] == "trainings in all: 0"


def test_options_name_the_results_of_a_folder():
    same = replace(CONFIG, only=("data",), gpu=True, irmas="elsewhere", out="x")
    assert same.identity() == CONFIG.identity()
    assert replace(CONFIG, irmas_split="file").identity() != CONFIG.identity()
    with pytest.raises(UsageError, match="--limit 0"):
        replace(CONFIG, limit=0)
