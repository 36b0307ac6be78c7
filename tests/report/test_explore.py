"""The pictures and the page of a dataset: whole and of moderate size, whatever they are given."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import pytest

from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.evaluation.runs.exploration import (
    ClipExample,
    FeatureTests,
    durations_s,
    explore_report,
)
from pipeline.evaluation.statistics.anova import RowValues, anova, anova_table, eta_squared_limit
from pipeline.report import decibels
from pipeline.report.page import Table, render_page
from pipeline.report.pages.explore_page import explore_page
from pipeline.report.picture import Picture
from pipeline.report.plots import clip_plots, feature_plots
from schemas.anova import ANOVA

ODD = "<b>$x_1$</b>"
SPEC = LogMelSpec(n_mels=64)
MAX_URI_CHARS = 900_000


def names_of(n_classes):
    return {f"c{k}": f"class {k}" for k in range(n_classes)}


def clips_of(classes, splits=("train",), rate_hz=1000):
    n = len(classes)
    columns = {
        "classes": pa.array(classes, pa.list_(pa.string())),
        "split": pa.array([splits[i % len(splits)] for i in range(n)], pa.string()),
        "sample_rate_hz": pa.array([rate_hz] * n, pa.int32()),
        "n_samples": pa.array([10_000] * n, pa.int64()),
    }
    return pa.table(columns)


def examples_of(names, n_frames=500):
    rng = np.random.default_rng(0)
    shape = (SPEC.n_mels, n_frames)
    return [ClipExample(c, f"{c}_0", rng.normal(-30, 20, shape).astype(np.float16)) for c in names]


def comparison_of(names, n_clips, n_rows=5, feature="mfcc", n_drawn=12):
    rng = np.random.default_rng(0)
    groups = np.arange(n_clips) % max(1, len(names))
    values = rng.normal(size=(n_clips, n_rows)) + groups[:, None] * (np.arange(n_rows) < 3)
    rows = [f"{feature}_{i}" for i in range(n_rows)]
    table = anova_table(anova(values, groups=groups), feature=feature, rows=rows, statistic="mean")
    drawn = [
        RowValues(feature, row, "mean", "dB", values[:, i], groups)
        for i, row in enumerate(rows[:n_drawn])
    ]
    return FeatureTests(table, n_clips + 3, n_clips, n_clips - 1, len(names), drawn)


def report_and_page(clips, names, *, examples=(), tested=None):
    report = explore_report(
        clips,
        class_names=names,
        n_segments={"train": len(clips) + 1},
        split="train",
        examples=examples,
        tested=tested,
        provenance={"dataset": ODD},
    )
    seconds = durations_s(clips)
    return report, explore_page(
        report, durations_s=seconds, examples=examples, spec=SPEC, tested=tested
    )


def table_called(page, title):
    (table,) = [b for b in page.blocks if isinstance(b, Table) and b.title == title]
    return table


@pytest.mark.parametrize("seconds", [[], [10.0], [10.0] * 999, [0.0], [3.0, 20.0], [0.01, 4000]])
def test_durations(seconds, svg_of):
    svg_of(clip_plots.durations(seconds))


@pytest.mark.parametrize("n_classes", [0, 1, 3, 11, 40])
def test_spectrograms(n_classes, svg_of):
    names = names_of(n_classes)
    picture = clip_plots.example_spectrograms(examples_of(names), spec=SPEC, class_names=names)
    images = [e for e in svg_of(picture).iter() if e.tag.endswith("image")]
    assert len(images) >= min(n_classes, 24)
    assert len(picture.data_uri) < MAX_URI_CHARS
    assert ("16 more classes are left out" in picture.caption) == (n_classes == 40)


@pytest.mark.parametrize("n_frames", [1, 2, 87, 5000])
def test_spectrograms_of_any_length(n_frames, svg_of):
    names = names_of(2)
    examples = examples_of(names, n_frames)
    svg_of(clip_plots.example_spectrograms(examples, spec=SPEC, class_names=names))


@pytest.mark.parametrize(
    "spec",
    [
        SPEC,
        LogMelSpec(sample_rate_hz=800, n_mels=64),
        LogMelSpec(htk=True, n_mels=64, f_min_hz=30.0, f_max_hz=300.0),
    ],
    ids=str,
)
def test_spectrograms_of_any_spec(spec, svg_of):
    silent = ClipExample("c0", "s_0", np.full((64, 20), -100, np.float16))
    svg_of(clip_plots.example_spectrograms([silent], spec=spec, class_names=names_of(1)))


def test_ticks_stand_where_their_bands_are():
    bottom, top = clip_plots._mel_edges(SPEC)
    ticks = clip_plots._ticks(bottom, top, SPEC)
    assert {1000, 4000, 16_000} <= set(ticks.values())
    places = sorted(ticks)
    assert np.diff(places).min() >= 0.08 * (top - bottom)
    # A sine of 1 kHz is loudest in the band that its tick points to.
    from pipeline.audio.spectra.logmel import log_mel

    time_s = np.arange(SPEC.sample_rate_hz) / SPEC.sample_rate_hz
    loudest = log_mel(np.sin(2 * np.pi * 1000 * time_s).astype(np.float32), SPEC)[:, 40].argmax()
    at = next(place for place, hz in ticks.items() if hz == 1000)
    assert loudest == int((at - bottom) / (top - bottom) * SPEC.n_mels)


@pytest.mark.parametrize("shape", [(1, 1), (64, 87), (96, 240), (97, 241), (256, 862)])
def test_pooling_keeps_the_mean_of_a_flat_matrix_and_fits(shape):
    pooled = decibels._pooled(np.full(shape, 3.0), (96, 240))
    assert pooled.shape == (min(96, shape[0]), min(240, shape[1]))
    assert pooled == pytest.approx(np.full(pooled.shape, 3.0))
    assert decibels._pooled(np.arange(8.0).reshape(2, 4), (1, 2)).tolist() == [[2.5, 4.5]]


@pytest.mark.parametrize(("n_rows", "said"), [(5, "All 5 tested rows."), (300, "the 260 between")])
def test_bars(n_rows, said, svg_of):
    picture = feature_plots.anova_bars(comparison_of(names_of(3), 30, n_rows).table, n_classes=3)
    svg_of(picture)
    assert said in picture.caption
    assert len(picture.data_uri) < 300_000


def test_bars_of_the_worst_are_there(monkeypatch):
    drawn = []
    monkeypatch.setattr(feature_plots, "_draw_bars", lambda axes, groups, n: drawn.extend(groups))
    n = 100
    p = [(i + 1) / n for i in range(n)]
    columns = [["f", "g"] * 50, [f"r{i}" for i in range(n)], ["mean"] * n, p, p, [99] * n, p]
    feature_plots.anova_bars(
        pa.table(dict(zip(ANOVA.names, columns, strict=True)), schema=ANOVA), n_classes=3
    )
    assert [feature for feature, _ in drawn] == ["f", "g"]
    rows = {row["row"] for _, group in drawn for row in group}
    assert rows == {f"r{i}" for i in [*range(20), *range(80, 100)]}


def test_the_line_is_where_p_is_the_limit(rng):
    """A row whose eta squared is at its line has the p of the limit."""
    groups = np.repeat([0, 1, 2], 20)
    values = rng.normal(size=(60, 200)) + 0.5 * groups[:, None]
    table = anova_table(
        anova(values, groups=groups), feature="f", rows=list(map(str, range(200))), statistic="mean"
    )
    rows = table.to_pylist()
    over = [row["eta_squared"] > eta_squared_limit(row, 3) for row in rows]
    assert over == [row["p_value"] < 0.001 for row in rows]
    assert 0 < sum(over) < 200


def test_nothing_to_test(svg_of):
    empty = anova_table(
        anova(np.ones((9, 2)), groups=np.zeros(9, int)),
        feature="f",
        rows=["a", "b"],
        statistic="var",
    )
    picture = feature_plots.anova_bars(empty, n_classes=1)
    svg_of(picture)
    assert "2 rows could not be tested" in picture.caption
    svg_of(feature_plots.feature_distributions([], class_names=names_of(2)))


@pytest.mark.parametrize("n_classes", [1, 2, 30])
def test_distributions(n_classes, svg_of):
    names = names_of(n_classes)
    rows = [*comparison_of(names, 300, n_rows=11).rows]
    rows[0].values[:] = np.nan  # a panel without a box
    rows[1].values[::2] *= 1e9
    svg_of(feature_plots.feature_distributions(rows, class_names=names))


def test_a_box_by_hand():
    box = feature_plots.box_stats(np.array([*np.arange(101.0), np.nan]))
    assert box == {"whislo": 5, "q1": 25, "med": 50, "q3": 75, "whishi": 95}
    assert feature_plots.box_stats(np.array([np.nan])) is None


def test_report_by_hand():
    clips = clips_of([["c0"], ["c0", "c1"], [], ["c1"], ["c0"]], splits=("train", "val"))
    report, page = report_and_page(clips, names_of(2))
    assert report.n_clips == 5
    assert report.hours == pytest.approx(50 / 3600)
    assert report.splits["train"] == {
        "segments": 6,
        "clips": 3,
        "hours": pytest.approx(30 / 3600),
    }
    assert [row["clips"] for row in report.classes] == [
        {"train": 2, "val": 1},
        {"train": 0, "val": 2},
    ]
    assert report.labels_per_clip == {"train": [1, 2], "val": [0, 1, 1]}
    assert report.cooccurrence == [[3, 1], [1, 2]]
    assert table_called(page, "Clips per class").rows[0] == ("c0", "class 0", 2, 1, 3, 0.6)


def test_page_without_features_says_how_to_get_them():
    report, page = report_and_page(clips_of([["c0"]]), names_of(1))
    assert report.anova is None
    html = render_page(page)
    assert "jobs.extract_features --pool mean,var" in html
    assert "ANOVA of every row" not in html


def test_page_with_features(svg_of):
    names = names_of(3)
    tested = comparison_of(names, 30)
    report, page = report_and_page(
        clips_of([["c0"]] * 33), names, examples=examples_of(names), tested=tested
    )
    json.dumps(report.to_dict(), allow_nan=False)
    rows = table_called(page, "ANOVA of every row").rows
    assert len(rows) == len(tested.table) == len(report.anova["rows"])
    p_values = [row["p_value"] for row in report.anova["rows"]]
    assert p_values == sorted(p_values)
    assert (report.anova["n_single"], report.anova["n_clips"]) == (30, 33)
    assert report.examples == {"c0": "c0_0", "c1": "c1_0", "c2": "c2_0"}
    html = render_page(page)
    assert "only clips with exactly one class count: 30; the 3 with none or several" in html
    titles = [block.title for block in page.blocks if isinstance(block, Picture)]
    assert titles == [
        "Labels per class",
        "Labels per clip",
        "Classes that sound together",
        "Durations",
        "One clip of each class",
        "What the class explains of each row",
        "Features by class",
    ]
    for block in page.blocks:
        if isinstance(block, Picture):
            svg_of(block)


def test_an_infinite_f_is_no_number_for_json():
    groups = np.repeat([0, 1], 4)
    values = groups[:, None].astype(float)
    table = anova_table(anova(values, groups=groups), feature="f", rows=["r"], statistic="mean")
    tested = FeatureTests(table, 8, 8, 8, 2)
    report, page = report_and_page(clips_of([["c0"]] * 8), names_of(2), tested=tested)
    json.dumps(report.to_dict(), allow_nan=False)
    (row,) = report.anova["rows"]
    assert row["p_value"] == 0
    assert table_called(page, "ANOVA of every row").rows[0][4] == "< 1e-300"


@pytest.mark.parametrize("n_clips", [0, 1, 40])
@pytest.mark.parametrize(
    "names", [{"c0": "one"}, {ODD: ODD, "c1": "$", "": ""}], ids=["one", "odd"]
)
def test_odd_data_sets_make_a_page(n_clips, names, svg_of):
    codes = list(names)
    clips = clips_of([[codes[i % len(codes)]] for i in range(n_clips)], splits=("train", ODD))
    tested = comparison_of(names, n_clips, feature=ODD)
    examples = examples_of(codes if n_clips else [])
    report, page = report_and_page(clips, names, examples=examples, tested=tested)
    json.dumps(report.to_dict(), allow_nan=False)
    for block in page.blocks:
        if isinstance(block, Picture):
            svg_of(block)
    html = render_page(page)
    assert "<b>" not in html
    assert "&lt;b&gt;$x_1$" in html
