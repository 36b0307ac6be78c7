"""The page of a regressor: figures, dots, what is left out."""

import base64
import re
from dataclasses import asdict

import numpy as np

from pipeline.evaluation.statistics.regression import mean_of, regression_figures
from pipeline.report.page import render_page
from pipeline.report.pages.regression_page import regression_page
from pipeline.report.plots.regression_plots import true_against_predicted
from schemas.regression import RegressionEvaluation, TargetRange

RANGES = [TargetRange(name, "rating", 0.0, 100.0, 50.0) for name in ("depth", "warmth")]


def test_the_page_has_each_target_and_what_counts_nowhere(rng):
    truth = rng.uniform(0, 100, (12, 2))
    truth[0, 1] = np.nan
    predicted = truth + 1.0
    predicted[0, 1] = 3.0
    targets = regression_figures(truth, predicted, RANGES)
    means = {name: mean_of(targets, name) for name in ("mae", "mae_unit", "baseline_mae", "r2")}
    record = RegressionEvaluation(
        model_id="m", split="test", n_clips=12, left_out={"silent": 3},
        targets=[asdict(one) for one in targets], **means,
        history=[{"epoch": 1.0, "train_loss": 0.2, "val_loss": 0.1, "val_r2": -0.5}],
    )  # fmt: skip
    assert RegressionEvaluation.from_dict(record.to_dict()) == record
    html = render_page(regression_page(record, targets, truth, predicted))
    assert "0.0100 of a target&#39;s range" in html
    for text in ("depth", "warmth", "3 clips have no target and count nowhere: silent"):
        assert text in html
    assert html.count("data:image/svg+xml") == 2


def test_a_dot_is_a_clip_that_has_a_value_and_many_are_thinned(rng):
    truth = rng.uniform(0, 100, (40, 1))
    predicted = truth.copy()
    truth[:3] = np.nan
    targets = regression_figures(truth, predicted, RANGES[:1])
    assert n_dots(true_against_predicted(truth, predicted, targets)) == 37
    many = rng.uniform(0, 100, (4000, 1))
    picture = true_against_predicted(many, many, regression_figures(many, many, RANGES[:1]))
    assert n_dots(picture) == 1334 and "One clip of 3" in picture.caption


def n_dots(picture) -> int:
    """Return how many dots a picture of one panel has: uses of a marker, less the axes' ticks."""
    svg = base64.b64decode(picture.data_uri.partition(",")[2]).decode()
    marks = re.findall(r'<use xlink:href="#(m\w+)"', svg)
    return max(marks.count(one) for one in set(marks))
