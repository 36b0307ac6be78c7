"""Errors of a regressor: known numbers, and what they do not depend on."""

import numpy as np
import pytest

from pipeline.evaluation.statistics.regression import mean_of, regression_figures
from schemas.regression import TargetRange

RANGES = [TargetRange("depth", "rating", 0.0, 50.0, 10.0), TargetRange("w", "rating", -1, 1, 0)]


def test_known_numbers():
    truth = np.array([[10.0, 0.0], [20.0, 1.0], [30.0, np.nan]])
    predicted = np.array([[12.0, 0.5], [20.0, 0.5], [26.0, 9.0]])
    depth, other = regression_figures(truth, predicted, RANGES)
    assert (depth.n_clips, other.n_clips) == (3, 2)
    assert depth.mae_unit == pytest.approx(2.0) and depth.mae == pytest.approx(0.04)
    assert depth.r2 == pytest.approx(1 - (4 + 16) / 200)
    assert depth.baseline_mae == pytest.approx((0 + 10 + 20) / 3 / 50)
    assert (other.mae_unit, other.mae, other.r2) == (0.5, 0.25, 0.0)
    assert mean_of([depth, other], "mae") == pytest.approx(0.145)


def test_perfect_is_1_and_one_value_has_no_r2(rng):
    truth = rng.uniform(0, 50, (9, 2))
    assert [one.r2 for one in regression_figures(truth, truth, RANGES)] == [1, 1]
    same = regression_figures(np.full((3, 2), 2.0), np.zeros((3, 2)), RANGES)
    assert same[0].r2 is None and mean_of(same, "r2") is None


def test_r2_does_not_depend_on_the_unit(rng):
    truth, predicted = rng.uniform(0, 1, (2, 20, 1))
    (one,) = regression_figures(truth, predicted, RANGES[:1])
    (other,) = regression_figures(100 * truth + 3, 100 * predicted + 3, RANGES[:1])
    assert one.r2 == pytest.approx(other.r2)
