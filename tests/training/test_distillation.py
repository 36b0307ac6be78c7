"""Teachers' scores as soft targets: the loss, what teachers hear, clips without labels."""

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from pipeline.audio.decoding.clip import FULL_SCALE
from pipeline.audio.spectra.input_kinds import LogMelInput
from pipeline.datasets.training_data import TrainingData
from pipeline.errors import UsageError
from pipeline.models.model import load_card, load_model
from pipeline.training.config import TrainConfig
from pipeline.training.loop import Hooks, train
from pipeline.training.step.losses import window_losses
from pipeline.training.transfer.distillation import (
    Distiller,
    Teacher,
    WindowCut,
    joint_losses,
    resampler,
)
from pipeline.training.transfer.teaching import Teaching
from tests.conftest import tones
from tests.training.transfer import CODES, META, SPEC, dataset_of, pretrained, small, some_classes

CPU = torch.device("cpu")
NAN = math.nan


@pytest.fixture(autouse=True)
def _cache(tmp_path, monkeypatch):
    """Datasets of these tests have one fingerprint: each test has a cache of its own."""
    (tmp_path / "cache").mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "cache"))


def logit(p: float) -> float:
    return math.log(p / (1 - p))


def test_the_loss_is_a_share_of_the_labels_and_the_rest_of_the_teachers():
    """One class, the student at 0.8: hard -log 0.8; soft, of a teacher at 0.5, their mean."""
    logits = torch.tensor([[logit(0.8)]])
    hard, soft = torch.tensor([[1.0]]), torch.tensor([[0.5]])
    cross = -(0.5 * math.log(0.8) + 0.5 * math.log(0.2))
    found = joint_losses(logits, hard, soft, 0.1)
    assert float(found) == pytest.approx(0.1 * -math.log(0.8) + 0.9 * cross, abs=1e-6)
    unlabelled = joint_losses(logits, torch.tensor([[NAN]]), soft, 0.0)
    assert float(unlabelled) == pytest.approx(cross, abs=1e-6)


def test_classes_that_a_teacher_does_not_know_get_no_soft_loss():
    logits = torch.tensor([[0.3, 5.0]])
    soft = torch.tensor([[0.5, NAN]])
    alone = joint_losses(logits[:, :1], torch.tensor([[NAN]]), soft[:, :1], 0.0)
    both = joint_losses(logits, torch.full((1, 2), NAN), soft, 0.0)
    assert float(both) == pytest.approx(float(alone))


class Spy(nn.Module):
    """A teacher that keeps what it hears and is sure of nothing."""

    def __init__(self, score: list[float]) -> None:
        super().__init__()
        self.score, self.input_spec = score, []

    def forward(self, samples):
        self.input_spec.append(samples)
        return torch.tensor(self.score).expand(len(samples), -1)


def distiller(*teachers: nn.Module, cut: WindowCut) -> Distiller:
    return Distiller(None, teachers, cut, mean=torch.zeros(1, 1), deviation=torch.ones(1, 1))


def test_all_hear_the_mixture_and_its_targets_are_joined():
    cut = WindowCut.of(16_000, 0.5, 16_000, (0, 0))
    spy = Spy([0.5, 0.5])
    made = distiller(spy, cut=cut)
    waves = np.stack([tones(0.5, 200 * (1 + k), sample_rate_hz=16_000) for k in range(8)])
    windows = torch.from_numpy(np.rint(waves * FULL_SCALE).astype(np.int16))[:, None]
    targets = torch.tensor([[1.0, 0.0], [0.0, 1.0]]).repeat(4, 1)
    rng = torch.Generator().manual_seed(3)
    student, joined, soft = made.taught(windows, targets, rng, ("mix",))
    torch.testing.assert_close(student[:, 0] / FULL_SCALE, spy.input_spec[0])
    is_mixed = (spy.input_spec[0] - windows[:, 0] / FULL_SCALE).abs().amax(dim=1) > 1e-3
    assert 0 < is_mixed.sum() < 8
    assert (joined.sum(dim=1) > 1).any()
    assert not (joined.sum(dim=1) > 1)[~is_mixed].any()
    assert soft.shape == (8, 2)


