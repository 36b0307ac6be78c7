"""Counts of what was mixed up (see `score.confusion`) in, `Picture`s of them out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes

from pipeline.evaluation.statistics.confusion import Counts
from pipeline.report.picture import (
    BLACK,
    BLUE,
    GREY,
    ORANGE,
    VERMILLION,
    Picture,
    as_picture,
    class_labels,
    count_in_integers,
    drawing,
    tidy_bars,
    tidy_grid,
)

_WORDS = ("there and named", "there, but missed", "named, but not there", "neither")
_COLOURS = (BLUE, ORANGE, VERMILLION, "#DDE2E7")
_N_NUMBERED = 20


def confusion_bars(counts: Counts, *, class_names: Mapping[str, str]) -> Picture:
    """Draw right and wrong answers of every class: `counts` as `confusion_counts` gives them."""
    middle = np.arange(len(class_names))
    right = max(1.0, 1.02 * counts[:, :3].sum(axis=1).max(initial=0))
    shown = counts[:, :3]  # the rest are most of the items, and would make these too small to see
    with drawing(height_in=1.0 + 0.3 * max(2, len(class_names))) as figure:
        axes = figure.subplots()
        left = np.zeros(len(shown))
        for k in range(shown.shape[1]):
            axes.barh(middle, shown[:, k], 0.7, left=left, color=_COLOURS[k], label=_WORDS[k])
            _write_inside(axes, shown[:, k], left, enough=right / 40)
            left = left + shown[:, k]
        axes.set_yticks(middle, class_labels(class_names))
        tidy_bars(axes, right=right)
        count_in_integers(axes.xaxis, "clips")
        figure.legend(loc="outside upper right", ncols=3)
        return as_picture(
            figure,
            title="Right and wrong, by class",
            caption="Clips in which the class is there and named, there but missed, or named but "
            "not there. The clips in which it is neither are left out of the bars.",
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
        if n_classes > _N_NUMBERED:
            axes.tick_params(axis="x", labelrotation=90)
        tidy_grid(axes)
        return as_picture(
            figure,
            title="Named instead",
            caption="For the clips in which the class on the left was missed: which classes were "
            "named that are not there, or that none was. A clip may count in several columns. The "
            "darker, the larger the share of the class's missed clips.",
        )


def _write_inside(axes: Axes, widths: Counts, left: npt.NDArray[Any], *, enough: float) -> None:
    """Write the length of each piece of a bar into it, where it is long enough."""
    for at, (width, start) in enumerate(zip(widths.tolist(), left.tolist(), strict=True)):
        if width >= enough:
            axes.text(
                start + width / 2, at, f"{width:,d}", color="white", fontsize=8, ha="center",
                va="center",
            )  # fmt: skip
