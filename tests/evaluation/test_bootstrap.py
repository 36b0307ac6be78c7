"""The bootstrap: its average precision is scikit-learn's; its intervals and p values hold."""

from __future__ import annotations

import json
import time

import numpy as np
import pytest
from scipy import stats
from sklearn.metrics import average_precision_score, f1_score

from pipeline.evaluation.statistics import bootstrap as module
from pipeline.evaluation.statistics.bootstrap import (
    average_precisions,
    intervals,
    paired_test,
    percentiles,
    resample,
)
from pipeline.evaluation.statistics.metrics import multilabel_metrics


def items(seed, *, n_items=80, n_classes=3, skill=0.3):
    rng = np.random.default_rng(seed)
    truth = rng.random((n_items, n_classes)) < 0.3
    scores = ((1 - skill) * rng.random(truth.shape) + skill * truth).round(2)  # with ties
    return truth, scores


def drawn(n_items, n_resamples, seed=0):
    """Return the weights of the resamples, and the items that each drew."""
    weights = np.concatenate(list(module._weights(np.arange(n_items), n_resamples, seed)))
    return weights, [np.repeat(np.arange(n_items), row.astype(int)) for row in weights]


@pytest.mark.parametrize("n_items", [2, 5, 80])
def test_weighted_average_precision_is_scikit_learns(n_items):
    truth, scores = items(1, n_items=n_items)
    weights, drawn_items = drawn(n_items, 20)
    found = average_precisions(truth, scores, weights=weights)
    for row, at in zip(found, drawn_items, strict=True):
        for k, ours in enumerate(row):
            if len(np.unique(truth[at, k])) < 2:
                assert np.isnan(ours)
            else:
                assert ours == pytest.approx(average_precision_score(truth[at, k], scores[at, k]))


def test_resampled_f1_is_scikit_learns():
    truth, scores = items(2)
    found = resample(truth, scores, thresholds=[0.3, 0.5, 0.99], n_resamples=20)
    named = scores >= [0.3, 0.5, 0.99]
    for k, at in enumerate(drawn(80, 20)[1]):
        f1 = f1_score(truth[at], named[at], average=None, zero_division=0)
        assert found.f1[k] == pytest.approx(f1)
        assert found.macro_f1[k] == pytest.approx(f1.mean())
        micro = f1_score(truth[at], named[at], average="micro", zero_division=0)
        assert found.micro_f1[k] == pytest.approx(micro)


@pytest.mark.parametrize("share_unknown", [0.0, 0.2])
def test_resampled_hamming_score_precision_and_recall_are_those_of_the_drawn_items(share_unknown):
    truth, scores = items(2)
    unknown = np.random.default_rng(3).random(truth.shape) < share_unknown
    truth = np.where(unknown, np.nan, truth)
    limits = [0.3, 0.5, 0.99]
    found = resample(truth, scores, thresholds=limits, n_resamples=20)
    for k, at in enumerate(drawn(80, 20)[1]):
        one = multilabel_metrics(
            truth[at], scores[at], thresholds=limits, class_codes=["a", "b", "c"]
        )
        for name in ("hamming_score", "macro_precision_present", "macro_recall_present"):
            assert getattr(found, name)[k] == pytest.approx(getattr(one, name))


def test_a_perfect_tagger_does_not_lose_a_class_by_the_draw():
    truth = np.zeros((20, 2), bool)
    truth[0, 0], truth[1:, 1] = True, True  # the first class is often not drawn
    found = resample(truth, truth * 1.0, thresholds=0.5, n_resamples=200)
    for name in ("hamming_score", "macro_precision_present", "macro_recall_present", "macro_f1"):
        assert (getattr(found, name) == 1).all(), name


def test_a_resample_has_as_many_items_and_the_same_seed_the_same_ones():
    weights, _ = drawn(50, 30)
    assert (weights.sum(axis=1) == 50).all()
    assert weights.mean(axis=0) == pytest.approx(1, abs=0.7)
    assert (weights == drawn(50, 30)[0]).all()
    assert (weights != drawn(50, 30, seed=1)[0]).any()


def test_chunks_do_not_matter(monkeypatch):
    truth, scores = items(3)
    whole = intervals(truth, scores, thresholds=0.5, class_codes=list("abc"), n_resamples=50)
    monkeypatch.setattr(module, "_CHUNK_WEIGHTS", 80 * 7)
    parts = intervals(truth, scores, thresholds=0.5, class_codes=list("abc"), n_resamples=50)
    assert whole == parts


def test_interval_of_a_share_is_near_the_binomials():
    """Where all is named and recall is 1, precision and so F1 rest on a share of the items."""
    truth = np.arange(400)[:, None] < 100
    found = intervals(truth, np.ones((400, 1)), thresholds=0.5, class_codes=["cel"])
    low, high = stats.binom.ppf([0.025, 0.975], 400, 0.25) / 400
    expected = [2 * share / (1 + share) for share in (low, high)]
    f1 = found["per_class"][0]["f1"]
    assert [f1["low"], f1["high"]] == pytest.approx(expected, abs=0.012)


