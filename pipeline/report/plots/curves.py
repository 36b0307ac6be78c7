"""Truth and scores in; `Picture`s of ROC and P-R curves, and of calibration, out.

scikit-learn computes and draws the curves; here each class gets a panel of its own. Panels stay
readable with 40 classes, where one set of axes with one colour per class does not.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import StrMethodFormatter
from sklearn.metrics import (
    PrecisionRecallDisplay,
    RocCurveDisplay,
    average_precision_score,
    precision_recall_curve,
    roc_auc_score,
    roc_curve,
)

from pipeline.arrays import Bools, Floats, Int64
from pipeline.evaluation.labels.calibration import Reliability
from pipeline.evaluation.labels.targets import Targets, is_known, is_there
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

Display = Any
"""A `RocCurveDisplay` or a `PrecisionRecallDisplay`: scikit-learn has no types."""

_N_CURVE_POINTS = 1100  # of all the curves of a picture: a page holds some forty of them


def roc_curves(
    truth: Targets, scores: Floats, *, thresholds: npt.ArrayLike, class_names: Mapping[str, str]
) -> Picture:
    """Draw every class's ROC curve in a panel of its own, over the curve of all classes as one.

    `truth` and `scores` are `[n_items, n_classes]`, and what is unknown (NaN) is left out.
    """
    with drawing(height_in=panels_height_in(len(class_names))) as figure:
        panels = unit_panels(
            figure,
            len(class_names),
            x="named, of the clips without it",
            y="named, of the clips with the class",
        )
        for axes in panels:
            axes.plot([0, 1], [0, 1], color=GREY, ls=":", lw=1, label="by chance")
        draw_curves(figure, panels, truth, scores, thresholds, class_names, roc)
        return as_picture(
            figure,
            title="ROC",
            caption="As a class's threshold falls from 1 to 0: how many of the clips that have the "
            "class are named, against how many of those that do not. The dot is where the "
            "threshold puts the tagger. AUC is the area below the curve.",
        )


def pr_curves(
    truth: Targets, scores: Floats, *, thresholds: npt.ArrayLike, class_names: Mapping[str, str]
) -> Picture:
    """Draw every class's P-R curve in a panel of its own, over the curve of all classes as one.

    The parameters are those of `roc_curves`.
    """
    with drawing(height_in=panels_height_in(len(class_names))) as figure:
        panels = unit_panels(figure, len(class_names), x="recall", y="precision")
        draw_curves(figure, panels, truth, scores, thresholds, class_names, precision_recall)
        return as_picture(
            figure,
            title="Precision and recall",
            caption="One panel per class, over the grey curve of all classes as one list. The dot "
            "is where the threshold puts the tagger. AP is the average precision, n the number of "
            "clips that have the class.",
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


def draw_curves(
    figure: Figure,
    panels: list[Axes],
    truth: Targets,
    scores: Floats,
    thresholds: npt.ArrayLike,
    class_names: Mapping[str, str],
    curve_of: Callable[[Bools, Floats, int], Display],
) -> None:
    """Draw one curve per class into its panel; `curve_of` is `roc` or `precision_recall`."""
    limits = np.broadcast_to(np.asarray(thresholds, dtype=np.float64), len(class_names))
    there, known = is_there(truth), is_known(truth)
    n_points = max(18, _N_CURVE_POINTS // (2 * max(1, len(class_names))))
    together = curve_of(there[known], scores[known], n_points)
    for k, (axes, label) in enumerate(zip(panels, class_labels(class_names), strict=True)):
        one = known[:, k]
        found = curve_of(there[one, k], scores[one, k], n_points)
        if not isinstance(together, str):
            _draw(axes, together, color="#B8C0C8", lw=1.2, label="all classes")
        if isinstance(found, str):
            axes.set_title(f"{label}\n{found}", fontsize=8.5)
            continue
        _draw(axes, found, color=BLUE, label="this class")
        if at := _point(found, there[one, k], scores[one, k] >= limits[k]):
            axes.plot(*at, "o", color=VERMILLION, ms=5, clip_on=False, label="at the threshold")
        is_roc = isinstance(found, RocCurveDisplay)
        area = f"AUC {found.roc_auc:.3f}" if is_roc else f"AP {found.average_precision:.3f}"
        axes.set_title(f"{label}\n{area} · n {there[one, k].sum():,d}", fontsize=8.5)
    one_legend(figure, panels)


def roc(truth: Bools, scores: Floats, n_points: int) -> Display:
    """Return a ROC curve of at most `n_points` points; in words why there is none."""
    if not truth.any():
        return "not in the truth"
    if truth.all():
        return "in every clip"
    false, true, _ = roc_curve(truth, scores)
    kept = _spread(len(false), n_points)
    area = roc_auc_score(truth, scores)
    return RocCurveDisplay(fpr=false[kept], tpr=true[kept], roc_auc=area)


def precision_recall(truth: Bools, scores: Floats, n_points: int) -> Display:
    """Return a P-R curve of at most `n_points` points; in words why there is none."""
    if not truth.any():
        return "not in the truth"
    precision, recall, _ = precision_recall_curve(truth, scores, drop_intermediate=True)
    kept = _spread(len(recall), n_points)
    area = average_precision_score(truth, scores)
    return PrecisionRecallDisplay(precision[kept], recall[kept], average_precision=area)


def _spread(n: int, most: int) -> Int64:
    """Return at most `most` of the numbers below `n`, evenly spread, both ends included."""
    return np.unique(np.linspace(0, n - 1, most).round().astype(np.int64))


def _draw(axes: Axes, curve: Display, **style: object) -> None:
    """Draw a curve, and give the axes back the limits and the plainness of a panel."""
    curve.plot(axes)
    curve.line_.set(**style)
    if (legend := axes.get_legend()) is not None:
        legend.remove()
    axes.set(xlabel="", ylabel="", xlim=(0, 1), ylim=(0, 1.03), aspect="auto")


def _point(curve: Display, truth: Bools, named: Bools) -> tuple[float, float] | None:
    """Return where a curve is at a threshold; None of precision where nothing is named."""
    recall = float(named[truth].mean())
    if isinstance(curve, RocCurveDisplay):
        return float(named[~truth].mean()), recall
    return (recall, float(truth[named].mean())) if named.any() else None


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
