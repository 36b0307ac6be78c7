"""What is chosen on validation: aggregation, thresholds, calibration, and the page that says so."""

from __future__ import annotations

import json

import numpy as np
import pytest

from pipeline.errors import UsageError
from pipeline.evaluation.labels.aggregate import METHODS
from pipeline.evaluation.labels.validation import (
    Choice,
    Validation,
    choose_thresholds,
    compare_calibrations,
    compare_methods,
    compare_rules,
)
from pipeline.evaluation.statistics.metrics import multilabel_metrics
from pipeline.report.page import Table, render_page
from tests.report.records import evaluation_report

CODES = ["cel", "pia", "voi"]


def items(seed, n_items=150, skill=0.35):
    rng = np.random.default_rng(seed)
    truth = rng.random((n_items, 3)) < 0.3
    return truth, (1 - skill) * rng.random(truth.shape) + skill * truth


def validation(n_items=150, best="max"):
    """Return scores of which one aggregation's are better than the others'."""
    truth, _ = items(0, n_items)
    scores = {method: items(0, n_items, 0.45 if method == best else 0.25)[1] for method in METHODS}
    return Validation(truth, scores, {method: np.full(3, 0.5) for method in METHODS})


def table(page, title):
    (found,) = [b for b in page.blocks if isinstance(b, Table) and b.title == title]
    return found


def report_of(held, choice, n_items=150):
    truth, scores = items(1, n_items)
    limits = choose_thresholds(choice, held, own=0.5, class_codes=CODES).array()
    return evaluation_report(
        multilabel_metrics(truth, scores, thresholds=limits, class_codes=CODES),
        truth=truth,
        scores=scores,
        class_codes=CODES,
        class_names={"cel": "cello", "pia": "piano", "voi": "<voice>"},
        history=[],
        build=None,
        provenance={},
        choice=choice,
        own=np.full(3, 0.5),
        held=held,
    )


@pytest.fixture(scope="module")
def reported():
    return report_of(validation(), Choice("s2", "tuned"))


@pytest.mark.parametrize("best", METHODS)
def test_the_best_aggregation_comes_first(best):
    rows = compare_methods(validation(best=best), class_codes=CODES)
    assert rows[0]["method"] == best
    assert {row["method"] for row in rows} == set(METHODS)
    assert all(row["macro_f1_tuned"] >= row["macro_f1"] for row in rows)


def test_rules_choose_on_validation_not_on_what_is_measured():
    held = validation()
    other = Validation(held.truth, {m: s / 2 for m, s in held.scores.items()}, held.own)
    one, half = (
        choose_thresholds(Choice("s1", "tuned"), v, own=0.5, class_codes=CODES).array()
        for v in (held, other)
    )
    assert half == pytest.approx(one / 2)
    fixed = choose_thresholds(Choice("s1", "fixed"), None, own=0.2, class_codes=CODES)
    own = choose_thresholds(Choice("s1", "own"), None, own=[0.1, 0.2, 0.3], class_codes=CODES)
    assert fixed.array().tolist() == [0.5] * 3
    assert own.array().tolist() == [0.1, 0.2, 0.3]


def test_rules_that_cannot_be_had():
    with pytest.raises(UsageError, match="'tuned' need validation"):
        choose_thresholds(Choice("s1", "tuned"), None, own=0.5, class_codes=CODES)
    with pytest.raises(UsageError, match="expected one of own, fixed"):
        choose_thresholds(Choice("s1", "best"), validation(), own=0.5, class_codes=CODES)


def test_rules_are_compared_on_the_items():
    truth, scores = items(1)
    rows = compare_rules(
        truth, scores, choice=Choice("s2"), held=validation(), own=0.9, class_codes=CODES
    )
    by_rule = {row["rule"]: row for row in rows}
    assert list(by_rule) == ["own", "fixed", "tuned", "precision"]
    assert by_rule["own"]["macro_f1"] < by_rule["tuned"]["macro_f1"]
    assert by_rule["precision"]["macro_precision"] > by_rule["tuned"]["macro_precision"]
    alone = compare_rules(truth, scores, choice=Choice("s2"), held=None, own=0.9, class_codes=CODES)
    assert alone == rows[:2]


def test_calibration_is_fitted_on_validation_and_measured_on_the_items():
    truth, scores = items(1, 2000)
    held = Validation(*_as_held(items(2, 2000)))
    found, diagrams = compare_calibrations(
        truth, scores, aggregation="s2", held=held, class_codes=CODES
    )
    raw, platt = (found["scores"][name]["macro"] for name in ("raw", "platt"))
    assert platt < 0.08  # the truth there goes up in steps, which no logistic curve has
    assert raw > 2 * platt
    assert list(diagrams) == ["raw", "platt"]
    assert found["scores"]["raw"]["map"] is None
    assert set(found["scores"]["platt"]["map"]["cel"]) == {"slope", "offset"}


def _as_held(of):
    truth, scores = of
    return truth, {"s2": scores}, {"s2": np.full(3, 0.5)}


def test_page_and_json_with_validation(reported):
    report, page = reported
    json.dumps(report, allow_nan=False)
    assert report["aggregation"]["best"] == "max"
    assert report["thresholds"]["used"] == "tuned"
    methods = table(page, "Windows to clips, on validation")
    assert methods.rows[0][0].startswith("max")
    assert [row[0] for row in methods.rows if "used here" in row[0]] == [
        "S2: the sum, divided by the largest class's (used here)"
    ]
    used = [row for row in table(page, "Thresholds").rows if "used here" in row[0]]
    assert used[0][3] == report["metrics"]["macro_f1"]
    html = render_page(page)
    assert "ECE, platt" in html
    assert "fewer than 25 validation clips have these classes" not in html
    assert "<voice>" not in html


def test_intervals_in_json_hold_the_figures(reported):
    report, _ = reported
    found = report["intervals"]
    for name in ("macro_f1", "micro_f1", "mean_average_precision"):
        assert found[name]["low"] < report["metrics"][name] < found[name]["high"]
    assert [row["code"] for row in found["per_class"]] == CODES


def test_page_without_validation_and_without_items():
    report, page = report_of(None, Choice("s2"), n_items=0)
    json.dumps(report, allow_nan=False)
    assert report["aggregation"]["best"] is None
    assert "Windows to clips, on validation" not in [block.title for block in page.blocks]
    assert "ECE, platt" not in render_page(page)


def test_empty_validation_leaves_the_defaults():
    truth, scores = items(1)
    held = validation(n_items=0)
    choice = Choice("s2", "tuned")
    rules = compare_rules(truth, scores, choice=choice, held=held, own=0.4, class_codes=CODES)
    rule = {row["rule"]: row for row in rules}["tuned"]
    assert rule["thresholds"] == dict.fromkeys(CODES, 0.5)
    assert len(rule["notes"]) == 3
    assert [row["loss"] for row in compare_methods(held, class_codes=CODES)] == [None] * len(
        METHODS
    )
    found, _ = compare_calibrations(truth, scores, aggregation="s2", held=held, class_codes=CODES)
    assert list(found["scores"]) == ["raw"]


def test_what_is_true_of_several_classes_is_said_once():
    report, page = report_of(validation(n_items=0), Choice("s2", "tuned"))
    note = table(page, "Thresholds").note
    assert note.startswith("cel, pia, voi: not in validation, so their threshold is 0.5.")
    assert len([x for row in report["thresholds"]["rules"] for x in row["notes"]]) == 6
    assert note.count("not in validation") == 1
