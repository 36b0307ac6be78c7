"""`Picture`s of what a model says against the truth, from arrays.

Wherever classes have columns or rows, `class_names` gives name by code in their order.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from pipeline.arrays import Bools, Float64, Floats
from pipeline.evaluation.labels.targets import Targets, is_known, is_there
from pipeline.evaluation.statistics.bootstrap import LEVEL
from pipeline.report.picture import (
    BLUE,
    GREY,
    ORANGE,
    Picture,
    Range,
    Series,
    as_picture,
    class_labels,
    count_in_integers,
    drawing,
    grouped_bars,
)

_N_BINS = 40


def class_scores(
    values: Series,
    *,
    class_names: Mapping[str, str],
    ranges: Mapping[str, Sequence[Range]] | None = None,
    title: str = "Scores per class",
    what: str = "",
) -> Picture:
    """Draw bars of 0..1 for every class: `values` holds, say, F1, precision and recall.

    `ranges` gives, for some of them, the interval (low, high) of each class's value; a bar of
    errors shows it, but where it is (None, None). `what` begins the caption.
    """
    ranges = ranges or {}
    with drawing(height_in=1.0 + 0.19 * len(values) * len(class_names)) as figure:
        axes = figure.subplots()
        grouped_bars(
            axes, values, class_labels(class_names), number="{:.2f}", right=1.06, ranges=ranges
        )
        axes.set_xticks(np.linspace(0, 1, 6))
        figure.legend(loc="outside upper right", ncols=min(4, len(values)))
        what = what or f"{_listed(values)} of every class at its threshold."
        lines = _words_on(ranges, among=len(values))
        return as_picture(
            figure,
            title=title,
            caption=f"{what}{lines}",
        )


def truth_and_tags(truth: Targets, predicted: Bools, *, class_names: Mapping[str, str]) -> Picture:
    """Draw how often every class is there, and how often it was named."""
    counts = {
        "in the truth": is_there(truth).sum(axis=0).tolist(),
        "named by the model": (predicted & is_known(truth)).sum(axis=0).tolist(),
    }
    with drawing(height_in=1.0 + 0.44 * len(class_names)) as figure:
        axes = figure.subplots()
        right = 1.08 * max(1, *counts["in the truth"], *counts["named by the model"])
        grouped_bars(axes, counts, class_labels(class_names), number="{:,.0f}", right=right)
        count_in_integers(axes.xaxis, "clips")
        figure.legend(loc="outside upper right", ncols=2)
        return as_picture(
            figure,
            title="Truth and model",
            caption="How many clips have the class, and for how many the model names it.",
        )


def score_histogram(truth: Targets, scores: Floats) -> Picture:
    """Draw how the scores lie where the class is there, and where it is not."""
    with drawing(height_in=3.4) as figure:
        panels = figure.subplots(2, 1, sharex=True)
        for axes, there, colour in zip(panels, (True, False), (BLUE, ORANGE), strict=True):
            chosen = scores[truth == there]  # NaN, unknown, is neither
            counts, edges = np.histogram(chosen, bins=_N_BINS, range=(0.0, 1.0))
            axes.stairs(counts / max(1, chosen.size), edges, fill=True, color=colour)
            words = "the class is there" if there else "the class is not there"
            axes.set_title(f"{words}: {chosen.size:,d} scores")
            axes.yaxis.set_major_formatter(StrMethodFormatter("{x:.0%}"))
            axes.grid(axis="y")
            axes.set_xlim(0, 1)
            axes.set_ylim(bottom=0)
        panels[1].set_xlabel("score")
        return as_picture(
            figure,
            title="Scores",
            caption="Share of the scores in each fortieth of 0..1, over all clips and classes. The "
            "less the two overlap, the better the model tells them apart.",
        )


def training_curves(
    history: Sequence[Mapping[str, Any]],
    *,
    best_epoch: float | None = None,
    chosen_by: str = "validation loss",
) -> Picture:
    """Draw losses and macro F1, of a regression R2, against the epoch.

    `history` holds dicts of epoch, train_loss, val_loss and val_macro_f1 or val_r2; a gap is None.
    The epoch that is marked is the best by what `chosen_by` names; without one, that of the
    smallest loss.
    """
    epochs = [row["epoch"] for row in history]
    is_regression = any("val_r2" in row for row in history)
    quality_key, quality_name = ("val_r2", "R2") if is_regression else ("val_macro_f1", "macro F1")
    columns = {
        key: np.array([row.get(key) for row in history], dtype=np.float64)
        for key in ("train_loss", "val_loss", quality_key)
    }
    with drawing(height_in=3.4) as figure:
        losses, quality = figure.subplots(1, 2)
        losses.plot(epochs, columns["train_loss"], "o-", ms=3, color=ORANGE, label="training")
        losses.plot(epochs, columns["val_loss"], "o-", ms=3, color=BLUE, label="validation")
        quality.plot(epochs, columns[quality_key], "o-", ms=3, color=BLUE)
        losses.set_title("loss")
        quality.set_title(f"{quality_name} of the validation set")
        losses.legend()
        quality.set_ylim(min(0, float(np.nanmin(columns[quality_key], initial=0))), 1)
        for axes in (losses, quality):
            _mark_best(axes, epochs, columns["val_loss"], best_epoch)
            axes.set_xlabel("epoch")
            axes.set_xlim(min(epochs, default=0) - 0.5, max(epochs, default=0) + 0.5)
            axes.grid()
            axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
        return as_picture(
            figure,
            title="Training",
            caption=f"The dotted line marks the best epoch by {chosen_by}.",
        )


def _mark_best(
    axes: Axes,
    epochs: Sequence[int],
    losses: Float64,
    best_epoch: float | None,
) -> None:
    if best_epoch is None and np.isfinite(losses).any():
        best_epoch = epochs[int(np.nanargmin(losses))]
    if best_epoch is not None:
        axes.axvline(best_epoch, color=GREY, linestyle=":", zorder=0)


def _words_on(ranges: Collection[str], *, among: int) -> str:
    """Return the caption's words on the lines, if there are any."""
    if not ranges:
        return ""
    whose = "" if len(ranges) == among else f" of {_listed(ranges)}"
    return f" The lines are the {LEVEL:.0%} intervals{whose}."


def _listed(words: Iterable[str]) -> str:
    """Return 'a, b and c'."""
    *first, last = words
    return f"{', '.join(first)} and {last}" if first else last
