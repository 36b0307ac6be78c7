"""Calibration: errors by hand, maps that mend what was spoilt on purpose, and their json."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import log_loss

from pipeline.errors import SpecMismatch
from pipeline.evaluation.labels.calibration import Calibration, calibration_errors, fit, reliability

CODES = ["cel", "pia"]


def spoilt(seed, temperature, n_items=4000):
    """Return truth drawn with known probabilities, and scores that are sharper than these."""
    rng = np.random.default_rng(seed)
    p = rng.uniform(0.02, 0.98, (n_items, 2))
    return rng.random(p.shape) < p, expit(logit(p) * temperature), p


def test_error_by_hand():
    truth = np.array([1, 0, 1, 1], bool)
    scores = np.array([0.9, 0.95, 0.2, 0.3])
    found = reliability(truth, scores, n_bins=2)
    assert found.n.tolist() == [2, 2]
    assert found.mean_score == pytest.approx([0.25, 0.925])
    assert found.share_true.tolist() == [1.0, 0.5]
    assert found.error == pytest.approx((0.75 + 0.425) / 2)


def test_edges_belong_to_the_bin_below_and_none_is_lost():
    scores = np.array([0.0, 0.5, 0.500001, 1.0])
    assert reliability(scores > 2, scores, n_bins=2).n.tolist() == [2, 2]
    assert reliability(scores > 2, scores.astype(np.float32)).n.sum() == 4


def test_probabilities_have_no_error_and_spoilt_ones_do():
    truth, scores, p = spoilt(0, 3.0)
    assert max(calibration_errors(truth, p)) < 0.03
    assert min(calibration_errors(truth, scores)) > 0.1


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("offset", [-1.0, 0.0])
def test_what_spoilt_them_is_found_again(temperature, offset):
    truth, scores, _ = spoilt(1, temperature)
    found = fit(truth, expit(logit(scores) + offset), class_codes=CODES)
    for value in found.classes.values():
        assert value["slope"] == pytest.approx(1 / temperature, rel=0.1)
        assert value["offset"] == pytest.approx(-offset / temperature, abs=0.15)


def test_it_is_a_logistic_regression_of_the_logit():
    truth, scores, _ = spoilt(5, 2.0)
    theirs = LogisticRegression(C=np.inf).fit(logit(scores[:, 1:]), truth[:, 1])
    ours = fit(truth, scores, class_codes=CODES).classes["pia"]
    assert ours["slope"] == pytest.approx(theirs.coef_[0, 0], rel=0.01)
    assert ours["offset"] == pytest.approx(theirs.intercept_[0], abs=0.01)


def test_a_map_mends_other_items():
    truth, scores, _ = spoilt(2, 3.0)
    found = fit(truth, scores, class_codes=CODES)
    other_truth, other, _ = spoilt(3, 3.0)
    mended = found.apply(other)
    assert max(calibration_errors(other_truth, mended)) < 0.05
    assert log_loss(other_truth[:, 0], mended[:, 0]) < log_loss(other_truth[:, 0], other[:, 0])
    assert (np.diff(mended[np.argsort(other[:, 0]), 0]) >= 0).all()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_labels_by_the_mapped_thresholds_are_the_same(dtype):
    """Also of S2, which gives 1 to a class of every clip, and where a score is at its threshold."""
    truth, scores, _ = spoilt(9, 3.0)
    scores = (scores / scores.max(axis=1, keepdims=True)).astype(dtype)
    found = fit(truth, scores, class_codes=CODES)
    for limits in ([0.5, 0.0], [1.0, 0.03], [float(scores[7, 0]), float(scores[8, 1])]):
        mapped, mapped_limits = found.apply(scores), found.thresholds(limits)
        assert ((mapped >= mapped_limits) == (scores >= np.array(limits))).all()
        stored = mapped.astype(np.float32)
        assert ((stored >= mapped_limits) == (scores >= np.array(limits))).all()


def test_scores_that_say_nothing_still_rise():
    """The worse the score the likelier the class: the map tells no lie, and keeps the order."""
    truth, scores, _ = spoilt(10, 1.0)
    mapped = fit(~truth, scores, class_codes=CODES).apply(np.array([[0.2, 0.2], [0.7, 0.7]]))
    assert (mapped[1] > mapped[0]).all()
    assert mapped == pytest.approx(0.5, abs=0.05)


def test_few_items_that_are_parted_without_fault_are_not_sure():
    truth = np.array([[False], [False], [True], [True]])
    scores = np.array([[0.1], [0.2], [0.8], [0.9]])
    mapped = fit(truth, scores, class_codes=["cel"]).apply(scores)
    assert mapped[:2].max() < 0.5 < mapped[2:].min()
    assert mapped.min() > 0.1
    assert mapped.max() < 0.9


def test_certain_scores_are_taken():
    truth, scores, _ = spoilt(4, 2.0)
    kept = fit(truth, scores, class_codes=CODES).apply(np.array([[0.0, 1.0]]))
    assert 0 < kept[0, 0] < 0.01
    assert 0.99 < kept[0, 1] < 1


@pytest.mark.parametrize("there", [False, True])
def test_a_class_that_is_nowhere_or_everywhere_keeps_its_scores(there):
    truth, scores, _ = spoilt(6, 2.0, n_items=50)
    truth[:, 0] = there
    found = fit(truth, scores, class_codes=CODES)
    assert not found.classes["cel"] and found.classes["pia"]
    mapped = found.apply(scores)
    assert (mapped[:, 0] == scores[:, 0].astype(np.float32)).all()
    assert (mapped[:, 1] != scores[:, 1]).any()


def test_nothing_to_fit_on():
    none = np.zeros((0, 2))
    found = fit(none > 0, none, class_codes=CODES)
    assert found.apply(np.array([[0.25, 0.5]])).tolist() == [[0.25, 0.5]]
    assert calibration_errors(none > 0, none) == [None, None]
    json.dumps(reliability(none > 0, none).to_dict(), allow_nan=False)


def test_a_map_survives_json_and_another_order_of_classes():
    truth, scores, _ = spoilt(7, 2.0, n_items=100)
    found = fit(truth, scores.astype(np.float32), class_codes=CODES)
    said = json.loads(json.dumps(found.to_dict(), allow_nan=False))
    assert (Calibration.from_dict(said).apply(scores) == found.apply(scores)).all()
    other = Calibration.from_dict(said, CODES[::-1])
    assert (other.apply(scores[:, ::-1]) == found.apply(scores)[:, ::-1]).all()


def test_what_is_refused():
    truth, scores, _ = spoilt(8, 2.0, n_items=10)
    with pytest.raises(ValueError, match="n_items, 2"):
        fit(truth, scores, class_codes=["a", "b"]).apply(scores[:, :1])
    with pytest.raises(SpecMismatch, match="calibration 'isotonic': expected 'platt'"):
        Calibration.from_dict({"method": "isotonic", "classes": {}})
