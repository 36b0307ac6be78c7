"""Windows to a clip: known numbers, then what must hold for any windows."""

from __future__ import annotations

import doctest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.errors import UsageError
from pipeline.score import aggregate as module
from pipeline.score.aggregate import METHODS, aggregate, labels_of

quick = settings(deadline=None, max_examples=50)
windows = hnp.arrays(
    np.float32,
    st.tuples(st.integers(0, 8), st.integers(1, 5)),
    elements=st.floats(0, 1, width=32),
)


@pytest.mark.parametrize(
    ("method", "expected"),
    [("S1", [0.5, 0.1, 0.3]), ("S2", [1.0, 0.2, 0.6]), ("max", [0.9, 0.1, 0.4])],
)
def test_known_numbers(method, expected):
    scores = np.array([[0.9, 0.1, 0.2], [0.1, 0.1, 0.4]])
    np.testing.assert_allclose(aggregate(scores, method), expected)


def test_s2_names_a_class_even_for_silence():
    silence = np.full((5, 3), 1e-4, np.float32) * np.array([1, 2, 1], np.float32)
    assert labels_of(aggregate(silence, "S1"), 0.5, ["cel", "pia", "voi"]) == []
    assert "pia" in labels_of(aggregate(silence, "S2"), 0.99, ["cel", "pia", "voi"])


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("n_windows", [0, 4])
def test_zeros_stay_zeros(method, n_windows):
    assert aggregate(np.zeros((n_windows, 3), np.float32), method).tolist() == [0, 0, 0]


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_type_is_kept_and_case_is_not_looked_at(method, dtype):
    scores = np.full((2, 3), 0.5, dtype)
    assert aggregate(scores, method.upper()).dtype == dtype
    np.testing.assert_array_equal(aggregate(scores, method.upper()), aggregate(scores, method))


def test_unknown_method_names_the_choices():
    with pytest.raises(UsageError, match=r"'S3': expected one of s1, s2, max"):
        aggregate(np.zeros((1, 1)), "S3")


def test_one_window_must_still_be_a_matrix():
    with pytest.raises(ValueError, match="n_windows"):
        aggregate(np.zeros(3), "S1")


@quick
@given(windows, st.sampled_from(sorted(METHODS)), st.randoms())
def test_order_of_the_windows_does_not_matter(scores, method, random):
    order = random.sample(range(len(scores)), len(scores))
    np.testing.assert_allclose(
        aggregate(scores[order], method), aggregate(scores, method), rtol=1e-6
    )


@quick
@given(windows)
def test_s2_peaks_at_exactly_one_unless_all_is_zero(scores):
    clip = aggregate(scores, "S2")
    assert clip.max() == (1 if scores.any() else 0)
    assert (clip >= 0).all()


@quick
@given(windows.filter(len))
def test_s1_lies_between_the_windows(scores):
    clip = aggregate(scores, "S1")
    assert (clip >= scores.min(axis=0)).all()
    assert (clip <= scores.max(axis=0)).all()


@quick
@given(windows.filter(len))
def test_max_is_never_below_s1_and_is_a_windows_score(scores):
    clip = aggregate(scores, "max")
    assert (clip >= aggregate(scores, "S1")).all()
    assert (clip == scores).any(axis=0).all()


def test_a_score_at_its_threshold_is_named():
    scores = np.array([0.5, 0.49, 0.2])
    assert labels_of(scores, 0.5, ["cel", "pia", "voi"]) == ["cel"]
    assert labels_of(scores, [0.6, 0.4, 0.2], ["cel", "pia", "voi"]) == ["pia", "voi"]


def test_codes_and_scores_must_be_as_many():
    with pytest.raises(ValueError, match="zip"):
        labels_of(np.array([0.5, 0.5]), 0.5, ["cel"])


def test_doctests():
    assert doctest.testmod(module).failed == 0
