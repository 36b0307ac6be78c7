"""`Picture`s of a tagging run beside the run before it: instruments, and drift."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator

from pipeline.evaluation.statistics.drift import CHANGED, ClassDrift, histogram, label_share
from pipeline.report.panels import one_legend, panels_height_in, unit_panels
from pipeline.report.picture import (
    BLACK,
    BLUE,
    GREY,
    VERMILLION,
    Picture,
    as_picture,
    class_labels,
    count_in_integers,
    drawing,
    grouped_bars,
    say_empty,
)
from schemas.tagging_run import TaggingRun

_PALE = "#C5CCD3"


def labels_picture(run: TaggingRun, before: TaggingRun | None) -> Picture:
    """Draw how often each instrument is named: in this run, in the last one, and in all."""
    names = run.class_names
    runs = {"this run": run, "last run": before}
    shares = {
        words: [100 * (label_share(one, code) or 0.0) for code in names]
        for words, one in runs.items()
        if one and one.tagged
    }
    in_all = {"in all": [float(run.labels_in_all.get(code, 0)) for code in names]}
    with drawing(height_in=1.0 + 0.4 * len(names)) as figure:
        left, right = figure.subplots(1, 2, sharey=True, width_ratios=(3, 2))
        widest = max([1.0, *(share for values in shares.values() for share in values)])
        if shares:
            grouped_bars(left, shares, class_labels(names), number="{:.1f}", right=1.12 * widest)
        else:
            say_empty(left, "nothing was tagged")
        most = max([1.0, *in_all["in all"]])
        grouped_bars(right, in_all, class_labels(names), number="{:,.0f}", right=1.2 * most)
        left.set_ylim(len(names) - 0.5, -0.5)  # the axis is shared: each drawing has turned it
        left.set_xlabel("% of the tracks newly tagged")
        count_in_integers(right.xaxis, "tracks in all")
        right.xaxis.set_major_locator(MaxNLocator(3, integer=True))  # it is narrow
        handles, labels = left.get_legend_handles_labels()
        figure.legend(handles, labels, loc="outside upper right", ncols=2)
        return as_picture(
            figure,
            title="Instruments, drawn",
            caption="How often each instrument is named: on the left among the tracks newly "
            "tagged, on the right among all that have tags, tracks that are gone, too.",
        )


def drift_panels(rows: Sequence[ClassDrift], now: TaggingRun, before: TaggingRun | None) -> Picture:
    """Draw every class's scores in this run over those in the run before."""
    limits = now.identity["thresholds"]
    with drawing(height_in=panels_height_in(len(rows))) as figure:
        panels = unit_panels(figure, len(rows), x="score of the track", y="share of the tracks")
        for axes, row, label in zip(panels, rows, class_labels(now.class_names), strict=False):
            axes.set_yscale("function", functions=(np.sqrt, np.square))  # few are seen beside many
            axes.set_yticks((0.01, 0.1, 0.5, 1), ("1 %", "10 %", "50 %", "100 %"))
            _draw_scores(axes, before, row.code, "last run", colour=_PALE, fill=True)
            _draw_scores(axes, now, row.code, "this run", colour=BLUE, fill=False)
            if row.code in limits:
                axes.axvline(limits[row.code], color=GREY, ls=":", lw=1, label="threshold")
            if not (row.n_now or row.n_before):
                say_empty(axes, "no scores")
            index = "" if row.psi is None else f" · PSI {row.psi:.2f}"
            colour = VERMILLION if row.reading == CHANGED else BLACK
            axes.set_title(f"{label}\n{row.reading}{index}", fontsize=8.5, color=colour)
        one_legend(figure, panels)
        return as_picture(
            figure,
            title="Scores by class",
            caption="How the scores of newly tagged tracks lie in 20 bins, as shares of each run's "
            "own tracks. The share's axis is of square roots, so that a few tracks are seen beside "
            "many.",
        )


def _draw_scores(
    axes: Axes, run: TaggingRun | None, code: str, label: str, *, colour: str, fill: bool
) -> None:
    counts = histogram(run, code)
    if counts.sum():
        edges = np.linspace(0, 1, len(counts) + 1)
        axes.stairs(counts / counts.sum(), edges, fill=fill, color=colour, lw=1.6, label=label)