def test_teachers_are_averaged_where_they_know_a_class():
    cut = WindowCut.of(16_000, 0.1, 16_000, (0, 0))
    made = distiller(Spy([0.2, NAN, NAN]), Spy([0.4, 0.8, NAN]), cut=cut)
    scores = made.scores(torch.zeros(1, 1600))[0]
    assert scores[:2].tolist() == pytest.approx([0.3, 0.8])
    assert scores[2].isnan()


@pytest.mark.parametrize("student_hz", [16_000, 32_000, 44_100])
def test_a_student_of_a_lower_rate_hears_the_same_window(student_hz):
    """Samples at 44.1 kHz with margins, as at the student's own rate: a tone, sample by sample."""
    cut = WindowCut.of(44_100, 0.5, student_hz, (700, 900))
    n_all = cut.margins[0] + cut.n_samples + cut.margins[1]
    start_s = cut.margins[0] / 44_100
    tone = torch.sin(2 * math.pi * 440 * (torch.arange(n_all) / 44_100 - start_s))[None]
    input_spec = cut.student(resampler(44_100, student_hz)(tone))[0]
    assert len(input_spec) == 700 + cut.n_student + 900
    expected = torch.sin(2 * math.pi * 440 * (torch.arange(len(input_spec)) - 700) / student_hz)
    torch.testing.assert_close(input_spec[200:-200], expected[200:-200], atol=2e-3, rtol=0)


def test_a_teacher_hears_windows_of_its_own_length(tmp_path):
    """A longer sound in several; a shorter one as it is where it may, or with silence behind."""
    model, card = load_model(pretrained(tmp_path / "mn04", window_s=1.0))
    teacher = Teacher(model, card, CODES, 32_000)
    assert teacher.own_windows(torch.zeros(2, 80_000)).shape == (2, 2, 32_000)
    assert teacher.own_windows(torch.zeros(2, 115_200)).shape == (2, 4, 32_000)
    assert teacher.own_windows(torch.zeros(2, 20_000)).shape == (2, 1, 20_000)
    timm, own = load_model(small(tmp_path / "small"))
    padded = Teacher(timm, own, CODES, 44_100).own_windows(torch.ones(2, 20_000))
    assert padded.shape == (2, 1, 44_100)
    assert padded[:, :, 20_000:].eq(0).all()


def test_a_teachers_scores_are_its_models_of_a_clip(tmp_path):
    """Its front end in torch is that of tagging; classes stand where the student has them."""
    uri = small(tmp_path / "small", some_classes("vio", "pia"))
    model, card = load_model(uri)
    teacher = Teacher(model, card, ["pia", "org", "vio"], 44_100)
    wave = tones(1.0, 440, 1330, sample_rate_hz=44_100)
    (scores,) = teacher(torch.from_numpy(wave)[None])
    matrix = torch.from_numpy(LogMelInput(SPEC).matrix(wave))[None]
    expected = torch.sigmoid(model(matrix))[0]
    assert scores[[2, 0]].tolist() == pytest.approx(expected.tolist(), abs=5e-3)
    assert scores[1].isnan()


def test_unlabelled_clips_are_learned_from(tmp_path):
    """The soft loss falls towards what it cannot be below, the entropy of the teacher's scores."""
    teacher = pretrained(tmp_path / "mn04", window_s=1.0)
    dataset = dataset_of(tmp_path / "ds", labelled=False)
    config = TrainConfig(
        model="resnet10t", input_size=(32, 32), batch_size=4, epochs=8, lr=1e-2, ema=0.0,
        augment=("mix", "masks"), teacher=(teacher,), hard_share=0.0, aggregation="s1",
        select="s1-loss",
    )  # fmt: skip
    training_data = TrainingData(dataset, META, config)
    training_data.check_model()
    assert training_data.untrained == ()
    data = training_data.train_set()
    assert np.isnan(data.targets).all()
    samples = training_data.samples_to_log_mel(data)
    val_set = training_data.soft_val_set(training_data.val_set(), samples, CPU)
    assert not np.isnan(val_set.targets).any()
    progress = train(
        config, training_data.new_model(data), data, val_set, device=CPU, checkpoint=None,
        hooks=Hooks(lambda step: None, lambda metrics, state: None), samples=samples,
    )  # fmt: skip
    losses = [(row["train_loss"], row["val_loss"]) for row in progress.history]
    floor = float(
        window_losses(*map(torch.from_numpy, (logits_of(val_set), val_set.targets))).mean()
    )
    assert losses[-1][0] < losses[0][0]
    assert min(val for _, val in losses[1:]) - floor < 0.9 * (losses[0][1] - floor)
    assert training_data.named_by == {"teacher": [load_card(teacher).model_id]}


