"""Comparison of models: order, paired tests, and what must be the same."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
from sklearn.metrics import f1_score, hamming_loss, precision_recall_fscore_support

from pipeline.errors import SpecMismatch, UsageError
from pipeline.evaluation.runs.scored import Scored, from_table, to_table
from pipeline.evaluation.statistics.comparison import EvaluationRun, compare
from pipeline.evaluation.statistics.significance import holm
from pipeline.report.page import Table, render_page
from pipeline.report.pages import comparison_page as pages
from schemas.comparison import ComparisonRecord
from schemas.scores import scores_schema

CODES = ["cel", "pia", "voi"]
NAMES = {"cel": "cello", "pia": "<piano>", "voi": "human voice"}
ORIGIN = {"folder": "f", "model_id": "m", "aggregation": "s2", "thresholds": "own", "scored": "d"}


def contender(name, skill, seed=0, *, n_items=150):
    rng = np.random.default_rng(1)
    truth = rng.random((n_items, 3)) < 0.3
    noise = np.random.default_rng(seed + 100).random(truth.shape)
    scores = (1 - skill) * noise + skill * truth
    uris = [f"item {k}" for k in range(n_items)]
    return EvaluationRun(
        name, ORIGIN, dict.fromkeys(CODES, 0.5), Scored(uris, CODES, truth, scores, uris)
    )


def run(*contenders):
    return compare(contenders, class_names=NAMES, n_resamples=200).to_dict()


def comparison_page(report, *, provenance):
    record = ComparisonRecord.from_dict(report)
    return pages.comparison_page(replace(record, provenance=provenance))


def with_scored(one, **changes):
    fields = {**vars(one.scored), **changes}
    return EvaluationRun("other", ORIGIN, one.thresholds, Scored(**fields))


def test_best_first_and_the_worse_one_is_surely_worse():
    best = contender("best", 0.4, 1)
    scores = best.scored.scores.copy()
    hit = np.argwhere(best.scored.truth & (scores >= 0.5))[0]
    scores[tuple(hit)] = 0.0  # one hit less
    good = with_scored(best, scores=scores)
    report = run(contender("worse", 0.1), best, good)
    json.dumps(report, allow_nan=False)
    assert report["best"] == "best"
    assert [row["name"] for row in report["models"]] == ["best", "other", "worse"]
    best, good, worse = report["models"]
    assert best["against_best"] is None
    assert good["against_best"]["macro_f1"]["p_value"] > 0.05
    assert worse["against_best"]["macro_f1"]["p_value"] < 0.02
    assert worse["against_best"]["mean_average_precision"]["high"] < 0
    difference = worse["against_best"]["macro_f1"]["difference"]
    assert difference == pytest.approx(worse["macro_f1"] - best["macro_f1"])


def test_figures_are_scikit_learns_and_lie_in_their_intervals():
    one = contender("one", 0.3)
    row = run(one, contender("two", 0.2, 3))["models"][0]
    expected = f1_score(one.scored.truth, one.scored.scores >= 0.5, average=None)
    assert row["macro_f1"] == pytest.approx(expected.mean())
    assert [each["f1"] for each in row["per_class"]] == pytest.approx(expected)
    for each in row["per_class"]:
        assert each["interval"]["low"] < each["f1"] < each["interval"]["high"]


def test_the_reports_figures_are_shown_and_tested_against_the_best():
    one, two = contender("one", 0.4), contender("two", 0.1, 3)
    report = run(one, two)
    best, worse = report["models"]
    named = one.scored.scores >= 0.5
    assert best["hamming_score"] == pytest.approx(1 - hamming_loss(one.scored.truth, named))
    precision, recall, _, _ = precision_recall_fscore_support(
        one.scored.truth, named, average="macro"
    )
    assert (best["macro_precision_present"], best["macro_recall_present"]) == pytest.approx(
        (precision, recall)
    )
    for name in ("hamming_score", "macro_precision_present", "macro_recall_present"):
        assert best["intervals"][name]["low"] < best[name] < best["intervals"][name]["high"]
        test = worse["against_best"][name]
        assert test["difference"] == pytest.approx(worse[name] - best[name])
        assert test["p_holm"] == test["p_value"]  # one test alone
    page = comparison_page(report, provenance={})
    tables = {block.title: block for block in page.blocks if isinstance(block, Table)}
    shown = tables["Hamming score, precision and recall"]
    assert [row[1] for row in shown.rows] == [best["hamming_score"], worse["hamming_score"]]
    tested = tables["Against the best: Hamming score, precision and recall"]
    assert tested.rows[0][0] == "two"
    assert tested.rows[0][1] == worse["against_best"]["hamming_score"]["difference"]
    assert len(tested.rows[0]) == len(tested.columns) == 7


def test_thresholds_that_were_chosen_in_different_ways_are_said():
    one, two = contender("one", 0.4), contender("two", 0.1, 3)
    tuned = replace(two, origin=ORIGIN | {"thresholds": "tuned"})
    said = "Thresholds were chosen in different ways (one: own, two: tuned), so F1"
    assert said in render_page(comparison_page(run(one, tuned), provenance={}))
    assert "in different ways" not in render_page(comparison_page(run(one, two), provenance={}))


def test_what_the_trainings_took_is_shown_where_it_is_known():
    one, two = contender("one", 0.4), contender("two", 0.1, 3)
    known = replace(one, training={"seconds": 754.0, "peak_memory_mib": 3210.4})
    older = replace(two, training={"seconds": None, "peak_memory_mib": None})
    page = comparison_page(run(known, older), provenance={})
    (table,) = [block for block in page.blocks if block.title == "What the trainings took"]
    assert table.rows == [("one", "13 min", "3,210 MiB"), ("two", None, None)]
    assert table.is_numeric == [False, True, True]
    assert run(known, older)["models"][0]["training"]["seconds"] == 754.0
    titles = [block.title for block in comparison_page(run(one, two), provenance={}).blocks]
    assert "What the trainings took" not in titles


def test_order_of_items_and_classes_does_not_matter():
    one, two = contender("one", 0.3), contender("two", 0.2, 3)
    order = np.random.default_rng(0).permutation(150)
    turned = two.scored.ordered([two.scored.uris[k] for k in order], CODES[::-1])
    assert turned.codes == CODES[::-1]
    assert run(one, two) == run(one, EvaluationRun("two", ORIGIN, two.thresholds, turned))


def test_the_same_scores_twice_differ_by_nothing():
    one = contender("one", 0.3)
    again = EvaluationRun("again", ORIGIN, one.thresholds, one.scored)
    test = run(one, again)["models"][1]["against_best"]["macro_f1"]
    assert test == {"difference": 0.0, "low": 0.0, "high": 0.0, "p_value": 1.0, "p_holm": 1.0}


def test_many_tests_are_corrected_and_recordings_drawn_whole():
    runs = [contender(f"model {k}", 0.3, k) for k in range(6)]
    report = run(*runs)
    assert report["n_groups"] == report["n_items"]
    tests = [row["against_best"]["macro_f1"] for row in report["models"][1:]]
    assert [one["p_holm"] for one in tests] == holm([one["p_value"] for one in tests])
    assert max(one["p_holm"] for one in tests) > max(one["p_value"] for one in tests)
    songs = [f"song {k // 10}" for k in range(150)]
    grouped = run(with_scored(runs[0], groups=songs), *runs[1:])  # one says it: it holds for all
    assert grouped["n_groups"] == 15
    assert "of the 15 recordings they are from, drawn whole" in render_page(
        comparison_page(grouped, provenance={})
    )


def test_what_must_be_the_same():
    one = contender("one", 0.3)
    part = one.scored.ordered(one.scored.uris[1:], CODES)
    with pytest.raises(UsageError, match=r"1 are in only one.*first is item 0; compare eval"):
        run(one, with_scored(one, **vars(part)))
    with pytest.raises(SpecMismatch, match=r"other and one have different classes.*sax, voi"):
        run(one, with_scored(one, codes=["cel", "pia", "sax"]))
    changed = one.scored.truth.copy()
    changed[[3, 7], 1] ^= True
    with pytest.raises(UsageError, match="another truth for 2 items, the first is item 3"):
        run(one, with_scored(one, truth=changed))
    with pytest.raises(UsageError, match="two or more"):
        run(one)


@pytest.mark.parametrize("n_items", [0, 1])
def test_hardly_any_items(n_items, svg_of):
    report = run(*(contender(name, 0.3, n_items=n_items) for name in ("a", "b")))
    json.dumps(report, allow_nan=False)
    assert report["models"][1]["against_best"]["mean_average_precision"]["p_value"] is None
    render_page(comparison_page(report, provenance={}))


def test_page_of_many_models():
    report = run(*(contender(f"model {k}", 0.1 + 0.03 * k, k) for k in range(9)))
    page = comparison_page(report, provenance={"git": "x"})
    blocks = {block.title: block for block in page.blocks}
    assert len(blocks["Models"].rows) == 9
    assert len(blocks["Against the best"].rows) == 8
    assert "The 2 models of the smallest macro F1 are left out" in blocks["F1 by class"].caption
    html = render_page(page)
    assert "<piano>" not in html
    assert "model 8" in page.lead


def test_scores_survive_parquets_schema():
    scored = contender("one", 0.3, n_items=20).scored
    table = to_table(scored)
    assert table.schema.equals(scores_schema(CODES), check_metadata=True)
    assert all(field.metadata[b"meaning"] for field in table.schema)
    again = from_table(table)
    assert again.uris == scored.uris
    assert again.codes == CODES
    assert again.groups == scored.groups
    assert from_table(table.drop_columns(["group"])).groups == scored.uris
    assert (again.truth == scored.truth).all()
    assert (again.scores == scored.scores.astype(np.float32)).all()
    empty = from_table(pa.Table.from_pylist([], scores_schema(CODES)))
    assert empty.truth.shape == empty.scores.shape == (0, 3)
