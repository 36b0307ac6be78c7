"""`Picture`s of what was mixed up, from counts (see `statistics.confusion`)."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from sklearn.metrics import ConfusionMatrixDisplay

from pipeline.evaluation.statistics.confusion import Counts
from pipeline.report.panels import N_COLUMNS
from pipeline.report.picture import (
    BLACK,
    GREY,
    Picture,
    as_picture,
    class_labels,
    drawing,
    tidy_grid,
)

_N_NUMBERED = 20


def confusion_matrices(counts: Counts, *, class_names: Mapping[str, str]) -> Picture:
    """Draw a confusion matrix a class, in shares: `counts` as `confusion_counts` gives them."""
    n_columns = max(1, min(N_COLUMNS, len(class_names)))
    n_rows = max(1, -(-len(class_names) // n_columns))
    with drawing(height_in=0.5 + 1.5 * n_rows) as figure:
        grid = figure.subplots(n_rows, n_columns, squeeze=False).ravel()
        for axes, row, label in zip(grid, counts, class_labels(class_names), strict=False):
            hits, missed, false_alarms, rejected = row
            table = np.array([[hits, missed], [false_alarms, rejected]])
            totals = table.sum(axis=1)
            ConfusionMatrixDisplay(table / np.maximum(1, totals)[:, None]).plot(
                ax=axes,
                cmap="Blues",
                values_format=".0%",
                colorbar=False,
                im_kw={"vmin": -0.1, "vmax": 1.2, "aspect": "auto"},
                text_kw={"fontsize": 8.5},
            )
            axes.set(xlabel="", ylabel="")
            axes.set_xticks([0, 1], ["named", "not named"])
            axes.set_yticks([0, 1], [f"there, {totals[0]:,d}", f"not there, {totals[1]:,d}"])
            axes.set_title(label, fontsize=8.5)
            axes.tick_params(length=0, labelsize=7.5)
            axes.spines[:].set_visible(False)
        for axes in grid[len(class_names) :]:
            axes.set_axis_off()
        return as_picture(
            figure,
            title="Right and wrong, by class",
            caption="One confusion matrix a class: of the clips in which the class is there, and "
            "of those in which it is not, with their numbers, the share for which it is named.",
        )


def instead_map(instead: Counts, n_missed: Counts, *, class_names: Mapping[str, str]) -> Picture:
    """Draw what was named instead, as `named_instead` gives it, of `n_missed` items a class."""
    n_classes = len(class_names)
    shares = instead / np.maximum(1, n_missed)[:, None]
    labels = [
        f"{x}, {n:,d} missed"
        for x, n in zip(class_labels(class_names), n_missed.tolist(), strict=True)
    ]
    with drawing(height_in=min(11.0, 1.3 + 0.32 * max(3, n_classes))) as figure:
        axes = figure.subplots()
        axes.set_facecolor("#F1F3F5")
        shown = np.ma.masked_equal(shares, 0.0)
        axes.imshow(shown, cmap="Oranges", vmin=-0.1, vmax=1.2, aspect="auto")
        axes.hlines(np.arange(1, n_classes) - 0.5, -0.5, n_classes + 0.5, color="white", lw=1.5)
        for row, column in np.argwhere(instead) if n_classes <= _N_NUMBERED else []:
            axes.text(
                column,
                row,
                f"{instead[row, column]:,d}",
                color="white" if shares[row, column] > 0.75 else BLACK,
                fontsize=min(9, 170 / n_classes),
                ha="center",
                va="center",
            )
        axes.axvline(n_classes - 0.5, color=GREY, lw=1)
        axes.set_xticks(range(n_classes + 1), [*class_names, "none"])
        axes.set_yticks(range(n_classes), labels)
        tidy_grid(axes)
        return as_picture(
            figure,
            title="Named instead",
            caption="For the clips in which the class on the left was missed: which classes were "
            "named that are not there, or that none was. A clip may count in several columns. The "
            "darker, the larger the share of the class's missed clips.",
        )
