"""`Picture`s of what a dataset holds, from counts.

Wherever classes have rows, `class_names` gives name by code in their order.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import chain, cycle
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.errors import Outcome
from pipeline.report.picture import (
    BLACK,
    BLUE,
    GREY,
    ORANGE,
    PINK,
    SERIES,
    SKY,
    VERMILLION,
    Picture,
    Series,
    as_picture,
    class_labels,
    count_in_integers,
    drawing,
    say_empty,
    tidy_bars,
    tidy_grid,
    write_numbers,
)

_OUTCOME_COLOURS = {
    Outcome.OK: BLUE,
    Outcome.UNAVAILABLE: GREY,
    Outcome.RESTRICTED: ORANGE,
    Outcome.BLOCKED: VERMILLION,
    Outcome.NETWORK: PINK,
    Outcome.REJECTED: SKY,
    Outcome.ERROR: BLACK,
}

_N_NUMBERED = 32  # with more classes than this, a number does not fit its field


def label_counts(counts: Series, *, class_names: Mapping[str, str]) -> Picture:
    """Draw how many clips every class has, stacked by split: `counts` holds one list per split."""
    with drawing(height_in=1.0 + 0.36 * len(class_names)) as figure:
        axes = figure.subplots()
        labels = class_labels(class_names)
        at, left = np.arange(len(labels)), np.zeros(len(labels))
        for (split, values), colour in zip(counts.items(), cycle(SERIES)):
            axes.barh(at, values, left=left, height=0.7, color=colour, label=split)
            left += np.asarray(values, dtype=np.float64)
        write_numbers(axes, left, at, "{:,.0f}", fontsize=9)
        axes.set_yticks(at, labels)
        tidy_bars(axes, right=1.08 * max(1, left.max(initial=0)))
        count_in_integers(axes.xaxis, "clips")
        if counts:
            figure.legend(loc="outside upper right", ncols=len(counts))
        return as_picture(
            figure,
            title="Labels per class",
            caption="Clips that have the class, by split; the number is their sum. A clip with "
            "several classes counts in each.",
        )


def labels_per_clip(counts: Series) -> Picture:
    """Draw how many clips have 0, 1, 2, ... classes, for one or more series of such counts."""
    n_bars = max((len(values) for values in counts.values()), default=0)
    width = 0.8 / max(1, len(counts))
    with drawing(height_in=3.2) as figure:
        axes = figure.subplots()
        for i, ((name, values), colour) in enumerate(zip(counts.items(), cycle(SERIES))):
            at = np.arange(len(values)) + (i - (len(counts) - 1) / 2) * width
            bars = axes.bar(at, values, width=0.92 * width, color=colour, label=name)
            axes.bar_label(bars, [f"{value:,.0f}" for value in values], fontsize=8, padding=2)
        axes.set_xticks(range(n_bars))
        axes.grid(axis="y")
        axes.set_ylim(0, 1.1 * max([1, *chain(*counts.values())]))
        axes.set_xlabel("classes in the clip")
        count_in_integers(axes.yaxis, "clips")
        if counts:
            figure.legend(loc="outside upper right", ncols=len(counts))
        return as_picture(
            figure, title="Labels per clip", caption="How many classes a clip has at once."
        )


def cooccurrence(n_clips: npt.ArrayLike, *, class_names: Mapping[str, str]) -> Picture:
    """Draw how many clips have both classes, as a map with numbers: `n_clips` [n, n]."""
    matrix = np.asarray(n_clips)
    n_classes = len(matrix)
    pairs = np.ma.masked_array(matrix, mask=np.eye(n_classes, dtype=bool))
    top = max(1, int(matrix[~pairs.mask].max(initial=0)))
    with drawing(height_in=min(9.0, 1.4 + 0.55 * n_classes)) as figure:
        axes = figure.subplots()
        axes.set_facecolor("#E4E7EB")
        axes.imshow(pairs, cmap="Blues", vmin=0, vmax=1.15 * top, aspect="auto")
        for row, column in np.argwhere(matrix) if n_classes <= _N_NUMBERED else []:
            value = matrix[row, column]
            dark = row != column and value > 0.6 * top
            axes.text(
                column,
                row,
                f"{value:,d}" if value < 10_000 else f"{value / 1000:,.0f}k",
                color="white" if dark else BLACK,
                fontsize=min(9, 170 / n_classes),
                ha="center",
                va="center",
            )
        axes.set_xticks(range(n_classes), list(class_names))
        axes.set_yticks(range(n_classes), class_labels(class_names))
        tidy_grid(axes)
        return as_picture(
            figure,
            title="Classes that sound together",
            caption="Clips that have both classes, empty where there are none; in grey, all clips "
            "that have the class.",
        )


def outcomes(counts: Sequence[Mapping[str, Any]]) -> Picture:
    """Draw how often every reason was met; `counts` holds dicts of outcome, reason and n."""
    total = max(1, sum(row["n"] for row in counts))
    labels = [
        row["reason"] if row["reason"] == row["outcome"] else f"{row['outcome']}: {row['reason']}"
        for row in counts
    ]
    values = [row["n"] for row in counts]
    with drawing(height_in=1.0 + 0.3 * max(3, len(counts))) as figure:
        axes = figure.subplots()
        colours = [_OUTCOME_COLOURS.get(row["outcome"], GREY) for row in counts]
        axes.barh(range(len(values)), values, height=0.7, color=colours)
        axes.set_yticks(range(len(labels)), labels)
        for y, value in enumerate(values):
            text = f" {value:,d}  ({value / total:.1%})"
            axes.text(value, y, text, va="center", fontsize=9)
        tidy_bars(axes, right=1.16 * max([1, *values]))
        count_in_integers(axes.xaxis, "segments")
        if not counts:
            say_empty(axes, "no segment has been tried")
        return as_picture(
            figure,
            title="Outcomes of the build",
            caption="What became of the segments that were tried; one colour per outcome.",
        )
