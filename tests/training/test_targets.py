"""Unknown labels in training: the loss and the mixtures leave them out, tensors as arrays do."""

import numpy as np
import pytest
import torch

from pipeline.evaluation.labels.targets import joined_groups
from pipeline.training.augmenting.augment import mix
from pipeline.training.data import sampling
from pipeline.training.step.losses import joined, window_losses
from pipeline.training.validation import clip_metrics

NAN = float("nan")


@pytest.fixture
def batch(rng):
    logits = torch.from_numpy(rng.normal(size=(16, 5)).astype(np.float32)).requires_grad_()
    return logits, torch.from_numpy((rng.random((16, 5)) < 0.4).astype(np.float32))


def test_with_nothing_unknown_the_loss_is_the_plain_mean_to_the_last_bit(batch):
    logits, targets = batch
    plain = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets, reduction="none")
    (expected,) = torch.autograd.grad(plain.mean(dim=1).sum(), logits)
    losses = window_losses(logits, targets)
    assert torch.equal(losses, plain.mean(dim=1))
    assert torch.equal(torch.autograd.grad(losses.sum(), logits)[0], expected)


def test_a_windows_loss_is_the_mean_over_its_known_classes(batch):
    logits, targets = batch
    targets[0, 1:] = NAN
    targets[1] = NAN
    losses = window_losses(logits, targets)
    losses.sum().backward()
    alone = torch.nn.functional.binary_cross_entropy_with_logits(logits[0, :1], targets[0, :1])
    assert losses[0].item() == pytest.approx(alone.item(), rel=1e-6)
    assert losses[1] == 0
    assert torch.equal(logits.grad[0, 1:], torch.zeros(4))
    assert torch.equal(logits.grad[1], torch.zeros(5))
    assert logits.grad.isfinite().all() and (logits.grad[2:] != 0).all()


def test_tensors_join_as_arrays_do():
    values = [0.0, 1.0, NAN]
    one = torch.tensor([values] * 3).T.contiguous()
    other = torch.tensor([values] * 3)
    found = joined(one, other)
    assert found[0, 0] == 0 and found[1].eq(1).all() and found[:, 1].eq(1).all()
    assert found[0, 2].isnan() and found[2, 0].isnan() and found[2, 2].isnan()
    pairs = np.stack([one.numpy(), other.numpy()], axis=1).reshape(6, 3)
    np.testing.assert_array_equal(joined_groups(pairs, np.array([0, 2, 4])), found.numpy())


def test_a_mixture_has_what_its_partner_surely_has():
    rng = torch.Generator().manual_seed(0)
    targets = torch.eye(64)
    targets[targets == 0] = NAN
    windows = torch.rand((64, 4, 4), generator=rng)
    mixed, found = mix(windows, targets, rng)
    is_mixed = (mixed != windows).flatten(1).any(dim=1)
    assert is_mixed.any()
    assert (found[is_mixed] == 1).sum(dim=1).eq(2).all()  # its own class, and its partner's


def test_an_epoch_is_judged_without_what_is_unknown(rng):
    scores = rng.random((40, 3)).astype(np.float32)
    targets = (rng.random((40, 3)) < 0.4).astype(np.float32)
    before = clip_metrics(scores[:, :2], targets[:, :2])
    targets[:, 2] = NAN
    after = clip_metrics(scores, targets)
    assert after["val_loss"] == pytest.approx(before["val_loss"], rel=1e-6)
    assert after["val_macro_f1"] == before["val_macro_f1"]
    assert after["val_macro_f1_all"] == pytest.approx(before["val_macro_f1"] * 2 / 3)


def test_with_nothing_unknown_an_epochs_loss_is_as_before(rng):
    scores = rng.random((40, 3)).astype(np.float32)
    targets = (rng.random((40, 3)) < 0.4).astype(np.float32)
    clipped = np.clip(scores, 1e-6, 1 - 1e-6)
    expected = -np.mean(targets * np.log(clipped) + (1 - targets) * np.log(1 - clipped))
    assert clip_metrics(scores, targets)["val_loss"] == float(expected)


def test_clips_of_a_class_are_those_that_surely_have_it(rng):
    targets = np.array([[1, 0], [NAN, 1], [0, NAN]], np.float32)
    assert {c: clips.tolist() for c, clips in sampling.windows_by_class(targets).items()} == {
        0: [0],
        1: [1],
    }
    mixed = sampling.others(targets, np.array([1, 2]), rng, least=1, most=1)
    assert mixed == [[], [0]]  # the second clip may have the first class: it is not mixed in
