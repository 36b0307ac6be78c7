"""The loop learns, its schedule is the report's, and a continued run equals the undisturbed one."""

import copy
import io
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch
from torch.optim.optimizer import register_optimizer_step_post_hook

from pipeline.audio.spectra.input_kinds import LogMelInput, SamplesInput
from pipeline.audio.spectra.logmel import LogMelSpec, log_mel
from pipeline.audio.spectra.windows import WindowSpec
from pipeline.errors import UsageError
from pipeline.evaluation.statistics.metrics import multilabel_metrics
from pipeline.models.model import Architecture, Tagger
from pipeline.training.augmenting.augment import MASK_SHARE, mask, mix, tilt
from pipeline.training.config import TrainConfig
from pipeline.training.data.windows import load_windows, row_moments
from pipeline.training.loop import Hooks, train
from pipeline.training.schedule import learning_rate
from pipeline.training.spectra.logmel import SamplesToLogMel, with_margins
from pipeline.training.validation import clip_metrics, clip_scores
from tests.conftest import tones
from tests.marks import slow
from tests.training.test_epochs import window_set

pytestmark = pytest.mark.usefixtures("one_thread")

CPU = torch.device("cpu")
CONFIG = TrainConfig(model="resnet10t", input_size=(32, 32), epochs=3, batch_size=8, lr=1e-3)


def tagger() -> Tagger:
    torch.manual_seed(0)
    return Tagger(Architecture("resnet10t", 2, (32, 32), dropout=0.2))


def run(config: TrainConfig, checkpoint=None, stop_after=None):
    class Stop(Exception):
        pass

    saved = []

    def on_epoch(metrics, state):
        torch.save(state, buffer := io.BytesIO())
        saved.append(buffer.getvalue())
        if len(saved) == stop_after:
            raise Stop

    data = window_set([862, 400, 300, 862])
    try:
        progress = train(
            config, tagger(), data, data, device=CPU, checkpoint=checkpoint,
            hooks=Hooks(lambda step: None, on_epoch),
        )  # fmt: skip
    except Stop:
        return None, saved
    return progress, saved


def test_learning_rate_is_warm_up_and_polynomial_decay():
    config = TrainConfig(lr=2e-4, lr_end=1e-6, warmup=0.05, power=0.7)
    rates = [learning_rate(step, 1000, config) for step in range(1001)]
    assert rates[0] == pytest.approx(2e-4 / 50)
    assert rates[49] == pytest.approx(2e-4)
    assert rates[1000] == pytest.approx(1e-6)
    assert rates[525] == pytest.approx(1e-6 + (2e-4 - 1e-6) * 0.5**0.7)
    assert all(a >= b for a, b in zip(rates[49:], rates[50:], strict=False))


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"sampling": "dynamic", "mix_max": 2},
        slow({"sampling": "persistent", "mix_max": 2}),
        slow({"balance": "full"}),
        {"accumulate": 3, "head_lr": 1e-2, "head_weight_decay": 1e-3, "ema": 0.0},
        slow({"patience": 2}),
    ],
    ids=lambda changes: ",".join(changes) or "plain",
)
def test_a_continued_run_equals_the_undisturbed_one(changes):
    config = replace(CONFIG, **changes)
    whole, _ = run(config)
    _, saved = run(config, stop_after=1)
    state = torch.load(io.BytesIO(saved[0]), weights_only=True)
    continued, _ = run(config, checkpoint=state)
    assert continued.history == whole.history
    for name, tensor in whole.best_weights.items():
        assert torch.equal(tensor, continued.best_weights[name]), name


def test_every_epoch_takes_as_many_steps():
    """Of five batches by two: two and two and one, however many epochs went before."""
    seen = []
    hooks = Hooks(lambda step: seen.append("batch"), lambda metrics, state: seen.append("epoch"))
    data = window_set([862, 862])
    config = replace(CONFIG, batch_size=4, accumulate=2)
    handle = register_optimizer_step_post_hook(lambda *_: seen.append("step"))
    try:
        train(config, tagger(), data, data, device=CPU, checkpoint=None, hooks=hooks)
    finally:
        handle.remove()
    two, one = ["batch", "step", "batch"], ["step", "batch"]  # a step is before its batch's end
    assert seen == [*two, *two, *one, "epoch"] * 3


def test_a_run_that_diverges_ends_with_what_it_had():
    whole, _ = run(CONFIG)
    _, saved = run(CONFIG, stop_after=1)
    state = torch.load(io.BytesIO(saved[0]), weights_only=True)
    for group in state["optimizer"]["param_groups"]:
        group["weight_decay"] = float("nan")
    progress, later = run(CONFIG, checkpoint=state)
    assert progress.history == whole.history[:1] and not later
    assert all(torch.isfinite(w).all() for w in progress.best_weights.values())


def test_it_learns_what_is_there():
    config = TrainConfig(
        model="resnet10t", input_size=(32, 32), epochs=12, batch_size=8, lr=3e-3, augment=()
    )
    progress, _ = run(config)
    assert progress.history[-1]["train_loss"] < 0.5 * progress.history[0]["train_loss"]
    assert progress.epoch == len(progress.history) == 12


def sample_set(input_spec, n_clips=4):
    """Two seconds of tones a clip, as samples."""
    rows = [
        {
            "segment_id": f"s{k}_0",
            "classes": ["ab"[k % 2]],
            "matrix": input_spec.matrix(tones(2.0, (300, 2500)[k % 2])).tobytes(),
        }
        for k in range(n_clips)
    ]
    table = pa.table({name: [row[name] for row in rows] for name in rows[0]})
    return load_windows([table], codes=["a", "b"], windows=WindowSpec(), input_spec=input_spec)


