"""ANOVA: scipy's numbers, by row; what cannot be tested is NaN, without a warning."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats

from pipeline.evaluation.statistics.anova import (
    P_LIMIT,
    anova,
    anova_table,
    best_of_each,
    by_feature,
    by_recording,
    ranked,
    single_groups,
)
from pipeline.report.plots.feature_plots import p_text, row_label
from schemas.anova import ANOVA


@pytest.fixture
def groups():
    return np.repeat(np.arange(4), [30, 20, 25, 5])


def by_hand(column, groups):
    """Return scipy's F and p of one row."""
    used = np.isfinite(column) & (groups >= 0)
    return stats.f_oneway(*(column[used & (groups == k)] for k in np.unique(groups[used])))


def table_of(p_values, *, feature="mfcc", eta=None):
    n = len(p_values)
    columns = {
        "feature": [feature] * n,
        "row": [f"{feature}_{i}" for i in range(n)],
        "statistic": ["mean"] * n,
        "f_value": [1.0] * n,
        "p_value": p_values,
        "n_clips": [50] * n,
        "eta_squared": eta or [0.1] * n,
    }
    return pa.table(columns, schema=ANOVA)


def test_only_clips_with_one_class_have_a_group():
    labels = np.array([[1, 0, 0], [0, 0, 1], [0, 0, 0], [1, 1, 0], [0, 1, 0]], bool)
    assert single_groups(labels).tolist() == [0, 2, -1, -1, 1]
    assert single_groups(np.zeros((2, 0), bool)).tolist() == [-1, -1]
    assert single_groups(np.zeros((0, 3), bool)).tolist() == []


def test_by_hand():
    found = anova(np.array([[1.0], [2.0], [3.0], [4.0], [5.0], [6.0]]), groups=np.repeat([0, 1], 3))
    assert found.f_value == pytest.approx(13.5)  # between 13.5 over within 4 / 4
    assert found.eta_squared == pytest.approx(13.5 / 17.5)
    assert found.p_value == pytest.approx(0.021312, abs=1e-6)
    assert found.n_clips.tolist() == [6]


@pytest.mark.parametrize("offset", [0.0, 1e6])
def test_every_row_has_scipys_numbers(rng, groups, offset):
    values = rng.normal(size=(len(groups), 12)) + np.linspace(0, 2, 12) * groups[:, None] + offset
    found = anova(values, groups=groups)
    for k in range(12):
        f, p = by_hand(values[:, k], groups)
        assert found.f_value[k] == pytest.approx(f, rel=1e-6)
        assert found.p_value[k] == pytest.approx(p, rel=1e-5)
    assert (found.n_clips == len(groups)).all()
    assert ((found.eta_squared > 0) & (found.eta_squared < 1)).all()


def test_single_precision_is_summed_in_double(rng, groups):
    values = (rng.normal(size=(len(groups), 3)) + 10_000 + groups[:, None]).astype(np.float32)
    f, _ = by_hand(values[:, 0].astype(np.float64), groups)
    assert anova(values, groups=groups).f_value[0] == pytest.approx(f, rel=1e-6)


def test_signal_is_significant_and_noise_is_not(rng, groups):
    noise = rng.normal(size=(len(groups), 50))
    signal = groups[:, None] + 0.3 * noise[:, :1]
    found = anova(np.hstack([signal, noise]), groups=groups)
    assert found.p_value[0] < 1e-20
    assert found.eta_squared[0] > 0.8
    assert (found.p_value[1:] > P_LIMIT).sum() >= 49


def test_the_class_itself_is_certain(groups):
    values = np.stack([groups, 0.1 * groups + 7, groups == 1], axis=1)
    found = anova(values, groups=groups)
    assert (found.f_value > 1e9).all()
    assert found.p_value.tolist() == [0, 0, 0]
    assert found.eta_squared == pytest.approx([1, 1, 1])


def test_equal_means_tell_nothing():
    found = anova(np.array([[1.0], [2.0], [1.0], [2.0]]), groups=np.array([0, 0, 1, 1]))
    assert found.f_value.tolist() == [0]
    assert found.p_value.tolist() == [1]
    assert found.eta_squared.tolist() == [0]


def test_clips_without_one_class_do_not_count(rng, groups):
    values = rng.normal(size=(len(groups), 2)) + groups[:, None]
    wild = np.vstack([values, np.full((9, 2), 1e9)])
    found = anova(wild, groups=np.append(groups, [-1] * 9))
    expected = anova(values, groups=groups)
    assert found.p_value.tolist() == expected.p_value.tolist()
    assert found.n_clips.tolist() == [len(groups)] * 2


@pytest.mark.parametrize("gap", [np.nan, np.inf, -np.inf])
def test_gaps_are_dropped_from_their_row_alone(rng, groups, gap):
    values = rng.normal(size=(len(groups), 3)) + groups[:, None]
    values[::7, 1] = gap
    found = anova(values, groups=groups)
    for k in range(3):
        assert found.p_value[k] == pytest.approx(by_hand(values[:, k], groups)[1], rel=1e-6)
    assert found.n_clips.tolist() == [80, 80 - 12, 80]


