"""Three values of a label: there, not there, unknown; and that no figure counts the third."""

import json
from dataclasses import asdict

import numpy as np
import pytest

from pipeline.evaluation.labels import calibration, thresholds
from pipeline.evaluation.labels.targets import joined_groups, target_matrix
from pipeline.evaluation.labels.validation import Choice, Validation, compare_methods
from pipeline.evaluation.runs.scored import Scored, from_table, to_table
from pipeline.evaluation.statistics.bootstrap import resample
from pipeline.evaluation.statistics.confusion import confusion_counts, named_instead
from pipeline.evaluation.statistics.metrics import multilabel_metrics
from tests.report.records import evaluation_report

CODES = ["cel", "pia", "voi"]
NAN = np.nan


@pytest.fixture
def items(rng):
    """Items whose truth is partly unknown, and scores: a copy of the truth, and noise."""
    truth = (rng.random((80, 3)) < 0.4).astype(np.float32)
    scores = (rng.random((80, 3)) + truth) / 2
    truth[rng.random((80, 3)) < 0.2] = NAN
    return truth, scores


def test_labels_become_three_values():
    matrix = target_matrix([["cel"], ["voi"], []], [["pia"], None, []], CODES)
    np.testing.assert_array_equal(matrix, [[1, NAN, 0], [0, 0, 1], [0, 0, 0]])
    assert matrix.dtype == np.float32
    assert target_matrix([], [], CODES).shape == (0, 3)


def test_what_sounds_together_has_what_any_of_it_has():
    single = np.array([[0, 0, NAN], [1, 0, 1], [NAN, 0, NAN], [0, NAN, 1], [0, 0, 0]], np.float32)
    found = joined_groups(single, np.array([0, 2, 4]))
    np.testing.assert_array_equal(found, [[1, 0, 1], [NAN, NAN, 1], [0, 0, 0]])


def test_a_class_is_measured_on_the_items_of_which_it_is_known(items):
    truth, scores = items
    whole = multilabel_metrics(truth, scores, thresholds=0.5, class_codes=CODES)
    for k, row in enumerate(whole.per_class):
        known = ~np.isnan(truth[:, k])
        alone = multilabel_metrics(
            truth[known, k : k + 1] > 0, scores[known, k : k + 1], thresholds=0.5, class_codes=["x"]
        ).per_class[0]
        assert row.n_unknown == (~known).sum() > 0
        assert asdict(row) == asdict(alone) | {"code": row.code, "n_unknown": row.n_unknown}
    known = ~np.isnan(truth)
    right = (truth == 1) == (scores >= 0.5)
    assert whole.hamming_score == pytest.approx(right[known].mean())
    assert whole.exact_match == pytest.approx((right | ~known).all(axis=1).mean())


def test_what_is_unknown_changes_no_figure_whatever_its_score(items):
    truth, scores = items
    other = np.where(np.isnan(truth), 1 - scores, scores)

    def figures(values):
        metrics = multilabel_metrics(truth, values, thresholds=0.5, class_codes=CODES)
        drawn = resample(truth, values, thresholds=0.5, n_resamples=20)
        mapped = calibration.fit(truth, values, class_codes=CODES).to_dict()
        return [
            metrics.to_dict(),
            {name: value.tolist() for name, value in vars(drawn).items()},
            thresholds.tuned(truth, values, class_codes=CODES).values,
            thresholds.for_precision(truth, values, class_codes=CODES, target=0.8).values,
            calibration.reliability(truth, values).to_dict(),
            calibration.calibration_errors(truth, values),
            mapped,
            confusion_counts(truth, values >= 0.5).tolist(),
            named_instead(truth, values >= 0.5).tolist(),
            compare_methods(
                Validation(truth, {"s1": values}, {"s1": np.full(3, 0.5)}), class_codes=CODES
            ),
        ]

    assert figures(scores) == figures(other)
    assert confusion_counts(truth, scores >= 0.5).sum() == (~np.isnan(truth)).sum()


def test_with_nothing_unknown_floats_are_bools(items):
    scores = items[1]
    truth = scores > 0.6
    found, expected = (
        multilabel_metrics(one, scores, thresholds=0.5, class_codes=CODES).to_dict()
        for one in (truth.astype(np.float32), truth)
    )
    assert found == expected


def test_an_item_of_which_nothing_is_known_does_not_count(items):
    truth, scores = items
    more = np.concatenate([truth, np.full((1, 3), NAN, np.float32)])
    found = multilabel_metrics(
        more, np.concatenate([scores, np.ones((1, 3))]), thresholds=0.5, class_codes=CODES
    )
    before = multilabel_metrics(truth, scores, thresholds=0.5, class_codes=CODES)
    for figure in (
        "hamming_score", "exact_match", "macro_f1", "micro_f1", "samples_f1",
        "label_ranking_average_precision",
    ):  # fmt: skip
        assert getattr(found, figure) == pytest.approx(getattr(before, figure)), figure


def test_scores_keep_what_is_unknown_and_older_tables_have_none(items):
    truth, scores = items
    uris = [str(k) for k in range(len(truth))]
    table = to_table(Scored(uris, CODES, truth, scores.astype(np.float32), uris))
    np.testing.assert_array_equal(from_table(table).truth, truth)
    older = from_table(table.drop_columns(["unknown"])).truth
    np.testing.assert_array_equal(older, np.nan_to_num(truth))


def test_the_page_says_what_was_left_out(items):
    truth, scores = items
    metrics = multilabel_metrics(truth, scores, thresholds=0.5, class_codes=CODES)
    report, page = evaluation_report(
        metrics, truth=truth, scores=scores, class_codes=CODES,
        class_names=dict(zip(CODES, CODES, strict=True)), history=[], build=None, provenance={},
        choice=Choice("s2"),
    )  # fmt: skip
    json.dumps(report, allow_nan=False)
    n_unknown = int(np.isnan(truth).sum())
    assert any(f"{n_unknown} answers are left out" in note for note in page.notes)
    (table,) = [one for one in page.blocks if one.title == "Per class"]
    assert table.columns[3] == "unknown"
    assert sum(row[3] for row in table.rows) == n_unknown
