"""Dynamic sampling: the report's numbers, and what a draw may hold."""

from dataclasses import replace

import numpy as np
import pytest

from pipeline.errors import UsageError
from pipeline.training.config import TrainConfig
from pipeline.training.data.epochs import Mixing, epoch_batches
from pipeline.training.data.sampling import (
    balanced_order,
    epoch_size,
    n_draws,
    others,
    true_dynamic,
    windows_by_class,
)
from tests.training.test_epochs import window_set

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


def test_the_formula_misses_no_more_than_it_says(rng):
    n = n_draws(20, missed=0.05, least=1, most=3)
    missed = [
        20 - len(np.unique(np.concatenate(true_dynamic(TARGETS, rng, n=n, least=1, most=3))))
        for _ in range(300)
    ]
    assert np.mean(missed) / 20 <= 0.05


def test_others_are_of_other_classes(rng):
    base = np.arange(20)
    for clip, draw in zip(base, others(TARGETS, base, rng, least=0, most=2), strict=True):
        assert len(draw) <= 2
        assert all(TARGETS[other].argmax() != TARGETS[clip].argmax() for other in draw)


def test_classes_without_clips_are_left_out():
    assert list(windows_by_class(np.array([[1, 0, 0], [0, 0, 1]], np.float32))) == [0, 2]


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


def labelled(n_windows: list[int], classes: list[list[int]], n_classes: int):
    """Return a set of clips with so many windows of 1 s, and these classes."""
    data = window_set([87 * n for n in n_windows])
    targets = np.zeros((len(classes), n_classes), np.float32)
    for row, own in zip(targets, classes, strict=True):
        row[own] = 1
    return replace(data, targets=targets)


UNEVEN = labelled([10] * 60 + [3] * 8 + [1] * 4, [[0]] * 50 + [[1]] * 10 + [[2]] * 12, 3)


@pytest.mark.parametrize(("sampling", "most"), [("dynamic", 3), ("dynamic", 2)])
@pytest.mark.parametrize("epoch", [0, 1])
def test_an_epoch_of_dynamic_sampling_hears_every_window_evenly(sampling, most, epoch):
    """No more than P is missed of windows, not of clips, also where one class has most of them."""
    draws = Mixing(sampling, 1, most).draw(UNEVEN, np.random.default_rng([0, epoch]))
    assert len(draws) >= n_draws(len(UNEVEN), missed=0.001, least=1, most=most)
    heard = np.bincount(np.concatenate(draws), minlength=len(UNEVEN))
    assert (heard == 0).mean() <= 0.001
    for c in range(3):
        own = heard[UNEVEN.targets[UNEVEN.clip_of, c] > 0]
        assert own.max() - own.min() <= 2


@pytest.mark.parametrize("n_large", [300, 3000])
def test_a_class_with_most_of_the_windows_is_heard_out(n_large, rng):
    targets = np.eye(11, dtype=np.float32)[[0] * n_large + list(range(1, 11))]
    n = epoch_size(targets, missed=0.001, least=1, most=3)
    heard = np.unique(np.concatenate(true_dynamic(targets, rng, n=n, least=1, most=3)))
    assert 1 - len(heard) / len(targets) <= 0.001


@pytest.mark.parametrize("sampling", ["dynamic", "persistent"])
def test_no_clip_is_twice_in_a_mixture(sampling):
    """Clips that have two classes could be drawn for each; some classes have no other clip."""
    data = labelled([10] * 6, [[0, 1], [0, 1], [1, 2], [2], [0, 2], [3]], 4)
    for seed in range(20):
        for draw in Mixing(sampling, 1, 3).draw(data, np.random.default_rng(seed)):
            clips = data.clip_of[draw]
            assert len(set(clips)) == len(clips) >= 1


def test_unknown_is_no_class_and_no_partner(rng):
    """NaN says that nobody knows whether a class is there."""
    targets = np.array([[1, 0, np.nan], [0, 1, 0], [np.nan, 0, 1]], np.float32)
    assert {c: list(own) for c, own in windows_by_class(targets).items()} == {
        0: [0], 1: [1], 2: [2],
    }  # fmt: skip
    draws = others(targets, np.array([0] * 50), rng, least=0, most=1)
    assert {one for draw in draws for one in draw} == {1}


