"""Drift: the figures are those of the books, and chance alone raises no alarm."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from pipeline.evaluation.statistics import drift
from pipeline.evaluation.statistics.drift import (
    CHANGED,
    FIRST_RUN,
    LOOK,
    STABLE,
    TOO_FEW,
    binned_ks,
    class_drift,
    holm,
    same_share_p,
    stability_index,
)
from schemas.tagging_run import TaggingRun

CODES = ["a", "b", "c", "d"]


def run_of(scores: dict[str, np.ndarray], threshold: float = 0.5) -> TaggingRun:
    """Return what run.json says of scores, `[n_tracks]` a class."""
    n_tracks = max((len(values) for values in scores.values()), default=0)
    counts = {c: np.histogram(v, 20, (0, 1))[0].tolist() for c, v in scores.items()}
    values = {
        "class_names": dict.fromkeys(scores, "x"),
        "histograms": counts,
        "labels": {c: int((v >= threshold).sum()) for c, v in scores.items()},
        "tagged": n_tracks,
    }
    return TaggingRun.from_dict(values)


def still_run(rng: np.random.Generator, n_tracks: int) -> TaggingRun:
    shapes = {"a": (0.3, 2.0), "b": (2.0, 2.0), "c": (0.5, 0.5), "d": (8.0, 1.0)}
    return run_of({code: rng.beta(*shape, n_tracks) for code, shape in shapes.items()})


@pytest.mark.parametrize(("n", "m"), [(50, 50), (80, 1000), (3000, 2000)])
def test_ks_is_scipys_of_the_binned_scores(rng, n, m):
    now = np.histogram(rng.beta(2, 3, n), 20, (0, 1))[0]
    before = np.histogram(rng.beta(2, 2, m), 20, (0, 1))[0]
    middles = (np.arange(20) + 0.5) / 20
    expected = stats.ks_2samp(np.repeat(middles, now), np.repeat(middles, before), method="asymp")
    assert binned_ks(now, before) == pytest.approx((expected.statistic, expected.pvalue))


def test_index_by_hand():
    p, q = np.array([30.5, 70.5]) / 101, np.array([60.5, 140.5]) / 201
    psi, by_chance = stability_index([30, 70], [60, 140])
    assert psi == pytest.approx(((p - q) * np.log(p / q)).sum())
    assert by_chance == pytest.approx(3.841 * (1 / 100 + 1 / 200), abs=1e-4)
    assert stability_index([30, 70], [30, 70])[0] == 0
    assert stability_index([100, 0, 0], [90, 0, 0])[0] == 0


def test_sparse_bins_are_joined():
    """One track in a bin that was empty is no alarm, whatever its logarithm says."""
    before = [500, 0, 0, 0, 500]
    assert stability_index([499, 0, 1, 0, 500], before)[0] < 0.001
    assert stability_index([400, 0, 200, 0, 400], before)[0] > 0.25


@pytest.mark.parametrize("n_tracks", [50, 60, 200, 2000])
def test_chance_alone_raises_no_alarm(rng, n_tracks):
    """With few tracks the bare index says 'changed' most nights; what is read from it does not."""
    nights = [class_drift(still_run(rng, n_tracks), still_run(rng, n_tracks)) for _ in range(120)]
    alarms = np.mean([any(row.reading in (LOOK, CHANGED) for row in rows) for rows in nights])
    bare = np.mean([any(row.psi > drift.CHANGED_ABOVE for row in rows) for rows in nights])
    assert alarms < 0.13
    assert bare > 0.9 if n_tracks <= 60 else bare < 0.13
    for p_value in ("ks_p", "share_p"):
        wrong = np.mean([any(getattr(row, p_value) < 0.05 for row in rows) for rows in nights])
        assert wrong < 0.13


def test_what_has_moved_is_found(rng):
    before = run_of({"a": rng.beta(2, 4, 900), "b": rng.beta(2, 4, 900), "c": rng.random(900)})
    now = run_of({"a": rng.beta(4, 2, 700), "b": rng.beta(2.6, 4, 700), "c": rng.random(700)})
    moved, little, still = class_drift(now, before)
    assert [row.reading for row in (moved, little, still)] == [CHANGED, LOOK, STABLE]
    assert (moved.n_before, moved.n_now) == (900, 700)
    assert moved.ks_p < 1e-6
    assert moved.share_p < 1e-6
    assert moved.share_now - moved.share_before > 0.3
    assert still.ks_p > 0.05
    assert still.share_p > 0.05


def test_too_few_and_first_runs_are_said_to_be(rng):
    many = run_of({"a": np.zeros(500)})
    for n, n_before in ((49, 500), (500, 49), (0, 500)):
        (row,) = class_drift(
            run_of({"a": np.ones(n)}), run_of({"a": np.zeros(n_before)}) if n_before < 500 else many
        )
        assert row.reading == TOO_FEW
        assert (row.psi, row.ks, row.ks_p, row.share_p) == (None,) * 4
    assert class_drift(run_of({"a": np.ones(50)}), many)[0].reading == CHANGED
    (row,) = class_drift(many, None)
    assert (row.reading, row.share_now, row.share_before) == (FIRST_RUN, 0.0, None)


def test_a_class_without_histogram_or_with_other_bins_is_not_tested():
    now = run_of({"a": np.ones(100), "b": np.ones(100)})
    before = run_of({"a": np.ones(100), "b": np.ones(100)})
    del before.histograms["a"]
    before.histograms["b"] = [100, 0]
    assert [row.reading for row in class_drift(now, before)] == [TOO_FEW, TOO_FEW]


def test_holm(rng):
    assert holm([]) == []
    assert holm([0.01, 0.02, 0.03, 0.04]) == pytest.approx([0.04, 0.06, 0.06, 0.06])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    p_values = rng.random(9)
    order = rng.permutation(9)
    np.testing.assert_allclose(np.array(holm(p_values))[order], holm(p_values[order]))
    assert (np.array(holm(p_values)) >= p_values).all()


def test_shares_of_very_many_tracks():
    assert same_share_p((100_000, 1_000_000), (100_000, 1_000_000)) == pytest.approx(1)
    assert same_share_p((100_000, 1_000_000), (110_000, 1_000_000)) < 1e-6
    assert same_share_p((0, 80), (0, 90)) == 1