def logits_of(data):
    """Return the logits that hit soft targets exactly."""
    return np.log(data.targets / (1 - data.targets))


def test_where_a_clip_has_labels_validation_keeps_them(tmp_path):
    config = TrainConfig(model="resnet10t", teacher=(small(tmp_path / "t"),))
    training_data = TrainingData(dataset_of(tmp_path / "ds", labelled=True), META, config)
    val_set = training_data.val_set()
    samples = training_data.samples_to_log_mel(training_data.train_set())
    assert training_data.soft_val_set(val_set, samples, CPU) is val_set
    assert not training_data.untrained  # the teacher knows the nine that no clip has
    assert len(training_data.without_clips) == 9


def test_masks_are_the_students_alone(tmp_path):
    """With nothing else, the student's input is what it would be without a teacher."""
    config = TrainConfig(model="resnet10t", augment=("masks",), teacher=(small(tmp_path / "t"),))
    dataset = dataset_of(tmp_path / "ds", labelled=True)
    training_data = TrainingData(dataset, META, config)
    data = training_data.train_set()
    rng = torch.Generator().manual_seed(0)
    windows = torch.from_numpy(data.windows(np.arange(len(data))))
    targets = torch.from_numpy(data.targets[data.clip_of])
    made = training_data.samples_to_log_mel(data)
    bands, _, soft = made.taught(windows, targets, rng, config.augment)
    other = TrainingData(dataset, META, replace(config, teacher=(), augment=("noise",)))
    alone = other.train_set()
    stored = torch.from_numpy(alone.windows(np.arange(len(alone))))
    torch.testing.assert_close(bands, other.samples_to_log_mel(alone)(stored, rng, ()))
    assert soft.isfinite().all()


@pytest.mark.parametrize("model", ["cnn2d-mfcc", "svm"])
def test_a_student_of_features_is_one_line(tmp_path, model):
    config = TrainConfig(model=model, teacher=(small(tmp_path / "t"),), augment=())
    training_data = TrainingData(dataset_of(tmp_path / "ds", labelled=True), META, config)
    with pytest.raises(UsageError, match=f"--teacher: {model} takes features"):
        training_data.check_model()


def test_a_teacher_of_other_classes_is_one_line(tmp_path):
    uri = small(tmp_path / "t", some_classes("vio", "pia"))
    teaching = Teaching.of(TrainConfig(teacher=(uri,)))
    with pytest.raises(UsageError, match=r"--teacher resnet10t-.*: it knows none of .* it has vio"):
        teaching.check(LogMelInput(SPEC), ["xyz"], "resnet10t")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (dict(hard_share=0.5), "--hard-share 0.5: give a teacher"),
        (dict(hard_share=2.0, teacher=("a",)), "--hard-share 2.0: expected 0 to 1"),
        (dict(teacher=("a", "a")), "--teacher a,a: name each model once"),
    ],
)
def test_settings_that_cannot_be_are_one_line(change, message):
    with pytest.raises(UsageError, match=message):
        TrainConfig(**change)


def test_the_hard_loss_alone_is_the_loss_as_it_was():
    logits = torch.randn(5, 3, generator=torch.Generator().manual_seed(0))
    targets = (logits > 0.3).float()
    found = joint_losses(logits, targets, torch.full((5, 3), 0.5), 1.0)
    torch.testing.assert_close(found, window_losses(logits, targets))
