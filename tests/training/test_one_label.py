"""Data with one label a clip: softmax, cross-entropy, top-1 accuracy."""

import numpy as np
import pytest
import torch

from pipeline.errors import UsageError
from pipeline.evaluation.labels.top1 import top1_accuracy
from pipeline.evaluation.statistics.metrics import multilabel_metrics
from pipeline.models.model import Architecture, Tagger
from pipeline.models.networks.parts.exclusive import log_odds
from pipeline.training.config import TrainConfig
from pipeline.training.data.windows import row_moments
from pipeline.training.loop import Hooks, train
from pipeline.training.recipes import input_spec_of
from pipeline.training.selection import check_selection, figures
from pipeline.training.step.losses import one_label_losses
from tests.training.test_recipes import SPEC, set_of


def test_the_loss_is_torchs_cross_entropy():
    logits, labels = torch.randn(20, 6), torch.arange(20) % 6
    targets = torch.nn.functional.one_hot(labels, 6).float()
    expected = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    torch.testing.assert_close(one_label_losses(log_odds(logits), targets), expected)


def test_a_mixture_shares_its_label_and_nothing_counts_nothing():
    logits = torch.randn(1, 4)
    probabilities = logits.softmax(dim=1)[0]
    both = one_label_losses(log_odds(logits), torch.tensor([[1.0, 0.0, 1.0, float("nan")]]))
    expected = -(probabilities[0].log() + probabilities[2].log()) / 2
    assert both.item() == pytest.approx(expected.item(), rel=1e-5)
    assert one_label_losses(log_odds(logits), torch.zeros(1, 4)).item() == 0


def test_top_1_is_the_share_of_right_first_classes():
    truth = np.eye(3, dtype=bool)[[0, 1, 2, 2]]
    scores = np.array([[0.9, 0.5, 0.1], [0.2, 0.1, 0.0], [0.1, 0.1, 0.2], [0.0, 0.0, 0.0]])
    assert top1_accuracy(truth, scores) == 0.5
    assert top1_accuracy(np.ones((2, 2)), np.ones((2, 2))) is None
    assert top1_accuracy(np.zeros((0, 2)), np.zeros((0, 2))) is None
    metrics = multilabel_metrics(truth, scores, thresholds=0.5, class_codes=list("abc"))
    assert metrics.to_dict()["top1_accuracy"] == 0.5


def test_epochs_are_chosen_by_it_where_each_clip_has_one_label():
    targets = np.eye(2, dtype=np.float32)
    judged = {m: {"val_loss": 1.0, "val_macro_f1": 0.0} for m in ("s1", "s2")}
    assert figures(judged, targets, targets, "s1")["val_top1"] == 1
    assert "val_top1" not in figures(judged, targets, np.ones_like(targets), "s1")
    check_selection("top1", targets)
    with pytest.raises(UsageError, match="--select top1: some validation clips have no class or"):
        check_selection("top1", np.ones_like(targets))


def test_it_learns_two_tones():
    input_spec = input_spec_of("cnn1d-descriptors", SPEC)
    data = set_of(input_spec)
    torch.manual_seed(0)
    architecture = Architecture(
        "cnn1d-descriptors", 2, input_shape=(40, 87), dropout=0.0, below_peak=False, exclusive=True
    )
    tagger = Tagger(architecture)
    mean, deviation = row_moments(data)
    tagger.row_mean.copy_(torch.from_numpy(mean))
    tagger.row_deviation.copy_(torch.from_numpy(deviation))
    config = TrainConfig(
        "cnn1d-descriptors", epochs=6, batch_size=4, lr=2e-3, augment=(), ema=0.5, loss="softmax",
        select="top1",
    )  # fmt: skip
    progress = train(
        config, tagger, data, data, device=torch.device("cpu"), checkpoint=None,
        hooks=Hooks(lambda step: None, lambda metrics, state: None),
    )  # fmt: skip
    assert progress.history[-1]["train_loss"] < 0.8 * progress.history[0]["train_loss"]
    assert max(row["val_top1"] for row in progress.history) == 1
    tagger.load_state_dict(progress.best_weights)
    windows = torch.from_numpy(data.windows(np.arange(len(data))))
    with torch.inference_mode():
        scores = torch.sigmoid(tagger.eval()(windows))
    torch.testing.assert_close(scores.sum(dim=1), torch.ones(len(data)))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "svm"}, "--loss softmax: svm is fitted class by class"),
        ({"teacher": ("mn04",)}, "--loss softmax: teachers score each class by itself"),
        ({"loss": "hinge"}, "--loss hinge: expected sigmoid, softmax, triplet"),
    ],
)
def test_what_has_no_softmax_is_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        TrainConfig(**{"loss": "softmax", **settings})


def test_a_run_without_it_keeps_its_name():
    assert "loss" not in TrainConfig().identity()
    assert TrainConfig(loss="softmax").identity()["loss"] == "softmax"