@pytest.mark.parametrize("is_db", [True, False])
def test_what_is_played_along_is_heard(is_db, rng):
    """However soft it was recorded: -6 to 6 dB of the first; the first stays as it is."""
    noise = rng.standard_normal((2, 3, 87)).astype(np.float32)
    first, soft = noise[0] * 1000, noise[1] * 20  # 34 dB apart
    matrices = [10 * np.log10(np.square(x)) if is_db else x for x in (first, soft)]
    data = replace(window_set([87, 87]), matrices=matrices, db_per_unit=1.0 if is_db else None)
    for gain_db in (-6.0, 0.0, 6.0):
        batch = data.batch([[0, 1], [1, 0]], 2, np.zeros(4, np.int64), np.array([9, gain_db] * 2))
        for mixed, own in zip(batch.windows, matrices, strict=False):
            alone = np.square(own) if not is_db else 10 ** (own / 10)
            power = np.square(mixed) if not is_db else 10 ** (mixed / 10)
            added_db = 10 * np.log10(power.mean() / alone.mean() - 1)
            assert added_db == pytest.approx(gain_db, abs=0.01 if is_db else 1.5)


def test_a_run_brings_partners_to_the_level_of_the_first():
    """A soft clip beside a loud one: what an epoch mixes has both."""
    data = replace(
        labelled([4, 4], [[0], [1]], 2),
        matrices=[np.full((3, 348), level, "<f4") for level in (0, -35)],
    )
    batches = epoch_batches(
        data, epoch=0, seed=0, batch_size=8, rank=0, n_ranks=1, mixing=Mixing("persistent", 2, 2)
    )
    levels = np.concatenate([batch.windows[:, 0, 0] for batch in batches])
    louder = levels - np.where(levels > -20, 0, -35)
    assert 10 * np.log10(1 + 10**-0.6) - 0.01 <= louder.min()
    assert louder.max() <= 10 * np.log10(1 + 10**0.6) + 0.01
    assert np.ptp(louder) > 1


def shares(balance: str, sampling: str = "plain") -> np.ndarray:
    """Return the share of an epoch's first windows that each class of `UNEVEN` has."""
    counts = np.zeros(3)
    for epoch in range(4):
        draws = Mixing(sampling, 1, 1, balance=balance).draw(
            UNEVEN, np.random.default_rng([0, epoch])
        )
        assert len(draws) == len(UNEVEN)
        counts += UNEVEN.targets[UNEVEN.clip_of[[draw[0] for draw in draws]]].sum(axis=0)
    return counts / counts.sum()


@pytest.mark.parametrize("sampling", ["plain", "persistent"])
def test_balance_samples_clips_by_their_rarest_class(sampling):
    windows = np.array([500, 100, 28])
    np.testing.assert_allclose(shares("none", sampling), windows / windows.sum(), atol=1e-9)
    full = windows / np.array([50, 10, 12])
    np.testing.assert_allclose(shares("full", sampling), full / full.sum(), atol=0.005)
    sqrt = windows / np.sqrt([50, 10, 12])
    np.testing.assert_allclose(shares("sqrt", sampling), sqrt / sqrt.sum(), atol=0.005)


def test_the_rarest_class_decides_and_clips_without_any_are_a_class():
    targets = np.array([[1, 0]] * 8 + [[1, 1]] * 2 + [[0, 0]] * 4, np.float32)
    targets[0, 1] = np.nan  # unknown, so not there
    order = balanced_order(targets, np.arange(14), np.random.default_rng(0), "full")
    weights = 1 / np.array([10] * 8 + [2] * 2 + [4] * 4)
    expected = 14 * weights / weights.sum()
    found = np.bincount(order, minlength=14)
    assert (np.abs(found - expected) < 1).all()
    assert len(order) == 14


def test_balanced_epochs_are_seeded_and_equal_over_ranks():
    def seen(seed: int, epoch: int, n_ranks: int) -> list:
        mixing = Mixing("plain", balance="full")
        per_rank = [
            list(
                epoch_batches(
                    UNEVEN, epoch=epoch, seed=seed, batch_size=7, rank=rank, n_ranks=n_ranks,
                    mixing=mixing,
                )
            )
            for rank in range(n_ranks)
        ]  # fmt: skip
        assert len({len(batches) for batches in per_rank}) == 1
        return [
            windows.tolist()
            for step in zip(*per_rank, strict=True)
            for batch in step
            for windows in batch.windows[batch.weights > 0][:, 0, 0]
        ]

    assert seen(0, 0, 1) == seen(0, 0, 1)
    assert sorted(seen(0, 0, 1)) == sorted(seen(0, 0, 3))
    assert seen(0, 0, 1) != seen(0, 1, 1)
    assert seen(0, 0, 1) != seen(1, 0, 1)


def test_a_balance_that_does_nothing_is_told():
    with pytest.raises(UsageError, match="--balance full: --sampling dynamic draws classes evenly"):
        TrainConfig(balance="full", sampling="dynamic")
    with pytest.raises(UsageError, match="--balance half: expected none, sqrt, full"):
        TrainConfig(balance="half")
