"""A network that compiles itself learns the same; where it cannot, somebody is told."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn
from torch._dynamo.testing import CompileCounterWithBackend

from pipeline.errors import UsageError
from pipeline.models.model import Architecture, Tagger
from pipeline.training import loop
from pipeline.training.config import TrainConfig
from pipeline.training.loop import Hooks, Progress
from pipeline.training.recovery import train_to_the_end
from tests.training.test_epochs import window_set

CONFIG = TrainConfig(
    model="resnet10t", input_size=(32, 32), epochs=2, batch_size=8, lr=1e-4, precision="f32"
)


def run(config: TrainConfig, notes: list[str]) -> Progress:
    def new_model() -> Tagger:
        torch.manual_seed(0)
        return Tagger(Architecture("resnet10t", 2, (32, 32), dropout=0.0))

    data = window_set([862, 400, 300])
    return train_to_the_end(
        config, new_model, data, data, device=torch.device("cpu"), last_state=lambda: None,
        hooks=Hooks(lambda step: None, lambda metrics, state: None, notes.append),
    )  # fmt: skip


def compiled_by(monkeypatch: pytest.MonkeyPatch, backend) -> None:
    """Let networks be compiled by `backend`: torch's own one takes minutes to write C++."""
    compile_network = nn.Module.compile
    monkeypatch.setattr(loop, "compiler_fault", lambda: "")
    monkeypatch.setattr(
        nn.Module, "compile", lambda self, **kw: compile_network(self, backend=backend, **kw)
    )


def test_a_compiled_network_learns_the_same(monkeypatch):
    """Traced forward and backward; the operations of the graphs are computed one by one."""
    counter = CompileCounterWithBackend("aot_eager")
    compiled_by(monkeypatch, counter)
    notes: list[str] = []
    eager, compiled = run(CONFIG, notes), run(replace(CONFIG, compile=True), notes)
    assert not notes
    assert counter.frame_count > 0
    for before, after in zip(eager.history, compiled.history, strict=True):
        assert after["train_loss"] == pytest.approx(before["train_loss"], rel=1e-3)
    assert compiled.best_weights.keys() == eager.best_weights.keys()
    for name, weights in eager.best_weights.items():
        np.testing.assert_allclose(weights, compiled.best_weights[name], atol=1e-3, err_msg=name)


def test_a_machine_without_a_compiler_is_told_and_trains_on(monkeypatch):
    monkeypatch.setattr(loop, "compiler_fault", lambda: "no C compiler (install it)")
    notes: list[str] = []
    progress = run(replace(CONFIG, compile=True, epochs=1), notes)
    assert notes == ["not compiled: no C compiler (install it)"]
    assert len(progress.history) == 1


def test_a_network_that_cannot_be_compiled_is_one_line(monkeypatch):
    def fails(graph, inputs):
        raise ValueError("no such kernel")

    compiled_by(monkeypatch, fails)
    with pytest.raises(UsageError) as caught:
        run(replace(CONFIG, compile=True), [])
    text = str(caught.value)
    assert text.startswith("--compile: torch cannot compile resnet10t here: ") and "\n" not in text
    assert text.endswith("; leave it out")


def test_a_run_keeps_its_name_when_it_is_compiled():
    assert replace(CONFIG, compile=True).identity() == CONFIG.identity()


@pytest.mark.parametrize("model", ["svm", "linear"])
def test_what_has_no_steps_is_not_compiled(model):
    with pytest.raises(UsageError, match=f"--compile: {model} is not trained step by step"):
        TrainConfig(model=model, compile=True)
