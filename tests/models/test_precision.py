"""Fast arithmetic is compared with float32 before it is used, and left where it is wrong."""

import copy
import io
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.errors import UsageError
from pipeline.models.engines import bf16_trial, engines, graphs, precision
from pipeline.models.engines.bf16_trial import (
    disagreement,
    forward_fault,
    layer_fault,
    n_to_try,
    step_trial,
)
from pipeline.models.engines.engines import make_engine
from pipeline.models.model import Architecture, Tagger, load_model
from pipeline.training.config import TrainConfig
from pipeline.training.loop import Hooks, train
from pipeline.training.recovery import divergence, train_to_the_end
from tests.models.test_engines import by_model, windows_for, write_model
from tests.training.test_epochs import window_set

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
CONFIG = TrainConfig(model="resnet10t", input_size=(32, 32), epochs=2, batch_size=8, lr=1e-3)


@pytest.mark.parametrize(
    ("batch_size", "shape", "n"),
    [(16, (256, 256), 8), (32, (128, 32), 32), (500, (13, 40), 32), (1, (128, 32), 2),
     (16, (96, 100_000), 2)],
)  # fmt: skip
def test_a_trial_of_long_windows_takes_few_of_them(batch_size, shape, n):
    assert n_to_try(batch_size, shape) == n


@pytest.fixture
def fast_bf16(monkeypatch):
    """A machine that is fast at bfloat16, whatever this one is."""
    monkeypatch.setattr(precision, "has_fast_bf16", lambda device: True)


class WrongConv(nn.Conv2d):
    """A convolution that is wrong in bfloat16: in its output, or only in its gradient."""

    def __init__(self, conv, how):
        super().__init__(conv.in_channels, conv.out_channels, 3, conv.stride, 1, bias=False)
        self.load_state_dict(conv.state_dict())
        self.how = how

    def forward(self, inputs):
        output = super().forward(inputs)
        if output.dtype != torch.bfloat16:
            return output
        if self.how == "nan":
            return output * float("nan")
        if self.how == "one channel":
            return torch.cat([output[:, :1] * 9, output[:, 1:]], dim=1)
        return _WrongGradient.apply(output) if self.how == "gradient" else output


class _WrongGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx, values):
        return values.clone()

    @staticmethod
    def backward(ctx, gradient):
        return -gradient


def tagger(name="resnet10t", size=(32, 32), shape=(256, 87), how=None):
    torch.manual_seed(0)
    model = Tagger(Architecture(name, 2, size, input_shape=shape, below_peak=shape[0] == 256))
    if how is not None:
        model.backbone.layer2[0].conv1 = WrongConv(model.backbone.layer2[0].conv1, how)
    return model


def batch(shape=(256, 87), n=8):
    rng = torch.Generator().manual_seed(1)
    windows = torch.randn((n, *shape), generator=rng) * (10 if shape[0] == 256 else 1)
    return windows, (torch.rand((n, 2), generator=rng) < 0.5).float()


@pytest.mark.parametrize(
    ("name", "shape"),
    [
        ("resnet10t", (256, 87)),
        ("crnn", (256, 87)),
        ("cnn2d-mfcc", (40, 87)),
        ("cnn1d-descriptors", (40, 87)),
        ("mobilenetv3_small_050", (256, 87)),
    ],
)
def test_what_bf16_rounds_is_no_fault(name, shape):
    """Deep networks of random weights may be off by half their logits, and only by rounding."""
    model = tagger(name, (96, 96), shape)  # not narrower: there CPUs with AMX are wrong indeed
    before = copy.deepcopy(model.state_dict())
    trial = step_trial(model, *batch(shape, n=4))
    assert trial.is_right, trial.fault
    assert min(trial.f32_s, trial.bf16_s) > 0
    assert all(torch.equal(value, before[key]) for key, value in model.state_dict().items())


@pytest.mark.parametrize(
    ("how", "where"),
    [
        ("nan", "the logits far off or no number"),
        ("one channel", "backbone.layer2.0.conv1: "),
        ("gradient", "backbone.layer2.0.conv1: "),
    ],
)
def test_a_convolution_that_is_wrong_in_bf16_is_found(how, where):
    trial = step_trial(tagger(how=how), *batch())
    assert not trial.is_right
    assert trial.fault.startswith(where)


