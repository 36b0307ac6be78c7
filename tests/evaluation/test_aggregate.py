"""Windows to a clip: known numbers, then what must hold for any windows."""

from __future__ import annotations

import argparse
from heapq import nlargest

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from pipeline.errors import UsageError
from pipeline.evaluation.labels.aggregate import (
    METHODS,
    TRACKS,
    aggregate,
    confidence,
    for_tracks,
    method_named,
)

NAMES = [*METHODS, "top3", "top5"]
unit = st.floats(0, 1, width=32)
quick = settings(deadline=None, max_examples=50)
windows = hnp.arrays(
    np.float32,
    st.tuples(st.integers(0, 8), st.integers(1, 5)),
    elements=st.floats(0, 1, width=32),
)


@pytest.mark.parametrize(
    ("method", "expected"),
    [
        ("S1", [0.5, 0.1, 0.3]),
        ("mean", [0.5, 0.1, 0.3]),
        ("S2", [1.0, 0.2, 0.6]),
        ("max", [0.9, 0.1, 0.4]),
        ("top1", [0.9, 0.1, 0.4]),
        ("top2", [0.5, 0.1, 0.3]),
        ("top7", [0.5, 0.1, 0.3]),
    ],
)
def test_known_numbers(method, expected):
    scores = np.array([[0.9, 0.1, 0.2], [0.1, 0.1, 0.4]])
    np.testing.assert_allclose(aggregate(scores, method), expected)


def test_s2_names_a_class_even_for_silence():
    silence = np.full((5, 3), 1e-4, np.float32) * np.array([1, 2, 1], np.float32)
    assert (aggregate(silence, "S1") < 0.5).all()
    assert aggregate(silence, "S2")[1] == 1


@pytest.mark.parametrize("method", NAMES)
@pytest.mark.parametrize("n_windows", [0, 4])
def test_zeros_stay_zeros(method, n_windows):
    assert aggregate(np.zeros((n_windows, 3), np.float32), method).tolist() == [0, 0, 0]


@pytest.mark.parametrize("method", NAMES)
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
@given(windows, st.sampled_from(NAMES), st.randoms())
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


def test_top_takes_each_class_from_its_own_windows():
    scores = np.array([[0.9, 0.0], [0.8, 0.1], [0.1, 0.2], [0.0, 0.6]], np.float32)
    np.testing.assert_allclose(aggregate(scores, "top2"), [0.85, 0.4], rtol=1e-6)
    np.testing.assert_allclose(aggregate(scores, "top3"), [0.6, 0.3], rtol=1e-6)


@quick
@given(windows.filter(len), st.integers(1, 9))
def test_more_windows_lie_closer_to_the_mean(scores, n):
    more, fewer = aggregate(scores, f"top{n + 1}"), aggregate(scores, f"top{n}")
    assert (more <= fewer + 1e-6).all()
    np.testing.assert_allclose(aggregate(scores, f"top{len(scores)}"), aggregate(scores, "mean"))


@quick
@given(windows)
def test_evidence_is_the_mean_of_the_three_highest(scores):
    found = confidence(scores)
    assert found.dtype == scores.dtype
    expected = [sum(nlargest(3, column)) / max(1, min(3, len(column))) for column in scores.T]
    np.testing.assert_allclose(found, expected, atol=1e-6)


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("s1", "s1"),
        ("S2", "s2"),
        ("MAX", "max"),
        ("mean", "s1"),
        ("Mean", "s1"),
        ("top3", "top3"),
        ("TOP05", "top5"),
        ("top120", "top120"),
        ("top1", "max"),
    ],
)
def test_one_name_for_the_same(name, canonical):
    assert method_named(name) == canonical
    assert method_named(canonical) == canonical


@pytest.mark.parametrize("name", ["top0", "top", "top-1", "top3.5", "top3 ", "s3", "", "top99999"])
def test_names_that_mean_nothing(name):
    with pytest.raises(UsageError, match="expected one of s1, s2, max, mean or topN"):
        method_named(name)


