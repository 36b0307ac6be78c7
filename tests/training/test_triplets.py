"""The triplet loss by hand numbers, and an epoch that brings windows of a class together."""

import numpy as np
import pytest
import torch

from pipeline.errors import UsageError
from pipeline.models.model import Architecture, Tagger
from pipeline.training.config import TrainConfig
from pipeline.training.data.windows import row_moments
from pipeline.training.loop import Hooks, train
from pipeline.training.recipes import input_spec_of
from pipeline.training.step import triplets
from pipeline.training.step.triplets import MARGIN, relations, triplet_losses, with_embeddings
from tests.training.test_recipes import SPEC, set_of

NAN = float("nan")


def test_by_hand():
    """Anchor (1, 0): a window of its class at a right angle (2), another one behind it (4)."""
    embeddings = torch.tensor([[3.0, 0.0], [0.0, 0.5], [-1.0, 0.0]])
    targets = torch.tensor([[1.0, 0.0], [1.0, 0.0], [0.0, 1.0]])
    losses = triplet_losses(embeddings, targets)
    # 2 - 4 + 0.2 < 0 of the first; 2 - 2 + 0.2 of the second; the third has none alike
    torch.testing.assert_close(losses, torch.tensor([0.0, MARGIN, 0.0]))


def test_what_is_unknown_is_neither_alike_nor_different():
    targets = torch.tensor([[1.0, NAN], [1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    alike, differ = relations(targets)
    assert alike.nonzero().tolist() == [[0, 1], [1, 0]]
    assert not differ[0, 2] and differ[1, 2] and differ[0, 3]


def test_a_batch_without_triplets_has_no_loss_and_finite_gradients():
    embeddings = torch.randn(3, 4, requires_grad=True)
    losses = triplet_losses(embeddings, torch.ones(3, 2))
    losses.sum().backward()
    assert (losses == 0).all()
    assert embeddings.grad.isfinite().all()
    assert triplet_losses(torch.zeros(1, 4), torch.ones(1, 2)).tolist() == [0]


def learned(loss):
    """Train on two tones; return the history, and cosines of windows alike and different."""
    data = set_of(input_spec_of("cnn1d-descriptors", SPEC))
    torch.manual_seed(0)
    tagger = Tagger(
        Architecture("cnn1d-descriptors", 2, input_shape=(40, 87), dropout=0.0, below_peak=False)
    )
    mean, deviation = row_moments(data)
    tagger.row_mean.copy_(torch.from_numpy(mean))
    tagger.row_deviation.copy_(torch.from_numpy(deviation))
    config = TrainConfig(
        "cnn1d-descriptors", epochs=4, batch_size=8, lr=2e-3, augment=(), ema=0.0, loss=loss
    )
    progress = train(
        config, tagger, data, data, device=torch.device("cpu"), checkpoint=None,
        hooks=Hooks(lambda step: None, lambda metrics, state: None),
    )  # fmt: skip
    windows = torch.from_numpy(data.windows(np.arange(len(data))))
    with torch.no_grad():
        _, embeddings = with_embeddings(tagger.eval(), tagger, windows)
    points = torch.nn.functional.normalize(embeddings, dim=1)
    cosines = points @ points.T
    alike, differ = relations(torch.from_numpy(data.targets[data.clip_of]))
    return progress.history, cosines[alike].mean().item(), cosines[differ].mean().item()


def test_windows_of_a_class_come_together(monkeypatch):
    """The two tones are further apart than the margin from the start, so here it is larger."""
    monkeypatch.setattr(triplets, "MARGIN", 3.0)
    history, alike, differ = learned("triplet")
    _, plainly_alike, plainly_differ = learned("sigmoid")
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    assert alike - differ > plainly_alike - plainly_differ + 0.1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "svm"}, "--loss triplet: svm is fitted class by class"),
        ({"compile": True}, "--loss triplet: a compiled network keeps its embeddings to itself"),
    ],
)
def test_what_has_no_triplets_is_refused(settings, message):
    with pytest.raises(UsageError, match=message):
        TrainConfig(loss="triplet", **settings)
