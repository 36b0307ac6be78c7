"""The curves that a page shows are the learning rates that the loop sets."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from pipeline.models.model import Architecture, Tagger
from pipeline.training.config import TrainConfig
from pipeline.training.recipes import preset
from pipeline.training.schedule import learning_rate, optimizer_of, rate_curves


@pytest.mark.parametrize("n_total", [1, 2, 7, 300, 5000])
def test_every_point_is_the_learning_rate_of_its_step(n_total):
    config = TrainConfig()
    (name, (steps, rates)), *others = rate_curves(config, n_total).items()
    assert (name, others) == ("all layers", [])
    assert [learning_rate(int(k), n_total, config) for k in steps] == rates.tolist()
    assert (steps[0], steps[-1]) == (0, n_total - 1)
    assert len(steps) <= 301
    n_warmup = max(1, round(config.warmup * n_total))
    assert n_warmup in steps or n_warmup >= n_total  # the peak is not thinned away
    assert rates.max() == max(learning_rate(k, n_total, config) for k in range(n_total))


def test_a_head_of_its_own_has_its_own_curve():
    config = replace(preset("harmony-ast"), weights=None)
    curves = rate_curves(config, 1000)
    assert list(curves) == ["network", "head"]
    assert max(curves["network"][1]) == pytest.approx(2e-5)
    assert max(curves["head"][1]) == pytest.approx(1e-3)
    assert curves["head"][1][-1] == pytest.approx(1e-4, rel=0.1)


def test_the_curves_are_those_of_the_optimisers_groups():
    config = replace(preset("harmony-ast"), model="resnet10t")
    torch.manual_seed(0)
    groups = optimizer_of(Tagger(Architecture("resnet10t", 2, (32, 32))), config).param_groups
    for group, (steps, rates) in zip(groups, rate_curves(config, 50).values(), strict=True):
        found = [learning_rate(int(k), 50, config, group["span"]) for k in steps]
        assert found == rates.tolist()