def test_a_flag_says_what_it_takes(capsys):
    parser = argparse.ArgumentParser()
    parser.add_argument("--aggregate", type=method_named)
    assert parser.parse_args(["--aggregate", "Mean"]).aggregate == "s1"
    with pytest.raises(SystemExit) as ended:
        parser.parse_args(["--aggregate", "S3"])
    assert ended.value.code == 2
    assert "aggregation 'S3': expected one of s1, s2, max" in capsys.readouterr().err


def track(n_seconds: int, **solos: tuple[int, int]) -> np.ndarray:
    """Return windows of 1 s in which each class is heard from one second to another."""
    scores = np.full((n_seconds, len(solos)), 0.02, np.float32)
    for k, (first, last) in enumerate(solos.values()):
        scores[first:last, k] = 0.9
    return scores


@pytest.mark.parametrize("solo_s", [30, 60])
@pytest.mark.parametrize("at_s", [0, 47, 180])
def test_a_solo_in_four_minutes_is_found(solo_s, at_s):
    """S2 wants a class in half as much of the track as the one that sounds most."""
    scores = track(240, voi=(0, 240), sax=(at_s, at_s + solo_s), pia=(0, 0))
    assert aggregate(scores, "s2")[1] < 0.3
    found = aggregate(scores, TRACKS)
    assert found[0] == 1
    assert found[1] > 0.8
    assert found[2] < 0.05


@quick
@given(hnp.arrays(np.float32, st.tuples(st.integers(0, 19), st.just(3)), elements=unit))
def test_a_clip_of_less_than_two_segments_has_the_scores_of_s2(scores):
    np.testing.assert_array_equal(aggregate(scores, TRACKS), aggregate(scores, "s2"))


@pytest.mark.parametrize(
    ("hop_s", "n_windows", "n_segments"),
    [(1.0, 20, 2), (0.5, 40, 2), (0.5, 39, 1), (3.0, 12, 4), (10.0, 3, 3), (30.0, 3, 3)],
)
def test_segments_are_of_seconds_whatever_the_hop(hop_s, n_windows, n_segments):
    """A segment's own S2 has a 1; the class of one window is alone in its segment."""
    scores = np.zeros((n_windows, 1 + n_windows), np.float32)
    scores[:, 0] = 0.5
    scores[range(n_windows), range(1, 1 + n_windows)] = 1.0
    largest = aggregate(scores, "s2-10s-max", hop_s=hop_s)[1:]
    a_segment = -(-n_windows // n_segments)
    assert largest.min() == pytest.approx(min(1, 2 / a_segment))
    assert len({round(float(value), 4) for value in largest}) <= 2


def test_segments_by_hand():
    scores = track(30, cel=(0, 30), pia=(0, 10), vio=(10, 15))
    for name, expected in {
        "s2-10s-max": [1, 1, 0.5111],
        "s2-10s-top2": [1, 0.5111, 0.2667],
        "s2-10s-top3": [1, 0.3481, 0.1852],
        "s2-10s-mean": [1, 0.3481, 0.1852],
        "s2-15s-max": [1, 0.6741, 0.3481],
        "s1-10s-max": [0.9, 0.9, 0.46],
        "s2-40s-top3": [1, 0.3481, 0.1852],
    }.items():
        np.testing.assert_allclose(aggregate(scores, name), expected, atol=1e-3, err_msg=name)


@pytest.mark.parametrize(
    ("name", "canonical"),
    [
        ("S2-10S-Top3", "s2-10s-top3"),
        ("s2-010s-top03", "s2-10s-top3"),
        ("s2-5s-top1", "s2-5s-max"),
        ("mean-20s-mean", "s1-20s-s1"),
    ],
)
def test_one_name_for_the_same_segments(name, canonical):
    assert method_named(name) == canonical
    assert method_named(canonical) == canonical


@pytest.mark.parametrize("name", ["s2-0s-max", "s2-10-max", "s2-10s", "s2-10s-s2", "max-10s-top3"])
def test_segments_that_mean_nothing(name):
    with pytest.raises(UsageError, match="or by segments, such as s2-10s-top3"):
        method_named(name)


def test_only_s2_becomes_another_for_whole_tracks():
    assert [for_tracks(name) for name in ("s2", "s1", "top5", "s2-20s-max")] == [
        *(TRACKS, "s1", "top5", "s2-20s-max"),
    ]
