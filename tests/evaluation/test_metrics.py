"""Metrics: counted by hand, then against scikit-learn's own multi-label averages."""

from __future__ import annotations

import json
from dataclasses import asdict

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn import metrics as sklearn_metrics

from pipeline.evaluation.statistics import metrics as module
from pipeline.evaluation.statistics.metrics import multilabel_metrics

TRUTH = np.array([[1, 0], [1, 1], [0, 1], [0, 0]], bool)
SCORES = np.array([[0.9, 0.2], [0.4, 0.8], [0.6, 0.7], [0.1, 0.9]])
BY_HAND = {
    "n_items": 4,
    "macro_f1": (1 / 2 + 4 / 5) / 2,
    "macro_f1_present": (1 / 2 + 4 / 5) / 2,
    "macro_precision": (1 / 2 + 2 / 3) / 2,
    "macro_recall": (1 / 2 + 1) / 2,
    "micro_f1": 2 / 3,
    "micro_precision": 3 / 5,
    "micro_recall": 3 / 4,
    "hamming_score": 5 / 8,
    "exact_match": 1 / 4,
    "mean_average_precision": (5 / 6 + 7 / 12) / 2,
    "macro_roc_auc": (3 / 4 + 1 / 2) / 2,
    "weighted_f1": (1 / 2 + 4 / 5) / 2,
    "weighted_precision": (1 / 2 + 2 / 3) / 2,
    "weighted_recall": (1 / 2 + 1) / 2,
    "samples_f1": (1 + 2 / 3 + 2 / 3 + 0) / 4,
    "samples_precision": (1 + 1 + 1 / 2 + 0) / 4,
    "samples_recall": (1 + 1 / 2 + 1 + 0) / 4,
    "balanced_accuracy": (1 / 2 + 3 / 4) / 2,
    "label_ranking_average_precision": 1.0,
    "d_prime": 2**0.5 * 0.31863936396437514,  # of the mean ROC-AUC, 5/8
}


def random_items(seed, *, n_items=60, n_classes=4):
    rng = np.random.default_rng(seed)
    truth = rng.random((n_items, n_classes)) < 0.3
    truth[0], truth[1] = True, False
    scores = rng.random((n_items, n_classes)).round(2) * 0.7 + truth * 0.2  # with ties
    return truth, scores, [f"c{k}" for k in range(n_classes)]


@pytest.mark.parametrize("figure", BY_HAND)
def test_by_hand(figure):
    metrics = multilabel_metrics(TRUTH, SCORES, thresholds=0.5, class_codes=["cel", "pia"])
    assert getattr(metrics, figure) == pytest.approx(BY_HAND[figure])


def test_per_class_by_hand():
    metrics = multilabel_metrics(TRUTH, SCORES, thresholds=0.5, class_codes=["cel", "pia"])
    assert asdict(metrics.per_class[1]) == {
        "code": "pia",
        "n_positive": 2,
        "n_predicted": 3,
        "precision": pytest.approx(2 / 3),
        "recall": 1.0,
        "f1": pytest.approx(4 / 5),
        "average_precision": pytest.approx(7 / 12),
        "roc_auc": 0.5,
        "threshold": 0.5,
        "balanced_accuracy": pytest.approx((1 + 1 / 2) / 2),
        "d_prime": 0.0,
        "n_unknown": 0,
    }


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 2**32 - 1))
def test_equals_scikit_learn(seed):
    truth, scores, codes = random_items(seed)
    ours = multilabel_metrics(truth, scores, thresholds=0.5, class_codes=codes)
    named = scores >= 0.5
    for average in ("macro", "micro", "weighted", "samples"):
        for figure in ("precision", "recall", "f1"):
            theirs = getattr(sklearn_metrics, f"{figure}_score")
            expected = theirs(truth, named, average=average, zero_division=0)
            assert getattr(ours, f"{average}_{figure}") == pytest.approx(expected)
    assert ours.exact_match == pytest.approx(sklearn_metrics.accuracy_score(truth, named))
    assert ours.hamming_score == pytest.approx(1 - sklearn_metrics.hamming_loss(truth, named))
    assert ours.mean_average_precision == pytest.approx(
        sklearn_metrics.average_precision_score(truth, scores, average="macro")
    )
    assert ours.macro_roc_auc == pytest.approx(
        sklearn_metrics.roc_auc_score(truth, scores, average="macro")
    )
    assert ours.label_ranking_average_precision == pytest.approx(
        sklearn_metrics.label_ranking_average_precision_score(truth, scores)
    )
    assert ours.balanced_accuracy == pytest.approx(
        np.mean(
            [
                sklearn_metrics.balanced_accuracy_score(*c)
                for c in zip(truth.T, named.T, strict=True)
            ]
        )
    )


def test_permuting_the_classes_permutes_the_rows():
    truth, scores, codes = random_items(1)
    order = [2, 0, 3, 1]
    before = multilabel_metrics(truth, scores, thresholds=0.5, class_codes=codes)
    after = multilabel_metrics(
        truth[:, order],
        scores[:, order],
        thresholds=0.5,
        class_codes=[codes[k] for k in order],
    )
    assert after.per_class == tuple(before.per_class[k] for k in order)
    assert after.macro_f1 == pytest.approx(before.macro_f1)
    assert after.exact_match == before.exact_match


