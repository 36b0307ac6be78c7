"""Two models' labels of the same tracks: what is paired, the figures by class, tables and page."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from scipy import stats
from sklearn.metrics import cohen_kappa_score, jaccard_score

from pipeline.evaluation.runs import tag_differences as module
from pipeline.evaluation.runs.tag_differences import (
    APART,
    Pairs,
    Tagged,
    changed,
    differences_schema,
    differences_table,
    distance,
    findings,
    holm,
    mcnemar,
    pair,
)
from pipeline.report.page import render_page
from pipeline.report.pages.tag_differences_page import summary_lines, tag_differences_page
from pipeline.report.plots import tag_differences_plots as plots
from schemas.comparison import DifferencesRecord

CODES = ["cel", "pia", "voi"]
HOSTILE = "<script>alert('x')</script>&\n\"'.flac"


def texts(values):
    return pa.array(values, pa.large_string())


def side(rows):
    """Rows of uri, fingerprint and whether it is ok; scores tell the rows apart."""
    n = len(rows)
    scores = np.linspace(0, 1, n, dtype=np.float32)[:, None].repeat(3, axis=1)
    return Tagged(
        texts([row[0] for row in rows]),
        texts([row[1] for row in rows]),
        np.arange(n) + 1.0,
        np.array([row[2] for row in rows]),
        scores >= 0.5,
        scores,
    )


@pytest.fixture
def pairs(rng):
    """800 tracks; B hears the piano less often and nothing else differently but by noise."""
    a = rng.beta(0.7, 1.5, (800, 3)).astype(np.float32)
    b = np.clip(a + rng.normal(0, 0.1, a.shape) - [0, 0.15, 0], 0, 1).astype(np.float32)
    uris = texts([f"{k}.flac" for k in range(799)] + [HOSTILE])
    known = texts([f"blake2b:{k:032x}" for k in range(800)])
    return Pairs(uris, known, np.full(800, 9.5), a >= 0.5, b >= 0.5, a, b, n_unverified=0)


def report_of(pairs, **changes):
    table = differences_table(pairs, CODES)
    one = {
        "folder": "/tags/<b>",
        "model_id": "m<1>",
        "n_tracks": 900,
        "n_failed": 3,
        "run_id": None,
        "catalog": "/music",
        "engine": {"name": "torch", "precision": "f32"},
        "complete": False,
        "identity": {"model_id": "m", "gate": 0.2, "thresholds": dict.fromkeys(CODES, 0.5)},
    }
    values = {
        "a": one,
        "b": one | {"identity": None, "engine": None, "complete": None},
        "class_names": {"cel": "cello", "pia": "<piano>", "voi": "human voice"},
        "classes_only_a": ["<org>"],
        "classes_only_b": [],
        **findings(pairs, CODES),
        "n_compared": len(pairs.uris),
        "n_unverified": 2,
        "apart": {"only_a": 1, "failed_b": 0},
        "apart_first": {"only_a": [HOSTILE], "failed_b": []},
        "largest": table.slice(0, 100).drop_columns(["scores_a", "scores_b"]).to_pylist(),
        "max_changed": 0.05,
        "past_limit": True,
        "provenance": {"python": "3"},
    }
    return DifferencesRecord(**values | changes)


def test_tracks_are_paired_by_uri_and_bytes():
    a = side(
        [
            ("1", "x", True),
            ("only a", "x", True),
            ("new bytes", "x", True),
            ("2", "y", True),
            ("fails in a", None, False),
            ("fails in b", "z", True),
            ("fails", None, False),
            ("unread", None, True),
        ]
    )
    b = side(
        [
            ("unread", "q", True),
            ("2", "y", True),
            ("fails", "x", False),
            ("only b", "x", True),
            ("fails in b", None, False),
            ("fails in a", "y", True),
            ("1", "x", True),
            ("new bytes", "y", True),
        ]
    )
    pairs, unmatched = pair(a, b)
    assert pairs.uris.to_pylist() == ["1", "2", "unread"]
    assert pairs.n_unverified == 1
    assert pairs.duration_s.tolist() == [1, 4, 8]
    rows_a, rows_b = [0, 3, 7], [6, 1, 0]
    assert (pairs.scores_a == a.scores[rows_a]).all()
    assert (pairs.scores_b == b.scores[rows_b]).all()
    assert (pairs.labels_a == a.labels[rows_a]).all()
    assert (pairs.labels_b == b.labels[rows_b]).all()
    assert unmatched.schema.equals(APART, check_metadata=True)
    assert [tuple(row.values()) for row in unmatched.to_pylist()] == [
        ("only a", "only_a"),
        ("only b", "only_b"),
        ("new bytes", "other_bytes"),
        ("fails in a", "failed_a"),
        ("fails in b", "failed_b"),
        ("fails", "failed_both"),
    ]


def test_fingerprints_of_two_kinds_say_nothing_of_one_another():
    a = side(
        [("older", "blake2b:1", True), ("same", "packets:1", True), ("other", "packets:1", True)]
    )
    b = side(
        [("older", "packets:2", True), ("same", "packets:1", True), ("other", "packets:2", True)]
    )
    pairs, unmatched = pair(a, b)
    assert (pairs.uris.to_pylist(), pairs.n_unverified) == (["older", "same"], 1)
    assert unmatched["uri"].to_pylist() == ["other"]


def test_figures_of_classes_are_those_of_sklearn_and_scipy(pairs):
    rows = findings(pairs, CODES)["per_class"]
    json.dumps(rows, allow_nan=False)
    for k, row in enumerate(rows):
        a, b = pairs.labels_a[:, k], pairs.labels_b[:, k]
        x, y = pairs.scores_a[:, k].astype(float), pairs.scores_b[:, k].astype(float)
        assert row["code"] == CODES[k]
        assert (row["both"], row["neither"]) == ((a & b).sum(), (~a & ~b).sum())
        assert (row["only_a"], row["only_b"]) == ((a & ~b).sum(), (b & ~a).sum())
        assert (row["share_a"], row["share_b"]) == (a.mean(), b.mean())
        assert row["kappa"] == pytest.approx(cohen_kappa_score(a, b))
        assert row["pearson"] == pytest.approx(stats.pearsonr(x, y).statistic)
        assert row["spearman"] == pytest.approx(stats.spearmanr(x, y).statistic)
        assert row["mean_difference"] == pytest.approx((y - x).mean())
    piano = rows[1]
    assert piano["only_a"] > 5 * piano["only_b"]
    assert piano["p_holm"] < 1e-6 < 0.05 < rows[0]["p_holm"]
    assert [row["p_holm"] for row in rows] == holm([row["p_value"] for row in rows])


@pytest.mark.parametrize(("only_a", "only_b"), [(0, 0), (0, 6), (3, 9), (5, 5), (40, 12)])
def test_mcnemar_is_exact(only_a, only_b):
    n, k = only_a + only_b, min(only_a, only_b)
    one_side = sum(math.comb(n, i) for i in range(k + 1)) / 2**n
    assert mcnemar(only_a, only_b) == pytest.approx(min(1.0, 2 * one_side))


def test_mcnemar_of_a_million():
    assert 0 <= mcnemar(400_000, 600_000) < 1e-300
    assert mcnemar(500_000, 500_000) == 1


def test_holm_keeps_order_and_never_exceeds_one():
    assert holm([0.04, 0.01, 0.03, 0.005]) == pytest.approx([0.06, 0.03, 0.06, 0.02])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([0.2]) == [0.2]


def test_figures_over_all(pairs):
    labels = findings(pairs, CODES)["labels"]
    a, b = pairs.labels_a, pairs.labels_b
    assert labels["changed"] == (a != b).any(axis=1).sum()
    assert labels["identical_share"] == pytest.approx((a == b).all(axis=1).mean())
    assert labels["changed_share"] + labels["identical_share"] == pytest.approx(1)
    expected = jaccard_score(a, b, average="samples", zero_division=1.0)
    assert labels["jaccard_mean"] == pytest.approx(expected)
    assert (labels["added"], labels["removed"]) == ((b & ~a).sum(), (a & ~b).sum())
    assert labels["lost_all"] == (a.any(axis=1) & ~b.any(axis=1)).sum() > 0
    assert labels["gained_first"] == (b.any(axis=1) & ~a.any(axis=1)).sum() > 0
    assert labels["per_track_a"] == pytest.approx(a.sum() / 800)


def test_grid_says_what_becomes_of_each_label(pairs, monkeypatch):
    a = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 0], [0, 0, 0], [0, 0, 0]], bool)
    b = np.array([[1, 1, 0], [1, 1, 0], [0, 0, 0], [0, 0, 1], [0, 0, 0]], bool)
    few = replace(pairs, labels_a=a, labels_b=b, scores_a=a * 0.5, scores_b=b * 0.5)
    expected = [[2, 1, 0, 1], [0, 1, 0, 0], [0, 0, 0, 0], [0, 0, 1, 1]]
    assert findings(few, CODES)["grid"] == expected
    monkeypatch.setattr(module, "_BLOCK", 2)
    assert findings(few, CODES)["grid"] == expected


def test_the_same_labels_twice_differ_by_nothing(pairs):
    same = replace(pairs, labels_b=pairs.labels_a, scores_b=pairs.scores_a)
    found = findings(same, CODES)
    assert found["labels"]["identical_share"] == found["labels"]["jaccard_mean"] == 1
    assert {row["p_holm"] for row in found["per_class"]} == {1.0}
    assert {row["kappa"] for row in found["per_class"]} == {1.0}
    assert differences_table(same, CODES).num_rows == 0


def test_a_class_without_variance_has_no_kappa_and_no_correlation(pairs):
    none, flat = np.zeros((800, 3), bool), np.full((800, 3), 0.1, np.float32)
    row = findings(replace(pairs, labels_a=none, labels_b=none, scores_a=flat), CODES)
    assert [row["per_class"][0][key] for key in ("kappa", "pearson", "spearman")] == [None] * 3
    assert row["per_class"][0]["p_value"] == 1


def test_tracks_without_scores_do_not_count_for_scores(pairs, svg_of):
    lacking = pairs.scores_b.copy()
    lacking[:300] = np.nan
    some = replace(pairs, scores_b=lacking)
    row = findings(some, CODES)["per_class"][0]
    x, y = (s[300:, 0].astype(float) for s in (pairs.scores_a, pairs.scores_b))
    assert row["pearson"] == pytest.approx(stats.pearsonr(x, y).statistic)
    table = differences_table(some, CODES)
    assert table["distance"].null_count == table["scores_b"].combine_chunks().field(0).null_count
    report = report_of(some)
    json.dumps(report.to_dict(), allow_nan=False)
    svg_of(plots.score_panels(report, some))
    nothing = replace(pairs, scores_a=np.full_like(lacking, np.nan))
    assert findings(nothing, CODES)["per_class"][0]["mean_difference"] is None
    svg_of(plots.score_panels(report_of(nothing), nothing))


def test_table_of_differences(pairs):
    table = differences_table(pairs, CODES)
    assert table.schema.equals(differences_schema(CODES), check_metadata=True)
    assert all(field.metadata[b"meaning"] for field in table.schema)
    at = {uri: k for k, uri in enumerate(pairs.uris.to_pylist())}
    n_before, far_before = 4, 2.0
    for row in table.to_pylist():
        k = at.pop(row["uri"])
        a, b = set(row["labels_a"]), set(row["labels_b"])
        assert a == {c for c, has in zip(CODES, pairs.labels_a[k], strict=True) if has}
        assert b == {c for c, has in zip(CODES, pairs.labels_b[k], strict=True) if has}
        assert (set(row["added"]), set(row["removed"])) == (b - a, a - b)
        assert row["fingerprint"] == f"blake2b:{k:032x}"
        assert list(row["scores_b"].values()) == pairs.scores_b[k].tolist()
        gap = pairs.scores_a[k].astype(float) - pairs.scores_b[k]
        assert row["distance"] == pytest.approx(np.sqrt((gap**2).mean()), rel=1e-5)
        n, far = len(a ^ b), row["distance"]
        assert n < n_before or (n == n_before and far <= far_before)
        n_before, far_before = n, far
    left = list(at.values())
    assert (pairs.labels_a[left] == pairs.labels_b[left]).all()
    rows = changed(pairs)
    assert table["distance"].to_pylist() == distance(pairs, rows).tolist()


def test_page_escapes_what_comes_from_outside(pairs):
    b = pairs.labels_b.copy()
    b[-1] = ~pairs.labels_a[-1]
    pairs = replace(pairs, labels_b=b)
    report = report_of(pairs)
    assert HOSTILE in [row["uri"] for row in report.largest]
    html = render_page(tag_differences_page(report, pairs))
    for raw in ("<script", "<piano>", "m<1>", "<org>", "/tags/<b>"):
        assert raw not in html
    assert "&lt;script&gt;alert" in html
    for words in ("&lt;org&gt;", "2 tracks have no fingerprint", "last run of A has not ended"):
        assert words in html
    assert "last run of B" not in html


def test_page_holds_pictures_and_the_figures(pairs, svg_of):
    report = report_of(pairs)
    blocks = {block.title: block for block in tag_differences_page(report, pairs).blocks}
    pictures = [block for block in blocks.values() if hasattr(block, "data_uri")]
    assert len(pictures) == 3
    for picture in pictures:
        svg_of(picture)
        assert len(picture.data_uri) < 160_000
    piano = blocks["Labels by class"].rows[1]
    assert piano[0] == "<piano> (pia)"
    assert piano[2] == report.per_class[1]["only_a"]
    assert dict((row[0], row[1:]) for row in blocks["The models"].rows)["gate"] == (0.2, None)
    assert blocks["Thresholds and scores by class"].rows[0][1:3] == (0.5, None)
    assert len(blocks["Where they disagree most"].rows) == 100


@pytest.mark.parametrize(
    ("n_classes", "words"), [(1, ""), (40, "The 16 classes that change least")]
)
def test_few_and_many_classes(n_classes, words, rng, svg_of):
    scores = rng.random((2, 30, n_classes)).astype(np.float32)
    uris = texts([str(k) for k in range(30)])
    pairs = Pairs(uris, uris, np.ones(30), *(scores >= 0.5), *scores, n_unverified=0)
    codes = [f"c{k}" for k in range(n_classes)]
    names = {"class_names": dict(zip(codes, codes, strict=True)), **findings(pairs, codes)}
    report = report_of(pairs_of_three(rng), **names)
    for picture in (
        plots.changes_bars(report),
        plots.labels_grid(report),
        plots.score_panels(report, pairs),
    ):
        svg_of(picture)
        assert words in picture.caption


def pairs_of_three(rng):
    scores = rng.random((2, 30, 3)).astype(np.float32)
    uris = texts([str(k) for k in range(30)])
    return Pairs(uris, uris, np.ones(30), *(scores >= 0.5), *scores, n_unverified=0)


def test_score_grid_counts_every_track_once(pairs):
    edges = replace(pairs, scores_a=np.ones((800, 3), np.float32))
    grid = plots.score_grid(edges, 0)
    assert grid.sum() == grid[-1].sum() == 800
    expected, _, _ = np.histogram2d(
        pairs.scores_a[:, 1].astype(float), pairs.scores_b[:, 1].astype(float), 40, ((0, 1), (0, 1))
    )
    assert np.abs(plots.score_grid(pairs, 1) - expected).sum() <= 2


def test_summary(pairs):
    report = report_of(pairs)
    lines = summary_lines(report)
    assert 5 <= len(lines) <= 9
    assert "800 tracks compared in 3 classes; not compared: only_a 1" in lines[2]
    assert f"({report.labels['changed_share']:.2%})" in lines[3]
    assert lines[5].startswith("most changed: pia +")


@pytest.mark.parametrize("n_tracks", [4, 30, 800])
def test_the_bar_of_counts_is_labelled_in_plain_numbers(pairs, n_tracks, monkeypatch):
    """Of few tracks, a logarithmic bar's ticks lie between powers of ten."""
    few = replace(
        pairs,
        **{key: value[:n_tracks] for key, value in vars(pairs).items() if key != "n_unverified"},
    )
    figures = []
    monkeypatch.setattr(
        plots,
        "as_picture",
        lambda figure, **_: (figure.draw_without_rendering(), figures.append(figure)),
    )
    plots.score_panels(report_of(few), few)
    (bar,) = [axes for axes in figures[0].axes if axes.get_ylabel() == "tracks"]
    texts = [x.get_text() for x in bar.get_yticklabels(which="both") if x.get_text()]
    assert len(texts) >= 2
    assert all(text.replace(",", "").isdigit() for text in texts)
