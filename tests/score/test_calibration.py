"""Calibration: errors by hand, maps that mend what was spoilt on purpose, and their json."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.special import expit, logit
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import log_loss

from pipeline.errors import UsageError
from pipeline.score.calibration import METHODS, Calibration, calibration_errors, fit, reliability


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
def test_temperature_is_found_again(temperature):
    truth, scores, _ = spoilt(1, temperature)
    found = fit(truth, scores, method="temperature", class_codes=["cel", "pia"])
    for value in found.classes.values():
        assert value["temperature"] == pytest.approx(temperature, rel=0.1)


@pytest.mark.parametrize("method", METHODS)
def test_a_map_mends_other_items(method):
    truth, scores, _ = spoilt(2, 3.0)
    found = fit(truth, scores, method=method, class_codes=["cel", "pia"])
    other_truth, other, _ = spoilt(3, 3.0)
    mended = found.apply(other)
    assert max(calibration_errors(other_truth, mended)) < 0.05
    assert log_loss(other_truth[:, 0], mended[:, 0].clip(1e-3, 0.999)) < log_loss(
        other_truth[:, 0], other[:, 0]
    )
    assert (np.diff(mended[np.argsort(other[:, 0]), 0]) >= 0).all()


def test_temperature_keeps_a_half_and_takes_certain_scores():
    truth, scores, _ = spoilt(4, 2.0)
    found = fit(truth, scores, method="temperature", class_codes=["cel", "pia"])
    kept = found.apply(np.array([[0.5, 0.5], [0.0, 1.0]]))
    assert kept[0] == pytest.approx(0.5)
    assert 0 < kept[1, 0] < 0.01
    assert 0.99 < kept[1, 1] < 1


def test_isotonic_is_scikit_learns():
    truth, scores, _ = spoilt(5, 2.0, n_items=200)
    ours = fit(truth, scores, method="isotonic", class_codes=["cel", "pia"])
    other = np.linspace(0, 1, 99)
    theirs = IsotonicRegression(out_of_bounds="clip").fit(scores[:, 1], truth[:, 1])
    mapped = ours.apply(np.stack([other, other], axis=1))[:, 1]
    assert mapped == pytest.approx(theirs.predict(other))


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("there", [False, True])
def test_a_class_that_is_nowhere_or_everywhere_keeps_its_scores(method, there):
    truth, scores, _ = spoilt(6, 2.0, n_items=50)
    truth[:, 0] = there
    found = fit(truth, scores, method=method, class_codes=["cel", "pia"])
    assert found.classes["cel"] == {}
    mapped = found.apply(scores)
    assert (mapped[:, 0] == scores[:, 0]).all()
    assert (mapped[:, 1] != scores[:, 1]).any()


@pytest.mark.parametrize("method", METHODS)
def test_nothing_to_fit_on(method):
    none = np.zeros((0, 2))
    found = fit(none > 0, none, method=method, class_codes=["cel", "pia"])
    assert found.apply(np.array([[0.2, 0.4]])).tolist() == [[0.2, 0.4]]
    assert calibration_errors(none > 0, none) == [None, None]
    json.dumps(reliability(none > 0, none).to_dict(), allow_nan=False)


@pytest.mark.parametrize("method", METHODS)
def test_a_map_survives_json(method):
    truth, scores, _ = spoilt(7, 2.0, n_items=100)
    found = fit(truth, scores.astype(np.float32), method=method, class_codes=["cel", "pia"])
    again = Calibration.from_dict(json.loads(json.dumps(found.to_dict(), allow_nan=False)))
    assert (again.apply(scores) == found.apply(scores)).all()


def test_what_is_refused():
    truth, scores, _ = spoilt(8, 2.0, n_items=10)
    with pytest.raises(UsageError, match="'platt': expected one of temperature, isotonic"):
        fit(truth, scores, method="platt", class_codes=["cel", "pia"])
    with pytest.raises(ValueError, match="n_items, 2"):
        fit(truth, scores, method="isotonic", class_codes=["a", "b"]).apply(scores[:, :1])