def test_order_of_the_items_does_not_matter():
    truth, scores, codes = random_items(2)
    order = np.random.default_rng(0).permutation(len(truth))
    ours = multilabel_metrics(truth, scores, thresholds=0.5, class_codes=codes)
    assert ours == multilabel_metrics(
        truth[order], scores[order], thresholds=0.5, class_codes=codes
    )


def test_every_class_has_its_threshold():
    ours = multilabel_metrics(TRUTH, SCORES, thresholds=[0.4, 0.95], class_codes=["cel", "pia"])
    assert [row.n_predicted for row in ours.per_class] == [3, 0]
    assert [row.threshold for row in ours.per_class] == [0.4, 0.95]
    assert ours.per_class[1].precision == ours.per_class[1].f1 == 0


def test_perfect_scores():
    ours = multilabel_metrics(TRUTH, TRUTH * 0.8, thresholds=0.5, class_codes=["cel", "pia"])
    not_one = ("n_items", "d_prime", "samples_f1", "samples_precision", "samples_recall")
    figures = [getattr(ours, name) for name in BY_HAND if name not in not_one]
    assert figures == [1.0] * len(figures)
    assert ours.samples_f1 == 3 / 4  # the last item has nothing and gets nothing: 0 over 0
    assert ours.d_prime is None  # infinite


def test_classes_that_are_nowhere_or_everywhere_are_undefined():
    truth = np.array([[0, 1, 1], [0, 1, 0]], bool)
    scores = np.array([[0.9, 0.6, 0.7], [0.1, 0.7, 0.2]])
    ours = multilabel_metrics(truth, scores, thresholds=0.5, class_codes=["cel", "pia", "voi"])
    assert ours.undefined == ("cel", "pia")
    assert [row.average_precision for row in ours.per_class] == [None, None, 1.0]
    assert [row.roc_auc for row in ours.per_class] == [None, None, 1.0]
    assert (ours.mean_average_precision, ours.macro_roc_auc) == (1.0, 1.0)
    assert ours.macro_f1 == pytest.approx((0 + 1 + 1) / 3)
    assert [row.balanced_accuracy for row in ours.per_class] == [None, None, 1.0]
    assert ours.balanced_accuracy == 1.0
    assert ours.weighted_f1 == 1.0  # the class that is nowhere weighs nothing


def test_one_class():
    ours = multilabel_metrics(TRUTH[:, :1], SCORES[:, :1], thresholds=0.5, class_codes=["cel"])
    assert ours.macro_f1 == ours.micro_f1 == 0.5
    assert ours.hamming_score == ours.exact_match == 0.5
    assert ours.samples_f1 == 0.25
    assert ours.label_ranking_average_precision == 1.0


def test_no_items():
    none = np.zeros((0, 2))
    ours = multilabel_metrics(none > 0, none, thresholds=0.5, class_codes=["cel", "pia"])
    assert ours.undefined == ("cel", "pia")
    assert (ours.macro_f1, ours.micro_f1, ours.n_items) == (0, 0, 0)
    assert ours.hamming_score is ours.exact_match is ours.mean_average_precision is None
    assert ours.samples_f1 is ours.label_ranking_average_precision is ours.d_prime is None
    assert (ours.weighted_f1, ours.balanced_accuracy) == (0, None)


def test_a_label_that_is_ranked_last_has_small_lrap():
    truth = np.array([[True, False, False, False]])
    scores = np.array([[0.1, 0.2, 0.3, 0.4]])
    ours = multilabel_metrics(truth, scores, thresholds=0.5, class_codes=list("abcd"))
    assert ours.label_ranking_average_precision == 1 / 4


@pytest.mark.parametrize("area", [0.0, 1.0, None])
def test_d_prime_is_not_infinite(area):
    assert module.d_prime(area) is None


def test_d_prime_is_how_far_two_normals_lie_apart():
    rng = np.random.default_rng(0)
    truth = rng.random((20_000, 1)) < 0.5
    scores = rng.normal(size=truth.shape) + 1.5 * truth
    ours = multilabel_metrics(truth, scores, thresholds=0.5, class_codes=["cel"])
    assert ours.d_prime == pytest.approx(1.5, abs=0.05)


@pytest.mark.parametrize("n_items", [0, 1, 4])
def test_json_has_no_nan(n_items):
    ours = multilabel_metrics(
        TRUTH[:n_items],
        SCORES[:n_items].astype(np.float32),
        thresholds=np.float32(0.5),
        class_codes=["cel", "pia"],
    )
    as_json = json.loads(json.dumps(ours.to_dict(), allow_nan=False))
    assert as_json == ours.to_dict()
    assert [row["code"] for row in as_json["per_class"]] == ["cel", "pia"]


@pytest.mark.parametrize("shape", [(4, 3), (3, 2), (4,)])
def test_shapes_must_agree(shape):
    with pytest.raises(ValueError, match="n_items"):
        multilabel_metrics(TRUTH, np.zeros(shape), thresholds=0.5, class_codes=["cel", "pia"])