def test_classes_with_one_clip_are_left_out(rng):
    groups = np.array([0, 0, 0, 1, 1, 1, 2])
    values = rng.normal(size=(7, 1))
    found = anova(values, groups=groups)
    assert found.p_value[0] == pytest.approx(by_hand(values[:6, 0], groups[:6])[1])
    assert found.n_clips.tolist() == [6]


def test_a_constant_row_has_no_p_and_spoils_no_other(rng, groups):
    values = rng.normal(size=(len(groups), 3))
    alone = anova(values[:, :1], groups=groups)
    values[:, 1] = 0.1
    found = anova(values, groups=groups)
    assert np.isnan([found.p_value[1], found.f_value[1], found.eta_squared[1]]).all()
    assert found.p_value[0] == alone.p_value[0]
    assert np.isfinite(found.p_value[2])


@pytest.mark.parametrize(
    "groups", [[], [0], [0, 0, 0], [-1, -1], [0, 1], [0, 0, 1], [-1, 2, 2]], ids=str
)
def test_too_little_to_compare(groups):
    values = np.arange(2.0 * len(groups)).reshape(len(groups), 2)
    found = anova(values, groups=np.array(groups, np.int64))
    assert np.isnan(found.p_value).all()
    assert found.p_value.shape == found.n_clips.shape == (2,)


def test_a_row_that_is_never_finite(rng, groups):
    values = rng.normal(size=(len(groups), 2))
    values[:, 0] = np.nan
    found = anova(values, groups=groups)
    assert np.isnan(found.p_value).tolist() == [True, False]
    assert found.n_clips.tolist() == [0, 80]


def test_table(rng, groups):
    found = anova(rng.normal(size=(len(groups), 2)), groups=groups)
    table = anova_table(found, feature="rms", rows=["a", "b"], statistic="var")
    assert table.schema == ANOVA
    assert table["row"].to_pylist() == ["a", "b"]
    assert table["p_value"].to_pylist() == found.p_value.tolist()
    with pytest.raises(pa.ArrowInvalid):
        anova_table(found, feature="rms", rows=["a"], statistic="var")


def test_ranks():
    table = table_of([0.5, float("nan"), 0.0, 0.0], eta=[0.1, float("nan"), 0.5, 0.9])
    assert [row["row"] for row in ranked(table)] == ["mfcc_3", "mfcc_2", "mfcc_0", "mfcc_1"]


def test_the_best_of_each_feature_come_first():
    nan = float("nan")
    table = pa.concat_tables(
        [
            table_of([1e-9, 1e-8, 1e-7]),
            table_of([0.3, nan], feature="tonnetz"),
            table_of([], feature="x"),
        ]
    )
    rows = [row["row"] for row in best_of_each(table, n_rows=3)]
    assert rows == ["mfcc_0", "tonnetz_0", "mfcc_1"]
    assert len(best_of_each(table, n_rows=99)) == 4


def test_by_feature():
    nan = float("nan")
    table = pa.concat_tables(
        [table_of([1e-9, 0.01, nan, P_LIMIT]), table_of([nan], feature="flat")]
    )
    mfcc, flat = by_feature(table)
    assert (mfcc["n_rows"], mfcc["n_significant"], mfcc["n_untested"]) == (4, 1, 1)
    assert (mfcc["best"]["row"], mfcc["worst"]["row"]) == ("mfcc_0", "mfcc_1")
    assert (flat["n_untested"], flat["best"], flat["worst"]) == (1, None, None)


@pytest.mark.parametrize(
    ("p_value", "text"),
    [
        (0.5, "0.5"),
        (0.00104, "0.00104"),
        (1.23e-8, "1.2e-08"),
        (0.0, "< 1e-300"),
        (np.nan, "\u2013"),
    ],
)
def test_p_text(p_value, text):
    assert p_text(p_value) == text


def test_row_label():
    assert row_label({"row": "f0", "statistic": "var"}) == "f0 (var)"
    assert len(row_label({"row": "x" * 99, "statistic": "mean"})) == 35


def test_excerpts_of_one_recording_are_one():
    """Of noise that belongs to recordings, excerpts would make differences of classes."""
    rng = np.random.default_rng(0)
    recordings = np.repeat(np.arange(5 * 20), 10)  # 5 classes of 20 recordings of 10 excerpts
    groups = recordings // 20
    values = rng.normal(size=(100, 400))[recordings] + rng.normal(size=(1000, 400))
    alone = anova(values, groups=groups)
    assert (alone.p_value < 0.001).mean() > 0.5
    found = anova(*by_recording(values, groups=groups, recordings=recordings.astype(str).tolist()))
    assert (found.p_value < 0.001).sum() <= 3
    assert set(found.n_clips) == {100}
    values[:4, 0] = np.nan, np.inf, -np.inf, 7.0
    mean, _ = by_recording(values, groups=groups, recordings=recordings.astype(str).tolist())
    assert mean[0, 0] == pytest.approx(values[3:10, 0].mean())
    several = by_recording(np.eye(3), groups=np.array([0, 0, 1]), recordings=["a", "a", "a"])
    assert several[0].tolist() == [[0.5, 0.5, 0], [0, 0, 1]]
    assert several[1].tolist() == [0, 1]
