"""The pictures on the page of how two models' labels differ. PURE."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import LogNorm

from pipeline.arrays import Float64, Int64
from pipeline.evaluation.runs.tag_differences import Pairs, known_scores
from pipeline.report.page import cell_text
from pipeline.report.panels import panels_height_in, unit_panels
from pipeline.report.picture import (
    BLACK,
    GREY,
    VERMILLION,
    Picture,
    as_picture,
    class_labels,
    count_in_integers,
    drawing,
    grouped_bars,
    tidy_grid,
)
from schemas.comparison import DifferencesRecord

_N_DRAWN = 24
_N_NUMBERED = 16
_N_BINS = 40


def changes_bars(report: DifferencesRecord) -> Picture:
    """Draw, by class, how many tracks only A and only B gives the label."""
    names, rows = _drawn(report)
    counts = {
        "only A, so B takes it away": [rows[code]["only_a"] for code in names],
        "only B, so B adds it": [rows[code]["only_b"] for code in names],
    }
    with drawing(height_in=1.0 + 0.44 * max(2, len(names))) as figure:
        axes = figure.subplots()
        right = 1.12 * max(1, *(max(values) for values in counts.values()))
        grouped_bars(axes, counts, class_labels(names), number="{:,.0f}", right=right)
        count_in_integers(axes.xaxis, "tracks")
        figure.legend(loc="outside upper right", ncols=2)
        return as_picture(
            figure,
            title="Labels that only one of them gives",
            caption=f"Tracks that get the label from one model and not from the other."
            f"{_left_out(report)}",
        )


def labels_grid(report: DifferencesRecord) -> Picture:
    """Draw what B makes of each of A's labels, as shares of the tracks that have it from A."""
    names, rows = _drawn(report)
    at = [list(report.class_names).index(code) for code in names] + [-1]
    counts = np.asarray(report.grid)[np.ix_(at, at)]
    n_none = int(counts[-1, -1]) + report.labels["gained_first"]
    n_tracks = [rows[code]["both"] + rows[code]["only_a"] for code in names] + [n_none]
    labels = [*class_labels(names), "no label"]
    with drawing(height_in=min(11.0, 1.4 + 0.34 * max(3, len(at)))) as figure:
        axes = figure.subplots()
        _draw_shares(axes, counts / np.maximum(1, n_tracks)[:, None])
        axes.set_xticks(range(len(at)), [*names, "none"], rotation=90 * (len(at) > _N_NUMBERED))
        axes.set_yticks(
            range(len(at)), [f"{x}, {n:,d}" for x, n in zip(labels, n_tracks, strict=True)]
        )
        tidy_grid(axes)
        return as_picture(
            figure,
            title="What becomes of A's labels",
            caption="Of the tracks that have the label on the left from A, with their number: in "
            "blue the share on which B keeps it, in orange the share to which B gives a label that "
            "A does not, or none at all. Each colour has a scale of its own." + _left_out(report),
        )


def score_panels(report: DifferencesRecord, pairs: Pairs) -> Picture:
    """Draw how B's scores lie over A's, one panel per class."""
    names, rows = _drawn(report)
    codes = list(report.class_names)
    grids = [score_grid(pairs, codes.index(code)) for code in names]
    norm = LogNorm(1, max(2, *(int(grid.max()) for grid in grids)))
    with drawing(height_in=panels_height_in(len(names))) as figure:
        panels = unit_panels(figure, len(names), x="A's score", y="B's score")
        for axes, grid, code, label in zip(panels, grids, names, class_labels(names), strict=True):
            image = axes.imshow(
                np.ma.masked_equal(grid.T, 0),
                extent=(0, 1, 0, 1),
                origin="lower",
                aspect="auto",
                interpolation="none",  # the page's file holds these pixels and no more
                cmap="viridis",
                norm=norm,
                zorder=1,  # over the grid
            )
            axes.plot((0, 1), (0, 1), color=GREY, lw=0.8)
            for side, line in (("a", axes.axvline), ("b", axes.axhline)):
                if (limit := threshold_of(report, side, code)) is not None:
                    line(limit, color=VERMILLION, lw=1, ls="--")
            axes.set_title(f"{label}\nr {cell_text(rows[code]['pearson'])}", fontsize=8.5)
        bar = figure.colorbar(image, ax=panels, aspect=40, pad=0.01)
        bar.minorticks_off()  # matplotlib would write them as powers, in TeX
        ticks = count_ticks(norm.vmax or 1)
        bar.set_ticks(ticks, labels=[f"{n:,.0f}" for n in ticks])
        bar.set_label("tracks")
        return as_picture(
            figure,
            title="Scores of A and B",
            caption="How many tracks have which scores, one panel per class. On the grey line both "
            "are the same; the dashed lines are the thresholds. Top left and bottom right of "
            "where they cross are labels that differ, but for gates. r is Pearson's."
            + _left_out(report),
        )


