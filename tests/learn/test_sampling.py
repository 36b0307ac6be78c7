"""Dynamic sampling: the report's numbers, and what a draw may hold."""

import numpy as np
import pytest

from pipeline.errors import UsageError
from pipeline.learn.epochs import Mixing, epoch_batches
from pipeline.learn.sampling import clips_by_class, n_draws, others, true_dynamic
from tests.learn.test_epochs import window_set

TARGETS = np.eye(5, dtype=np.float32).repeat(4, axis=0)


@pytest.mark.parametrize(("most", "n"), [(2, 30875), (3, 23156), (4, 18525), (5, 15437)])
def test_the_reports_numbers(most, n):
    assert n_draws(6705, missed=0.001, least=1, most=most) == n


def test_a_draw_has_distinct_classes_and_every_clip_comes(rng):
    draws = true_dynamic(TARGETS, rng, n=4000, least=1, most=3)
    counts = np.bincount([len(draw) for draw in draws], minlength=4)[1:]
    assert counts.min() > 0.28 * len(draws)
    for draw in draws:
        classes = TARGETS[draw].argmax(axis=1)
        assert len(set(classes)) == len(draw)
    heard = np.bincount(np.concatenate(draws), minlength=20)
    assert heard.min() > 0.7 * heard.mean()


def test_the_formula_misses_what_it_says(rng):
    n = n_draws(20, missed=0.05, least=1, most=3)
    missed = [
        20 - len(np.unique(np.concatenate(true_dynamic(TARGETS, rng, n=n, least=1, most=3))))
        for _ in range(300)
    ]
    assert np.mean(missed) / 20 == pytest.approx(0.05, abs=0.02)


def test_others_are_of_other_classes(rng):
    base = np.arange(20)
    for clip, draw in zip(base, others(TARGETS, base, rng, least=0, most=2), strict=True):
        assert len(draw) <= 2
        assert all(TARGETS[other].argmax() != TARGETS[clip].argmax() for other in draw)


def test_classes_without_clips_are_left_out():
    assert list(clips_by_class(np.array([[1, 0, 0], [0, 0, 1]], np.float32))) == [0, 2]


@pytest.mark.parametrize(("least", "most"), [(0, 2), (3, 2), (1, 6)])
def test_impossible_numbers_are_told(rng, least, most):
    with pytest.raises(UsageError, match="--mix-min"):
        true_dynamic(TARGETS, rng, n=1, least=least, most=most)


def test_persistent_batches_have_every_window_as_base_and_join_labels():
    data = window_set([862, 400, 300, 862])
    plain = list(epoch_batches(data, epoch=0, seed=1, batch_size=4, rank=0, n_ranks=1))
    mixing = Mixing("persistent", 1, 2)
    mixed = list(
        epoch_batches(data, epoch=0, seed=1, batch_size=4, rank=0, n_ranks=1, mixing=mixing)
    )
    assert sum(len(b.windows) for b in mixed) == sum(len(b.windows) for b in plain) == len(data)
    assert np.concatenate([b.targets for b in mixed]).sum() >= data.targets[data.clip_of].sum()


def test_powers_add_up():
    data = window_set([100, 100])  # clips of 0 dB and 1 dB
    batch = data.batch([[0, 1]], 1, np.zeros(2, np.int64))
    expected = 10 * np.log10(10**0.0 + 10**0.1)
    np.testing.assert_allclose(batch.windows[0, 0], expected, rtol=1e-3)
    assert batch.targets[batch.weights > 0].tolist() == [[1, 1]]


def test_dynamic_has_as_many_as_the_formula():
    data = window_set([300] * 12)
    mixing = Mixing("dynamic", 1, 2)
    batches = list(
        epoch_batches(data, epoch=0, seed=1, batch_size=8, rank=1, n_ranks=2, mixing=mixing)
    )
    assert sum(int(b.weights.sum()) for b in batches) == mixing.size(data) // 2
