"""Pictures: each is a whole image, of moderate size, whatever it is given."""

from __future__ import annotations

import matplotlib
import numpy as np
import pytest
from matplotlib.figure import Figure
from sklearn.metrics import average_precision_score

from pipeline.errors import OUTCOME_OF
from pipeline.report.panels import unit_panels
from pipeline.report.picture import class_labels, drawing, tidy_grid
from pipeline.report.plots import curves, data_plots, model_plots
from pipeline.selection.vocabulary import default_vocabulary

MAX_URI_CHARS = 160_000
NAMES = default_vocabulary().names
EPOCH = {"epoch": 0, "train_loss": 0.5, "val_loss": 0.6, "val_macro_f1": 0.3}


def scored(n_items, n_classes=11):
    rng = np.random.default_rng(0)
    truth = rng.random((n_items, n_classes)) < 0.2
    return truth, np.clip(0.5 * rng.random(truth.shape) + 0.4 * truth, 0, 1).astype(np.float32)


def pictures(n_items):
    """Every picture, of a dataset of `n_items`."""
    truth, scores = scored(n_items)
    counts = truth.sum(axis=0).tolist()
    bars = {"F1": [0.5] * 11, "precision": [0.0] * 11, "recall": [1.0] * 11}
    met = [{"outcome": o, "reason": r, "n": n_items} for r, o in OUTCOME_OF.items()]
    history = [EPOCH | {"epoch": i} for i in range(n_items // 10)]
    return [
        curves.pr_curves(truth, scores, thresholds=0.5, class_names=NAMES),
        model_plots.class_scores(bars, class_names=NAMES),
        model_plots.truth_and_tags(truth, scores >= 0.5, class_names=NAMES),
        model_plots.score_histogram(truth, scores),
        model_plots.training_curves(history),
        data_plots.label_counts({"train": counts, "test": counts}, class_names=NAMES),
        data_plots.labels_per_clip({"wanted": [0, n_items, 7], "got": [0, 5]}),
        data_plots.cooccurrence((truth.T.astype(int) @ truth).tolist(), class_names=NAMES),
        data_plots.outcomes(met if n_items else []),
    ]


@pytest.mark.parametrize("n_items", [0, 1, 1000])
def test_every_picture_is_a_whole_image(n_items, svg_of):
    settings = dict(matplotlib.rcParams)
    for picture in pictures(n_items):
        svg_of(picture)
        assert picture.title
        assert picture.caption
        assert len(picture.data_uri) < MAX_URI_CHARS, picture.title
    assert dict(matplotlib.rcParams) == settings


def test_the_same_drawing_is_the_same_bytes():
    counts = {"train": [1, 2, 3]}
    assert data_plots.labels_per_clip(counts) == data_plots.labels_per_clip(counts)


def test_one_class(svg_of):
    truth, scores = scored(20, n_classes=1)
    name = {"cel": "cello"}
    svg_of(curves.pr_curves(truth, scores, thresholds=0.5, class_names=name))
    svg_of(model_plots.class_scores({"F1": [0.5]}, class_names=name))
    svg_of(data_plots.cooccurrence([[3]], class_names=name))


@pytest.mark.parametrize("name", ["$\\frac{", "<script>", "a" * 80, "x -- y", ""])
def test_a_class_may_be_called_anything(name, svg_of):
    svg_of(data_plots.label_counts({"train": [3]}, class_names={"odd": name}))


def test_many_classes_are_drawn_without_numbers(svg_of):
    names = {f"c{k}": f"class {k}" for k in range(40)}
    svg_of(data_plots.cooccurrence(np.ones((40, 40), int), class_names=names))


def test_one_epoch_has_one_number_below_it(svg_of):
    picture = svg_of(model_plots.training_curves([EPOCH | {"epoch": 7}]))
    ticks = [one.get("id", "") for one in picture.iter() if "xtick" in one.get("id", "")]
    assert len(ticks) == 2  # one in each panel


def test_curves_with_gaps(svg_of):
    gap = EPOCH | {"val_loss": None, "val_macro_f1": None}
    svg_of(model_plots.training_curves([gap]))
    svg_of(model_plots.training_curves([gap, EPOCH | {"epoch": 1}]))


def test_thinned_curve_keeps_its_area():
    truth, scores = (column.ravel() for column in scored(400))
    found = curves.precision_recall(truth, scores, 100)
    recall, precision = found.recall, found.precision
    assert len(recall) <= 100
    assert (np.diff(recall) <= 0).all()
    assert (recall[0], recall[-1]) == (1, 0)
    area = -np.sum(np.diff(recall) * precision[:-1])
    assert area == pytest.approx(average_precision_score(truth, scores), abs=0.01)


def test_a_threshold_that_names_every_clip_lies_on_the_curve():
    truth, scores = (column[:, :1] for column in scored(400))
    figure = Figure()
    panels = unit_panels(figure, 1, x="recall", y="precision")
    name = {"cel": "cello"}
    curves.draw_curves(figure, panels, truth, scores, 0.0, name, curves.precision_recall)
    _, curve, dot = (line.get_xydata() for line in panels[0].get_lines())
    assert curve[0].tolist() == dot[0].tolist() == [1, truth.mean()]


def test_labels_of_axes():
    assert class_labels({"cel": "cello", "x": "x"}) == ["cello (cel)", "x"]
    assert len(class_labels({"cel": "c" * 99})[0]) == 34


@pytest.mark.parametrize(("names", "degrees"), [(["cel", "pia"] * 5, 0), (["accordion"] * 20, 90)])
def test_names_above_a_grid_stand_upright_where_they_would_not_fit(names, degrees):
    with drawing(height_in=2.0) as figure:
        axes = figure.subplots()
        axes.set_xticks(range(len(names)), names)
        tidy_grid(axes)
        assert {label.get_rotation() for label in axes.get_xticklabels()} == {degrees}
