"""Claims against results of known quality: what holds, what does not, what cannot be told."""

from __future__ import annotations

import csv
import io
import json

import numpy as np
import pytest

from pipeline.evaluation.runs.scored import Scored
from pipeline.evaluation.statistics.comparison import EvaluationRun, compare, resampled_runs
from pipeline.reproduction.claims import anova_claims, differences, order_claims
from pipeline.reproduction.plan import Claim, FigurePlan, Scoring
from pipeline.reproduction.results import result_row, results_csv
from schemas.reproduction import ReproductionRecord, ResultRow, TrainingRow

CODES = ["cel", "pia", "voi"]
FIGURE = FigurePlan(
    "windows",
    "windows",
    scorings=tuple(Scoring(name, (name,)) for name in ("good", "same", "bad", "absent")),
    claims=(
        Claim("good beats bad", "good", "bad"),
        Claim("bad beats good", "bad", "good"),
        Claim("good beats its like", "good", "same"),
        Claim("good beats what is not there", "good", "absent"),
    ),
)


@pytest.fixture(scope="module")
def runs():
    rng = np.random.default_rng(1)
    truth = rng.random((150, 3)) < 0.3
    songs = [f"song {k // 3}" for k in range(150)]

    def evaluation(name, skill, seed):
        noise = np.random.default_rng(seed).random(truth.shape)
        scored = Scored([f"{k}" for k in range(150)], CODES, truth, noise + skill * truth, songs)
        return EvaluationRun(name, {}, dict.fromkeys(CODES, 0.7), scored)

    made = [evaluation("good", 0.6, 5), evaluation("same", 0.6, 5), evaluation("bad", 0.1, 6)]
    found = resampled_runs(made, CODES, n_resamples=300)
    return {one.evaluation.name: one for one in found}


def test_an_order_holds_or_not_by_paired_tests(runs):
    claims = order_claims(FIGURE, runs)
    assert [one.verdict for one in claims] == ["holds", "fails", "undecided", "not tested"]
    first, turned, alike, absent = claims
    assert first.low > 0 and first.difference == -turned.difference
    assert first.p_holm == pytest.approx(3 * first.p_value)  # three were tested
    assert (alike.difference, alike.p_holm) == (0.0, 1.0)
    assert absent.detail == "good or absent has no result" and absent.p_value is None


def test_the_tests_are_those_of_a_comparison(runs):
    record = compare(
        [runs[name].evaluation for name in ("good", "bad")],
        class_names={code: code for code in CODES},
        n_resamples=300,
    )
    test = record.models[1]["against_best"]["macro_f1_present"]
    turned = order_claims(FIGURE, runs)[1]
    assert (turned.difference, turned.low, turned.high) == (
        *(test["difference"], test["low"], test["high"]),
    )
    assert record.n_groups == 50


def test_differences_are_to_the_best_of_each_test_split(runs):
    rows = differences(FIGURE, runs)
    assert [(row.name, row.best) for row in rows] == [("same", "good"), ("bad", "good")]
    assert rows[1].difference < 0 and rows[1].high < 0
    apart = FigurePlan(
        "f", "f", scorings=(Scoring("good", ("good",)), Scoring("bad", ("bad",), "audioset"))
    )
    assert differences(apart, runs) == []


def feature(name, n_rows, n_significant, n_untested=0):
    end = {"p_value": 0.02, "row": "row"}
    counts = {"n_rows": n_rows, "n_significant": n_significant, "n_untested": n_untested}
    return {"feature": name, **counts, "best": end, "worst": end}


@pytest.mark.parametrize(
    ("features", "verdicts"),
    [
        ([feature("descriptors", 40, 40), feature("tonnetz", 6, 0)], ["holds", "holds"]),
        ([feature("descriptors", 40, 39, 1), feature("tonnetz", 6, 1)], ["holds", "fails"]),
        ([feature("descriptors", 40, 39), feature("tonnetz", 6, 0, 6)], ["fails", "not tested"]),
        ([], ["not tested", "not tested"]),
    ],
)
def test_the_anova_is_held_against_the_reports(features, verdicts):
    claims = anova_claims("descriptors", {"features": features})
    assert [one.verdict for one in claims] == verdicts
    if features and verdicts[0] == "fails":
        assert claims[0].detail == "39 of 40 rows have p < 0.001; the largest p is 0.02 (row)"
    assert anova_claims("descriptors", None)[0].verdict == "not tested"


def test_clips_that_show_nothing_say_nothing_of_tonnetz():
    """That it does not differ is worth something only where the same clips show a difference."""
    features = [feature("descriptors", 40, 0), feature("tonnetz", 6, 0)]
    claim = anova_claims("descriptors", {"features": features})[1]
    assert (claim.text, claim.verdict) == ("Tonnetz does not.", "undecided")
    assert claim.detail.endswith("no descriptor differs either, so the clips may be too few")
    alone = anova_claims("descriptors", {"features": features[1:]})[1]
    assert alone.verdict == "undecided"


def test_results_are_kept_as_json_and_csv(runs):
    trained = [TrainingRow(name, "irmas", name, "done", n_parameters=9) for name in ("good", "bad")]
    row = result_row(Scoring("good", ("good",)), runs["good"])
    low, high = row.intervals["macro_f1_present"]
    assert low < row.figures["macro_f1_present"] < high and row.n_items == 150
    rows = [row, ResultRow("both", ["good", "bad"], "irmas", "failed", "why, so")]
    claims = order_claims(FIGURE, runs)
    record = ReproductionRecord("harmony", {}, True, trained, rows, claims=claims)
    text = json.dumps(record.to_dict(), allow_nan=False)
    assert ReproductionRecord.from_dict(json.loads(text)) == record
    assert record.n_failed == 1
    first, second = csv.DictReader(io.StringIO(results_csv(record)))
    assert float(first["macro_f1_present_low"]) == low and first["n_parameters"] == "9"
    assert (second["models"], second["trained_on"], second["n_items"]) == ("good+bad", "irmas", "")
    assert second["reason"] == "why, so"