def count_ticks(most: float) -> list[float]:
    """Return the ticks of a logarithmic axis of counts: powers of ten, and the largest count.

    >>> count_ticks(3), count_ticks(120), count_ticks(4000)
    ([1.0, 3.0], [1.0, 10.0, 120.0], [1.0, 10.0, 100.0, 1000.0, 4000.0])
    """
    powers = 10.0 ** np.arange(np.ceil(np.log10(most)))
    far_enough = powers[powers <= most / 1.5]
    return [*far_enough.tolist(), float(most)]


def score_grid(pairs: Pairs, k: int) -> Int64:
    """Return how many tracks have which scores of a class, `[bins of A, bins of B]`."""
    cells = [
        np.clip((x * _N_BINS).astype(np.int64), 0, _N_BINS - 1) for x in known_scores(pairs, k)
    ]
    counts = np.bincount(cells[0] * _N_BINS + cells[1], minlength=_N_BINS**2)
    return counts.reshape(_N_BINS, _N_BINS)


def _draw_shares(axes: Axes, shares: Float64) -> None:
    """Draw a square of shares: the diagonal in one colour, what is beside it in another."""
    kept = np.eye(len(shares), dtype=bool)
    top = max(0.01, float(shares[~kept].max(initial=0)))
    for hidden, colours, most in (
        (~kept, "Blues", 1.2),
        (kept | (shares == 0), "Oranges", 2 * top),  # pale: a number is read on it
    ):
        shown = np.ma.masked_array(shares, hidden)
        axes.imshow(shown, cmap=colours, vmin=-0.1 * most, vmax=most, aspect="auto")
    axes.set_facecolor("#F1F3F5")
    axes.axhline(len(shares) - 1.5, color=GREY, lw=1)
    axes.axvline(len(shares) - 1.5, color=GREY, lw=1)
    for row, column in np.argwhere(shares) if len(shares) <= _N_NUMBERED else []:
        share = shares[row, column]
        colour = "white" if row == column and share > 0.7 else BLACK
        text = "<0.1" if share < 0.0005 else f"{100 * share:.1f}"
        axes.text(column, row, text, color=colour, fontsize=7.5, ha="center", va="center")


def _drawn(report: DifferencesRecord) -> tuple[dict[str, str], dict[str, Mapping[str, Any]]]:
    """Return the names and the figures, by code, of the classes that pictures have room for."""
    rows = {row["code"]: row for row in report.per_class}
    most = sorted(rows, key=lambda code: -(rows[code]["only_a"] + rows[code]["only_b"]))[:_N_DRAWN]
    names = {code: name for code, name in report.class_names.items() if code in most}
    return names, {code: rows[code] for code in names}


def _left_out(report: DifferencesRecord) -> str:
    n_left = len(report.class_names) - _N_DRAWN
    return f" The {n_left} classes that change least are left out." if n_left > 0 else ""


def threshold_of(report: DifferencesRecord, side: str, code: str) -> float | None:
    """Return a class's threshold in A or B; None where the run does not say."""
    identity = getattr(report, side)["identity"] or {}
    limit: float | None = identity.get("thresholds", {}).get(code)
    return limit
