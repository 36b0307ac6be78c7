"""Deterministic runs give the same bytes, take nothing else, and leave torch as it was."""

import os
from dataclasses import replace

import pytest
import safetensors.torch
import torch
from torch import nn

from pipeline.flows.training.fit import worker_env
from pipeline.training.config import TrainConfig
from pipeline.training.determinism import NoDeterministicOp
from pipeline.training.loop import Hooks, train
from tests.training.test_epochs import window_set
from tests.training.test_loop import CONFIG, CPU, tagger

DETERMINISTIC = replace(CONFIG, epochs=2, deterministic=True)


def trained(config: TrainConfig, model=None, on_step=lambda step: None) -> bytes:
    data = window_set([862, 400, 300, 862])
    progress = train(
        config, model or tagger(), data, data, device=CPU, checkpoint=None,
        hooks=Hooks(on_step, lambda metrics, state: None),
    )  # fmt: skip
    return safetensors.torch.save({n: t.contiguous() for n, t in progress.best_weights.items()})


def settings() -> tuple[bool, bool]:
    return torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.benchmark


@pytest.mark.slow
def test_two_runs_are_equal_to_the_byte():
    first = trained(DETERMINISTIC)
    torch.rand(1000)  # whatever else the process has drawn
    assert trained(DETERMINISTIC) == first
    assert trained(replace(DETERMINISTIC, deterministic=False)) == first  # a CPU always is


def test_the_settings_hold_inside_the_loop_and_nowhere_else(monkeypatch):
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    monkeypatch.setattr(torch.backends.cudnn, "benchmark", True)
    seen = []

    def on_step(step):
        seen.append((*settings(), os.environ.get("CUBLAS_WORKSPACE_CONFIG")))

    trained(replace(DETERMINISTIC, epochs=1), on_step=on_step)
    assert set(seen) == {(True, False, ":4096:8")}
    assert settings() == (False, True)
    seen.clear()
    trained(replace(CONFIG, epochs=1), on_step=on_step)
    assert {one[:2] for one in seen} == {(False, True)}


def test_cublas_is_told_before_a_worker_starts():
    assert worker_env(gpu=True, deterministic=True) == {
        "env_vars": {"CUBLAS_WORKSPACE_CONFIG": ":4096:8"}
    }
    assert worker_env(gpu=True) == {}
    assert worker_env(gpu=False).keys() == {"env_vars"}


class Scattering(nn.Module):
    """A network with an operation that has no deterministic form, on no device."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(1024, 2)

    def get_classifier(self) -> nn.Module:
        return self.head

    def forward(self, windows):
        n = torch.zeros(3).put_(torch.tensor([0, 1]), torch.tensor([1.0, 1.0]), accumulate=False)
        return self.head(windows.flatten(1)) * n.sum()


def test_an_operation_without_such_a_form_is_named():
    model = tagger()
    model.backbone = Scattering()
    with pytest.raises(NoDeterministicOp, match=r"^--deterministic: put_ has no determin.*\Z"):
        trained(DETERMINISTIC, model)
    assert settings()[0] is False
    assert trained(replace(DETERMINISTIC, deterministic=False), model)  # else it is taken


def test_another_error_stays_what_it_is():
    def on_step(step):
        raise RuntimeError("out of luck")

    with pytest.raises(RuntimeError, match="out of luck"):
        trained(DETERMINISTIC, on_step=on_step)