def test_an_error_counts_by_what_rounding_explains():
    exact = {"a": torch.ones(100), "b": torch.zeros(100)}
    rounded = {"a": torch.full((100,), 1.1), "b": torch.full((100,), 0.01)}
    assert not disagreement(exact, {"a": torch.full((100,), 0.7), "b": torch.zeros(100)}, rounded)
    off = {"a": torch.full((100,), 0.4), "b": torch.zeros(100)}
    assert disagreement(exact, off, rounded) == "a 60% off (rounding explains 10%)"
    small = {"a": torch.ones(100), "b": torch.full((100,), 0.09)}  # zero but for rounding
    assert not disagreement(exact, small, rounded)
    assert disagreement(exact, {"a": torch.ones(100), "b": torch.ones(100)}, rounded)[0] == "b"
    assert disagreement(exact, exact | {"a": torch.full((100,), float("nan"))}, rounded)


def run(config, model, checkpoint=None, notes=None):
    states = []

    def on_epoch(metrics, state):
        torch.save(state, buffer := io.BytesIO())
        states.append(torch.load(io.BytesIO(buffer.getvalue()), weights_only=True))

    data = window_set([862, 400])
    hooks = Hooks(lambda step: None, on_epoch, [].append if notes is None else notes.append)
    progress = train(config, model, data, data, device=CPU, checkpoint=checkpoint, hooks=hooks)
    return progress, states


def test_a_training_whose_bf16_is_wrong_is_one_in_float32(fast_bf16):
    notes = []
    guarded, states = run(CONFIG, tagger(how="nan"), notes=notes)
    exact, _ = run(replace(CONFIG, precision="f32"), tagger(how="nan"))
    assert guarded.history == exact.history
    assert len(guarded.history) == 2
    assert (guarded.precision, exact.precision) == ("f32", "f32")
    assert notes == [guarded.note]
    assert guarded.note.startswith("float32, as bfloat16 is wrong here: the logits")
    assert states[0]["progress"]["precision"] == "f32"


def test_a_training_uses_bf16_where_it_is_right(fast_bf16):
    wide = replace(CONFIG, input_size=(96, 96), epochs=1)
    low, _ = run(wide, tagger(size=(96, 96)))
    exact, _ = run(replace(wide, precision="f32"), tagger(size=(96, 96)))
    assert (low.precision, low.note) == ("bf16", "")
    assert low.history != exact.history
    assert low.history[0]["train_loss"] == pytest.approx(exact.history[0]["train_loss"], rel=0.05)


def test_a_run_in_float32_is_not_tried_again(fast_bf16, monkeypatch):
    _, states = run(CONFIG, tagger(how="nan"))
    monkeypatch.setattr("pipeline.training.loop.step_fault", None)  # would be called
    progress, _ = run(CONFIG, tagger(how="nan"), checkpoint=states[0])
    assert [row["epoch"] for row in progress.history] == [1, 2]


class GoesWrong(WrongConv):
    """Right for some training steps, then NaN in bfloat16 for good."""

    def __init__(self, conv, n_right):
        super().__init__(conv, "nan")
        self.n_right, self.n_seen = n_right, 0

    def forward(self, inputs):
        self.n_seen += self.training and inputs.requires_grad
        self.how = "nan" if self.n_seen > self.n_right else "right"
        return super().forward(inputs)


def test_a_run_that_diverges_in_bf16_goes_on_in_float32(fast_bf16):
    """From the last epoch that was whole, and says at which step."""
    states, notes, steps = [], [], []

    def new_model():
        model = tagger(size=(96, 96))
        layer = model.backbone.layer2[0]
        layer.conv1 = GoesWrong(layer.conv1, n_right=6)
        return model

    def on_epoch(metrics, state):
        states.append(copy.deepcopy(state))

    config = replace(CONFIG, input_size=(96, 96), epochs=3, batch_size=4)
    data = window_set([862, 400])  # 13 windows: four steps an epoch
    progress = train_to_the_end(
        config, new_model, data, data, device=CPU,
        last_state=lambda: copy.deepcopy(states[-1]) if states else None,
        hooks=Hooks(steps.append, on_epoch, notes.append),
    )  # fmt: skip
    assert [row["epoch"] for row in progress.history] == [1, 2, 3]
    assert progress.precision == "f32"
    assert notes == [progress.note]
    assert progress.note == "float32 from epoch 2 on, as the loss of step 7 was no number in bf16"
    assert [state["progress"]["precision"] for state in states] == ["bf16", "f32", "f32"]
    assert states[-1]["progress"]["note"] == progress.note
    assert progress.diverged_at is None


