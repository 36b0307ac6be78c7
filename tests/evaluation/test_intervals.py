"""Windows to stretches: by hand, and against a plain count of moments."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.evaluation.labels.intervals import interval_threshold, merged_intervals

quick = settings(deadline=None, max_examples=60)


def found(heard, *, hop_s=1.0, window_s=1.0, active=None, min_confidence=0.0, **options):
    """Return start and end of each interval of one class; 'x' is 0.8, '-' is 0.1."""
    scores = np.array([[0.8 if letter == "x" else 0.1] for letter in heard]).reshape(-1, 1)
    start_s = np.arange(len(heard)) * hop_s
    is_active = [True] * len(heard) if active is None else [letter == "x" for letter in active]
    made = merged_intervals(
        scores,
        start_s,
        start_s + window_s,
        is_active,
        min_confidence=min_confidence,
        codes=["cel"],
        **options,
    )
    return [(round(one.start_s, 6), round(one.end_s, 6)) for one in made]


def test_neighbours_make_one_and_a_break_makes_two():
    assert found("xx-xx-") == [(0, 2), (3, 5)]
    assert found("xxxx") == [(0, 4)]
    assert found("-") == []
    assert found("") == []


def test_windows_that_overlap_make_one():
    assert found("xx--x", hop_s=0.5) == [(0, 1.5), (2, 3)]
    assert found("x--x", hop_s=0.5) == [(0, 1), (1.5, 2.5)]
    assert found("x-x", hop_s=0.5) == [(0, 2)]  # the two touch


def test_sums_of_floats_still_touch():
    assert found("x" * 30, hop_s=0.1, window_s=0.1) == [(0, 3)]


def test_gaps_are_bridged_where_asked():
    assert found("x-x--x") == [(0, 1), (2, 3), (5, 6)]
    assert found("x-x--x", max_gap_s=1) == [(0, 3), (5, 6)]
    assert found("x-x--x", max_gap_s=2) == [(0, 6)]


def test_in_silence_nothing_is_heard():
    assert found("xxx", active="x-x") == [(0, 1), (2, 3)]
    assert found("xxx", active="---") == []


def test_the_gate_raises_what_counts_and_never_lowers_it():
    assert interval_threshold(0) == interval_threshold(0.3) == 0.5
    assert interval_threshold(0.7) == 0.7
    assert found("x", min_confidence=0.8) == [(0, 1)]
    assert found("x", min_confidence=0.81) == []


def test_the_score_is_the_mean_of_the_windows_in_which_it_is_heard():
    scores = np.array([[0.5, 0.9], [0.7, 0.2], [0.1, 0.3], [0.6, 0.8]], np.float32)
    times = np.arange(4.0)
    options = {"min_confidence": 0.0, "codes": ["cel", "pia"]}
    made = merged_intervals(scores, times, times + 1, [True] * 4, **options)
    assert [(one.code, one.start_s, one.end_s) for one in made] == [
        ("cel", 0, 2),
        ("cel", 3, 4),
        ("pia", 0, 1),
        ("pia", 3, 4),
    ]
    assert [one.score for one in made] == pytest.approx([0.6, 0.6, 0.9, 0.8])
    bridged = merged_intervals(scores, times, times + 1, [True] * 4, max_gap_s=2, **options)
    assert [one.score for one in bridged] == pytest.approx([0.6, 0.85])


def test_the_last_window_ends_with_the_track():
    made = merged_intervals(
        np.full((3, 1), 0.9), [0, 1, 1.6], [1, 2, 2.4], [True] * 3, min_confidence=0, codes=["cel"]
    )
    assert [(one.start_s, one.end_s) for one in made] == [(0, 2.4)]


def test_codes_and_scores_must_be_as_many():
    with pytest.raises(ValueError, match="zip"):
        merged_intervals(np.ones((1, 2)), [0], [1], [True], min_confidence=0, codes=["cel"])


@quick
@given(st.lists(st.booleans(), max_size=30), st.integers(1, 6), st.integers(1, 6))
def test_every_moment_of_a_heard_window_is_in_one_interval(heard, hop, length):
    starts = np.arange(len(heard)) * hop
    made = merged_intervals(
        np.where(heard, 0.9, 0.1)[:, None],
        starts,
        starts + length,
        [True] * len(heard),
        min_confidence=0,
        codes=["cel"],
    )
    moments = {
        t
        for start, is_it in zip(starts, heard, strict=True)
        if is_it
        for t in range(start, start + length)
    }
    covered = [t for one in made for t in range(int(one.start_s), int(one.end_s))]
    assert sorted(moments) == covered  # none twice, none too many, in order
    assert all(a.end_s < b.start_s for a, b in zip(made, made[1:], strict=False))
