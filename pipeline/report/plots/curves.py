"""Truth and scores in; `Picture`s of ROC curves and of how far scores are probabilities out."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.ticker import StrMethodFormatter
from sklearn.metrics import roc_auc_score

from pipeline.arrays import Bools, Floats
from pipeline.evaluation.labels.calibration import Reliability
from pipeline.evaluation.labels.targets import Targets, is_known, is_there
from pipeline.evaluation.statistics.curves import roc, roc_point
from pipeline.report.panels import one_legend, panels_height_in, unit_panels
from pipeline.report.picture import (
    BLUE,
    GREY,
    SERIES,
    VERMILLION,
    Picture,
    as_picture,
    class_labels,
    drawing,
    say_empty,
)

_N_CURVE_POINTS = 1100  # of all the curves of a picture


def roc_curves(
    truth: Targets, scores: Floats, *, thresholds: npt.ArrayLike, class_names: Mapping[str, str]
) -> Picture:
    """Draw every class's ROC curve in a panel of its own, over the curve of all classes as one.

    `truth` and `scores` are `[n_items, n_classes]`, and what is unknown (NaN) is left out. Panels
    stay readable with 40 classes, where a legend with a colour a class does not.
    """
    n_classes = len(class_names)
    n_points = max(20, _N_CURVE_POINTS // (2 * max(1, n_classes)))
    limits = np.broadcast_to(np.asarray(thresholds, dtype=np.float64), n_classes)
    there, known = is_there(truth), is_known(truth)
    together = roc(there[known], scores[known], n_points)
    with drawing(height_in=panels_height_in(n_classes)) as figure:
        panels = unit_panels(
            figure,
            n_classes,
            x="named, of the clips without it",
            y="named, of the clips with the class",
        )
        for k, label in enumerate(class_labels(class_names)):
            panels[k].plot([0, 1], [0, 1], color=GREY, ls=":", lw=1, label="by chance")
            panels[k].plot(*together, color="#B8C0C8", lw=1.2, label="all classes")
            one = known[:, k]
            _roc_panel(panels[k], there[one, k], scores[one, k], limits[k], label, n_points)
        one_legend(figure, panels)
        return as_picture(
            figure,
            title="ROC",
            caption="As a class's threshold falls from 1 to 0: how many of the clips that have the "
            "class are named, against how many of those that do not. The dot is where the "
            "threshold puts the tagger. AUC is the area below the curve.",
        )


def reliability(diagrams: Mapping[str, Reliability]) -> Picture:
    """Draw the share of true answers against the score, a panel for every kind of scores."""
    with drawing(height_in=4.0) as figure:
        grid = figure.subplots(
            2,
            max(1, len(diagrams)),
            sharex=True,
            sharey="row",
            squeeze=False,
            height_ratios=(3, 1),
        )
        for k, (name, found) in enumerate(diagrams.items()):
            _reliability_panel(grid[0, k], grid[1, k], name, found, SERIES[k % len(SERIES)])
        grid[0, 0].set_ylabel("share that have the class")
        grid[1, 0].set_ylabel("scores")
        figure.supxlabel("score", fontsize="medium")
        return as_picture(
            figure,
            title="Calibration",
            caption="Of the answers with a score of 0.8, eight in ten should be true: the bars "
            "should end on the dotted line. All classes as one list; below, how many scores lie in "
            "each fifteenth of 0..1, on a logarithmic axis. ECE is the mean distance from the "
            "line over all answers, here taken together.",
        )


def _roc_panel(
    axes: Axes, truth: Bools, scores: Floats, limit: float, label: str, n_points: int
) -> None:
    n_positive = int(truth.sum())
    if n_positive in (0, len(truth)):
        why = "not in the truth" if n_positive == 0 else "in every clip"
        axes.set_title(f"{label}\n{why}", fontsize=8.5)
        return
    axes.plot(*roc(truth, scores, n_points), color=BLUE, label="this class")
    at = roc_point(truth, scores, limit)
    axes.plot(*at, "o", color=VERMILLION, ms=5, clip_on=False, label="at the threshold")
    area = roc_auc_score(truth, scores)
    axes.set_title(f"{label}\nAUC {area:.3f} · n {n_positive:,d}", fontsize=8.5)


def _reliability_panel(axes: Axes, below: Axes, name: str, found: Reliability, colour: str) -> None:
    edges = np.linspace(0, 1, len(found.n) + 1)
    axes.stairs(np.nan_to_num(found.share_true), edges, fill=True, color=colour, alpha=0.85)
    axes.plot([0, 1], [0, 1], color=GREY, ls=":", lw=1.2)
    axes.set(xlim=(0, 1), ylim=(0, 1), xticks=(0, 0.5, 1))
    axes.xaxis.set_major_formatter("{x:g}")
    axes.grid()
    below.stairs(found.n, edges, fill=True, color=colour, baseline=0.5)
    below.set_yscale("log")
    below.set_ylim(0.5, max(10.0, 2.0 * found.n.max()))
    below.yaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    below.tick_params(axis="y", which="minor", left=False)
    if found.error is None:
        say_empty(axes, "no scores")
    axes.set_title(name if found.error is None else f"{name}: ECE {found.error:.3f}")