def test_a_divergence_says_its_step_and_arithmetic():
    def on_step(step):
        if step == 3:
            model.backbone.fc.weight.data.fill_(float("nan"))

    model, data = tagger(), window_set([862, 400])
    progress = train(
        replace(CONFIG, batch_size=4, precision="f32"), model, data, data, device=CPU,
        checkpoint=None, hooks=Hooks(on_step, lambda *_: None),
    )  # fmt: skip
    assert progress.history == []
    assert divergence(progress) == "the loss of step 4 was no number in f32"


def test_an_unknown_precision_is_a_usage_error():
    with pytest.raises(UsageError, match="--precision f16: expected auto, f32, bf16"):
        TrainConfig(precision="f16")


def test_older_runs_keep_their_names():
    assert "precision" not in TrainConfig().identity()
    assert TrainConfig(precision="f32").identity()["precision"] == "f32"
    assert TrainConfig().identity()["seed"] == 0


def test_layers_that_are_alike_are_compared_once(monkeypatch):
    """The blocks of a transformer are: the same kernel computes them."""
    compared = []

    def note(layer, inputs, low_type):
        compared.append((str(layer), tuple(inputs.shape)))
        return ""

    monkeypatch.setattr(bf16_trial, "_fault_of_layer", note)
    network = nn.Sequential(*(nn.Linear(8, 8) for _ in range(4)), nn.Linear(8, 3), nn.LayerNorm(3))
    assert layer_fault(network, torch.randn(5, 8)) == ""
    # The first gets float32, those behind it bfloat16.
    assert [shape for _, shape in compared] == [(5, 8), (5, 8), (5, 8), (5, 3)]
    assert "out_features=3" in compared[2][0]
    compared.clear()
    network[2] = OtherLinear(8, 8)  # of another class, so it is not taken for one of them
    layer_fault(network, torch.randn(5, 8))
    assert len(compared) == 5


class OtherLinear(nn.Linear):
    """Prints as `nn.Linear` does."""

    def _get_name(self):
        return "Linear"


def wrong_conv(monkeypatch, how):
    """Let every model that an engine loads have a convolution that is wrong in bfloat16."""

    def load(uri):
        model, card = load_model(uri)
        layer = model.backbone.layer2[0]
        layer.conv1 = WrongConv(layer.conv1, how)
        return model, card

    monkeypatch.setattr(engines, "load_model", load)


def test_torch_serves_float32_where_bf16_is_wrong(tmp_path, monkeypatch, fast_bf16):
    uri, card = write_model(tmp_path)
    windows = windows_for(card)
    right = make_engine(uri, engine="torch", precision="bf16")
    assert right.about == {"name": "torch", "precision": "bf16", "note": ""}
    wrong_conv(monkeypatch, "nan")
    for asked in ("auto", "bf16"):
        engine = make_engine(uri, engine="torch", precision=asked)
        assert engine.about["precision"] == "f32"
        assert engine.about["note"].startswith("float32, as bfloat16 is wrong here: the logits")
        np.testing.assert_allclose(engine.scores(windows)[0], by_model(uri, windows), atol=1e-5)


class LowGraph(graphs.Graph):
    """OpenVINO's graph, wrong in everything but float32."""

    def __init__(self, model, *, precision):
        super().__init__(model, precision="f32")
        self.is_low = precision != "f32"
        self.precision = "bf16" if self.is_low else "f32"

    def outputs(self, prepared):
        logits, *others = super().outputs(prepared)
        return [logits[::-1] + 30 if self.is_low else logits, *others]


def test_openvino_serves_float32_where_bf16_is_wrong(tmp_path, monkeypatch):
    uri, card = write_model(tmp_path)
    windows = windows_for(card)
    monkeypatch.setattr(graphs, "best_precision", lambda: "bf16")
    monkeypatch.setattr(graphs, "Graph", LowGraph)
    engine = make_engine(uri)
    assert (engine.about["name"], engine.about["precision"]) == ("openvino", "f32")
    assert engine.about["note"].startswith("float32, as bfloat16 is wrong here: the logits")
    np.testing.assert_allclose(engine.scores(windows)[0], by_model(uri, windows), atol=1e-4)


def test_the_forward_pass_is_compared_alone():
    model = tagger(how="one channel").eval()
    windows, _ = batch()
    with torch.inference_mode():
        prepared = model.prepared(windows)
    assert forward_fault(tagger().eval().backbone, prepared) == ""
    model.backbone.layer2[0].conv1.how = "nan"
    assert forward_fault(model.backbone, prepared).startswith("the logits")