def test_interval_holds_the_value_and_shrinks_with_more_items():
    widths = []
    for n in (60, 1000):
        truth, scores = items(4, n_items=n)
        found = intervals(truth, scores, thresholds=0.5, class_codes=list("abc"))["macro_f1"]
        value = f1_score(truth, scores >= 0.5, average="macro", zero_division=0)
        assert found["low"] < value < found["high"]
        widths.append(found["high"] - found["low"])
    assert widths[1] < widths[0] / 2


def test_intervals_of_nothing_and_of_classes_that_are_nowhere():
    none = np.zeros((0, 2))
    empty = intervals(none > 0, none, thresholds=0.5, class_codes=["a", "b"], n_resamples=10)
    assert empty["mean_average_precision"] == {"low": None, "high": None}
    truth, scores = items(5, n_classes=2)
    truth[:, 1] = False
    found = intervals(truth, scores, thresholds=0.5, class_codes=["a", "b"], n_resamples=50)
    assert found["per_class"][1]["average_precision"] == {"low": None, "high": None}
    assert found["per_class"][1]["f1"] == {"low": 0.0, "high": 0.0}
    one = found["per_class"][0]["average_precision"]
    assert found["mean_average_precision"] == one
    json.dumps([empty, found], allow_nan=False)


def test_naming_in_vain_a_class_that_is_nowhere_gains_nothing():
    truth, scores = items(6, n_items=60, n_classes=4)
    truth[:, 3], scores[:, 3] = False, 0.1
    silent = resample(truth, scores, thresholds=0.5, n_resamples=200)
    scores[0, 3] = 0.9
    loud = resample(truth, scores, thresholds=0.5, n_resamples=200)
    assert (loud.f1[:, 3] == 0).all()
    np.testing.assert_array_equal(loud.macro_f1, silent.macro_f1)


def test_what_was_cut_from_one_recording_is_drawn_whole():
    """Five excerpts that are alike tell no more than one: the intervals are those of one."""
    truth, scores = items(4, n_items=60)
    options = {"thresholds": 0.5, "n_resamples": 100}
    once = resample(truth, scores, **options)
    five = [np.repeat(values, 5, axis=0) for values in (truth, scores)]
    songs = [f"song {k}" for k in range(60) for _ in range(5)]
    whole = resample(*five, groups=songs, **options)
    for name, values in vars(once).items():
        np.testing.assert_allclose(getattr(whole, name), values, err_msg=name)
    assert resample(*five, **options).macro_f1.std() < 0.6 * once.macro_f1.std()
    mixed = np.random.default_rng(0).permutation(300)
    turned = resample(*(v[mixed] for v in five), groups=[songs[k] for k in mixed], **options)
    assert turned.macro_f1.std() == pytest.approx(once.macro_f1.std(), rel=0.3)
    found = intervals(*five, class_codes=list("abc"), groups=songs, **options)
    assert found["n_groups"] == 60


def test_percentiles_need_half_of_the_values():
    assert percentiles(np.array([1.0, np.nan, np.nan])).low is None
    assert percentiles(np.array([1.0, 1.0, np.nan])).low == 1.0


def test_p_of_equal_models_is_one_and_of_a_better_one_small():
    truth, scores = items(6, n_items=300)
    better = scores + 0.3 * truth
    one, same, other = (
        resample(truth, s, thresholds=0.6).macro_f1 for s in (scores, scores, better)
    )
    assert paired_test(one, same, observed=0.0).p_value == 1.0
    test = paired_test(other, one, observed=0.2)
    assert test.p_value == pytest.approx(2 / 1001)
    assert 0 < test.low < test.high
    turned = paired_test(one, other, observed=-0.2)
    assert (turned.p_value, turned.low) == (test.p_value, pytest.approx(-test.high))


def test_p_is_uniform_where_two_models_differ_by_chance_alone():
    p_values = []
    for seed in range(60):
        truth, one = items(seed, n_items=120)
        rng = np.random.default_rng(seed + 1000)
        other = (0.7 * rng.random(one.shape) + 0.3 * truth).round(2)
        macro = [resample(truth, s, thresholds=0.5, n_resamples=200).macro_f1 for s in (one, other)]
        p_values.append(paired_test(*macro, observed=0.0).p_value)
    assert sum(p < 0.05 for p in p_values) <= 9  # three are expected; ten or more has p = 0.001
    assert 0.35 < np.mean(p_values) < 0.65


def test_a_pair_that_is_undefined():
    nothing = np.full(10, np.nan)
    assert paired_test(nothing, nothing, observed=None).p_value is None


def test_a_whole_test_set_takes_seconds():
    truth, scores = items(7, n_items=1143, n_classes=11)
    began = time.process_time()
    intervals(truth, scores, thresholds=0.5, class_codes=list("abcdefghijk"))
    assert time.process_time() - began < 5
