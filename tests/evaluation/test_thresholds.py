"""Thresholds: known cuts, the best of all cuts, and what is done where there is nothing to find."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp
from sklearn.metrics import f1_score

from pipeline.errors import UsageError
from pipeline.evaluation.labels.thresholds import fixed, for_precision, thresholds_for, tuned

quick = settings(deadline=None, max_examples=60)
SCORES = np.array([[0.1], [0.2], [0.3], [0.4], [0.6]])
columns = st.integers(1, 12).flatmap(
    lambda n: st.tuples(
        hnp.arrays(np.bool_, (n, 1)),
        hnp.arrays(np.float64, (n, 1), elements=st.sampled_from([0, 0.1, 0.25, 0.5, 0.7, 1])),
    )
)


def truth_of(text):
    return np.array([[mark == "x"] for mark in text])


def f1_at(truth, scores, limit):
    return f1_score(truth[:, 0], scores[:, 0] >= limit, zero_division=0)


def test_fixed():
    assert fixed(["cel", "pia"], value=0.3).values == {"cel": 0.3, "pia": 0.3}
    assert fixed(["cel", "pia"]).array().tolist() == [0.5, 0.5]


def test_own_of_an_older_model_falls_back():
    by_method = {"s1": {"cel": 0.2, "pia": 0.3}}
    assert thresholds_for(by_method, "s1", ["pia", "cel"]).tolist() == [0.3, 0.2]
    assert thresholds_for(by_method, "max", ["pia", "cel"]).tolist() == [0.5, 0.5]


@pytest.mark.parametrize(
    ("truth", "expected"),
    [
        ("..xxx", 0.25),  # between 0.2 and 0.3
        ("x.xxx", 0.1),  # F1 is 8/9 there, and 6/7 between 0.2 and 0.3
        ("....x", 0.5),  # the default is as good as any
        (".....", 0.5),
        ("xxxxx", 0.1),
    ],
)
def test_known_cuts(truth, expected):
    found = tuned(truth_of(truth), SCORES, class_codes=["cel"])
    assert found.values == {"cel": pytest.approx(expected)}


@pytest.mark.parametrize(("default", "expected"), [(0.5, 0.35), (0.12, 0.1), (0.0, 0.0)])
def test_of_equal_cuts_the_one_next_to_the_default(default, expected):
    """All four named, or only the first: F1 is 2/3 both times."""
    truth, scores = truth_of("x..x"), SCORES[:4]
    found = tuned(truth, scores, class_codes=["cel"], default=default).values["cel"]
    assert found == pytest.approx(expected)


@quick
@given(columns)
def test_no_threshold_has_a_larger_f1(column):
    truth, scores = column
    found = tuned(truth, scores, class_codes=["cel"]).values["cel"]
    best = max(f1_at(truth, scores, cut) for cut in np.unique(scores))
    if truth.any():
        assert f1_at(truth, scores, found) == pytest.approx(best)
    else:
        assert found == 0.5


@quick
@given(columns, st.sampled_from([0.3, 0.5, 0.75, 1.0]))
def test_the_lowest_threshold_of_a_precision(column, target):
    truth, scores = column
    result = for_precision(truth, scores, class_codes=["cel"], target=target)
    limit = result.values["cel"]

    def precision(cut):
        named = scores[:, 0] >= cut
        return truth[named, 0].mean()

    reached = [cut for cut in np.unique(scores) if precision(cut) >= target]
    if reached:
        assert precision(limit) >= target
        assert (scores >= limit).sum() == (scores >= min(reached)).sum()
        assert result.notes == ()
    else:
        assert limit == 0.5
        assert len(result.notes) == 1


def test_classes_are_tuned_one_by_one():
    truth = np.hstack([truth_of("..xxx"), truth_of("....."), truth_of("..xxx")])
    scores = np.hstack([SCORES, SCORES, SCORES / 2])
    found = tuned(truth, scores, class_codes=["a", "b", "c"], default=0.9)
    assert found.array() == pytest.approx([0.25, 0.9, 0.125])
    assert found.notes == ("b: not in validation, so its threshold is 0.9",)


def test_a_precision_that_nothing_reaches():
    found = for_precision(truth_of("xxxx."), SCORES, class_codes=["cel"], target=0.9)
    assert found.values == {"cel": 0.5}
    assert "cel: no threshold reaches precision 0.9" in found.notes[0]
    for target in (0, 1.1):
        with pytest.raises(UsageError, match="target precision"):
            for_precision(truth_of("xxxx."), SCORES, class_codes=["cel"], target=target)


def test_no_items():
    none = np.zeros((0, 2))
    for rule in (tuned, for_precision):
        assert rule(none > 0, none, class_codes=["a", "b"]).array().tolist() == [0.5, 0.5]


def test_a_cut_between_neighbouring_floats_still_parts_them():
    low = np.float64(0.3)
    scores = np.array([[low], [np.nextafter(low, 1)]])
    limit = tuned(truth_of(".x"), scores, class_codes=["cel"]).array()
    assert (scores >= limit).ravel().tolist() == [False, True]


@pytest.mark.parametrize("rule", [tuned, for_precision])
def test_few_items_are_a_warning(rule):
    truth = np.zeros((60, 3), bool)
    truth[:24, 0] = truth[:25, 1] = True
    scores = np.linspace(1, 0, 60)[:, None] * np.ones(3)
    found = rule(truth, scores, class_codes=["cel", "pia", "voi"])
    assert found.few == {"cel": 24}
    line = "fewer than 25 validation clips have these classes (cel 24): their thresholds may be far"
    assert [line in warning for warning in found.warnings] == [False, True]
    assert fixed(["cel"]).warnings == ()


def test_few_items_are_those_that_are_known_to_have_the_class():
    truth = np.array([[1.0]] * 3 + [[0.0]] * 3 + [[np.nan]] * 60)
    assert tuned(truth, np.linspace(0, 1, 66)[:, None], class_codes=["cel"]).few == {"cel": 3}
