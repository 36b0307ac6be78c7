"""Curves, calibration and confusion: counts by hand, and pictures that are whole."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import confusion_matrix, roc_auc_score

from pipeline.evaluation.labels.calibration import reliability
from pipeline.evaluation.statistics.confusion import (
    KINDS,
    confusion_counts,
    confusion_dict,
    named_instead,
)
from pipeline.report.plots import curves
from pipeline.report.plots.confusion import confusion_matrices, instead_map
from pipeline.report.plots.model_plots import class_scores
from tests.marks import slow

MAX_URI_CHARS = 160_000


def scored(n_items, n_classes):
    rng = np.random.default_rng(0)
    truth = rng.random((n_items, n_classes)) < 0.2
    return truth, np.clip(0.5 * rng.random(truth.shape) + 0.4 * truth, 0, 1).astype(np.float32)


def names_of(n_classes):
    return {f"c{k}": f"class {k}" for k in range(n_classes)}


@pytest.mark.parametrize(("n_items", "n_classes"), [(0, 3), (1, 1), (1000, 11), slow(100, 40)])
def test_every_picture_is_a_whole_image(n_items, n_classes, svg_of):
    truth, scores = scored(n_items, n_classes)
    names = names_of(n_classes)
    counts = confusion_counts(truth, scores >= 0.5)
    instead = named_instead(truth, scores >= 0.5)
    diagrams = {name: reliability(truth, scores) for name in ("raw", "platt", "another")}
    for picture in (
        curves.roc_curves(truth, scores, thresholds=0.5, class_names=names),
        curves.pr_curves(truth, scores, thresholds=0.5, class_names=names),
        curves.reliability(diagrams),
        confusion_matrices(counts, class_names=names),
        instead_map(instead, counts[:, 1], class_names=names),
    ):
        svg_of(picture)
        assert picture.title
        assert picture.caption
        assert len(picture.data_uri) < max(MAX_URI_CHARS, 9_500 * n_classes), picture.title


def test_thinned_roc_keeps_its_area():
    truth, scores = (column.ravel() for column in scored(400, 11))
    scores = scores + np.random.default_rng(1).normal(scale=0.3, size=scores.shape)
    found = curves.roc(truth, scores, 100)
    false, true = found.fpr, found.tpr
    assert len(false) <= 100
    assert (false[0], true[0], false[-1], true[-1]) == (0, 0, 1, 1)
    assert np.trapezoid(true, false) == pytest.approx(roc_auc_score(truth, scores), abs=0.002)


@pytest.mark.parametrize("n_classes", [1, 2, 5])
def test_counts_are_scikit_learns(n_classes):
    truth, scores = scored(60, n_classes)
    named = scores >= 0.4
    counts = confusion_counts(truth, named)
    for k in range(n_classes):
        (tn, fp), (fn, tp) = confusion_matrix(truth[:, k], named[:, k], labels=[False, True])
        assert counts[k].tolist() == [tp, fn, fp, tn]
    assert confusion_counts(truth[:0], named[:0]).tolist() == [[0] * 4] * n_classes


def test_named_instead_by_hand():
    truth = np.array([[1, 0, 0], [1, 1, 0], [1, 0, 0], [0, 0, 1]], bool)
    named = np.array([[0, 1, 1], [0, 1, 0], [1, 1, 0], [0, 0, 0]], bool)
    assert named_instead(truth, named).tolist() == [[0, 1, 1, 1], [0, 0, 0, 0], [0, 0, 0, 1]]


def test_a_missed_item_is_in_some_column_and_a_class_never_in_its_own():
    truth, scores = scored(200, 6)
    named = scores >= 0.6
    instead = named_instead(truth, named)
    missed = confusion_counts(truth, named)[:, KINDS.index("false_negative")]
    assert (np.diag(instead[:, :6]) == 0).all()
    assert (instead.sum(axis=1) >= missed).all()
    assert (instead <= missed[:, None]).all()


def test_confusion_as_plain_values():
    truth = np.array([[True, False]])
    found = confusion_dict(truth, ~truth, class_codes=["cel", "pia"])
    assert found["per_class"][0] == {
        "code": "cel",
        "true_positive": 0,
        "false_negative": 1,
        "false_positive": 0,
        "true_negative": 0,
    }
    assert found["named_instead"] == {
        "columns": ["cel", "pia", None],
        "rows": [[0, 1, 0], [0, 0, 0]],
    }


def test_intervals_are_drawn_where_there_are_some(svg_of):
    names = {"cel": "cello", "pia": "piano"}
    ranges = {"F1": [(0.4, 0.7), (None, None)]}
    plain = class_scores({"F1": [0.5, 0.0]}, class_names=names)
    ranged = class_scores({"F1": [0.5, 0.0]}, class_names=names, ranges=ranges)
    svg_of(ranged)
    assert plain.data_uri != ranged.data_uri
    assert "95% intervals" in ranged.caption
    assert "intervals" not in plain.caption