def test_samples_become_the_log_mels_that_the_model_hears():
    spec = LogMelSpec()
    data = with_margins(sample_set(SamplesInput()), spec)
    mean, deviation = map(torch.from_numpy, row_moments(data))
    front = SamplesToLogMel(spec, mean=mean, deviation=deviation)
    rng = torch.Generator().manual_seed(0)
    windows = torch.from_numpy(data.clip_windows(0))
    plain = front(windows, rng, ())
    clip = data.matrices[0][0] / np.float32(32_768)
    expected = log_mel(clip, spec)[:, :87]  # the clip's own, at the window's ends too
    is_loud = expected > expected.max() - 70
    np.testing.assert_allclose(plain[0].numpy()[is_loud], expected[is_loud], atol=1e-2)
    assert not torch.allclose(front(windows, rng, ("noise",)), plain, atol=1)
    higher = front(windows, rng, ("pitch",)).argmax(dim=1)
    assert (higher != plain.argmax(dim=1)).float().mean() > 0.5


def test_a_run_on_disturbed_samples_is_deterministic_and_goes_on():
    config = TrainConfig(
        model="resnet10t", input_size=(32, 32), epochs=2, batch_size=8, augment=("noise", "pitch")
    )
    data = with_margins(sample_set(SamplesInput()), LogMelSpec())
    val = sample_set(LogMelInput())

    def once(checkpoint=None):
        torch.manual_seed(0)
        model = Tagger(Architecture("resnet10t", 2, (32, 32)))
        mean, deviation = map(torch.from_numpy, row_moments(data))
        front = SamplesToLogMel(LogMelSpec(), mean=mean, deviation=deviation)
        states = []
        progress = train(
            config, model, data, val, device=CPU, checkpoint=checkpoint, samples=front,
            hooks=Hooks(lambda step: None, lambda _, state: states.append(copy.deepcopy(state))),
        )  # fmt: skip
        return progress, states

    whole, states = once()
    assert once()[0].history == whole.history
    assert once(states[0])[0].history == whole.history


def test_scores_come_back_by_clip():
    data = window_set([862, 100, 500])
    model = tagger().eval()
    together = clip_scores(model, data, "s1", CPU)
    assert together.shape == (3, 2)
    alone = clip_scores(model, window_set([862]), "s1", CPU)
    np.testing.assert_allclose(together[0], alone[0], rtol=1e-2)  # bfloat16


@pytest.mark.parametrize("n_classes", [1, 3])
def test_an_epoch_is_judged_as_an_evaluation_judges(n_classes, rng):
    scores = rng.random((40, n_classes)).astype(np.float32)
    truth = rng.random((40, n_classes)) < 0.4
    codes = list("abc"[:n_classes])
    expected = multilabel_metrics(truth, scores, thresholds=[0.5] * n_classes, class_codes=codes)
    assert clip_metrics(scores, truth.astype(np.float32))["val_macro_f1"] == pytest.approx(
        expected.macro_f1
    )


@pytest.mark.parametrize("name", ["epochs", "batch_size", "window_s", "lr", "patience", "head_lr"])
def test_a_wrong_setting_is_named_as_its_flag(name):
    with pytest.raises(UsageError, match=f"--{name.replace('_', '-')}"):
        TrainConfig(**{name: 0})


def test_an_unknown_model_is_named_with_its_neighbours():
    with pytest.raises(UsageError, match=r"'resnet51'.*near it: .*resnet"):
        Tagger(Architecture("resnet51", 2, (32, 32)))


@pytest.fixture
def windows():
    rng = torch.Generator().manual_seed(0)
    return torch.rand((64, 40, 30), generator=rng) * 20 - 40, rng


@pytest.mark.parametrize("axis", [1, 2])
def test_a_mask_is_at_most_a_tenth_and_has_the_mean(windows, axis):
    before, rng = windows
    after = mask(before, axis, rng)
    changed = (after != before).flatten(0)
    assert changed.any()
    for old, new in zip(before, after, strict=True):
        lines = (old != new).any(dim=2 - axis)
        assert lines.sum() <= MASK_SHARE * len(lines) + 1
        if lines.any():
            masked = new.movedim(axis - 1, 0)[lines]
            torch.testing.assert_close(masked, torch.full_like(masked, old.mean().item()))


def test_tilt_moves_the_slope_and_nothing_else(windows):
    before, rng = windows
    moved = tilt(before, rng) - before
    torch.testing.assert_close(moved, moved[:, :, :1].expand_as(moved), atol=1e-4, rtol=0)
    second = moved[:, 2:, 0] - 2 * moved[:, 1:-1, 0] + moved[:, :-2, 0]
    assert second.abs().max() < 1e-3
    assert moved.mean(dim=1).abs().max() < 1e-4


def test_mix_adds_powers_and_joins_labels(windows):
    before, rng = windows
    targets = torch.eye(64)
    after, joined = mix(before, targets, rng)
    is_mixed = joined.sum(dim=1) > 1
    assert 0.1 < is_mixed.float().mean() < 0.5
    assert (after[is_mixed] > before[is_mixed]).all()
    chosen = (after != before).flatten(1).any(dim=1)
    assert torch.equal(after[~chosen], before[~chosen])
    assert (joined >= targets).all()
