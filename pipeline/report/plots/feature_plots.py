"""ANOVA and pooled features in, `Picture`s out: which rows tell the classes apart, and how.

`class_names` gives name by code in the classes' order.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import groupby
from typing import Literal

import numpy as np
import pyarrow as pa
from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from pipeline.arrays import Floats
from pipeline.evaluation.statistics.anova import P_LIMIT, Row, RowValues, eta_squared_limit, ranked
from pipeline.report.panels import grid_of
from pipeline.report.picture import (
    BLACK,
    BLUE,
    SKY,
    VERMILLION,
    Picture,
    as_picture,
    drawing,
    say_empty,
    tidy_bars,
)

_N_BARS = 40
_N_COLUMNS = 3
_WHISKERS = (5, 95)  # percentiles


def row_label(row: Row) -> str:
    """Return 'row (statistic)', short enough to stand beside an axis."""
    name = row["row"]
    return f"{name if len(name) <= 28 else name[:27] + '…'} ({row['statistic']})"


def p_text(p_value: float) -> str:
    """Return a p as people write it: 0.032, 1.2e-08, < 1e-300; a dash where there is none."""
    if math.isnan(p_value):
        return "\u2013"
    if p_value < 1e-300:
        return "< 1e-300"
    return f"{p_value:.3g}" if p_value >= P_LIMIT else f"{p_value:.1e}"


def anova_bars(table: pa.Table, *, n_classes: int) -> Picture:
    """Draw how much of every row the class explains, over the line where p is 0.001.

    Parameters
    ----------
    table
        ANOVA. Of more than 40 rows, the 20 with the smallest and the 20 with the largest p.
    n_classes
        Classes that were compared.
    """
    tested = [row for row in ranked(table) if not math.isnan(row["p_value"])]
    shown = tested
    if len(tested) > _N_BARS:
        shown = tested[: _N_BARS // 2] + tested[-_N_BARS // 2 :]
    groups = _by_feature(shown)
    n_lines = len(shown) + len(groups)
    with drawing(height_in=1.1 + 0.19 * max(8, n_lines)) as figure:
        axes = figure.subplots()
        if shown:
            _draw_bars(axes, groups, n_classes)
            figure.legend(handles=_bar_legend(), loc="outside upper right", ncols=3)
        else:
            axes.set_axis_off()
            say_empty(axes, "no row could be tested")
        return as_picture(
            figure,
            title="What the class explains of each row",
            caption="Eta squared: the share of a row's variance over the clips that lies between "
            f"the classes. {_left_out(len(tested), len(table))}",
        )


def _by_feature(rows: Sequence[Row]) -> list[tuple[str, list[Row]]]:
    """Return the rows under their features, the feature with the best row first."""
    first = {row["feature"]: i for i, row in reversed(list(enumerate(rows)))}
    ordered = sorted(rows, key=lambda row: first[row["feature"]])  # stable: still by p within
    return [(name, list(group)) for name, group in groupby(ordered, lambda row: row["feature"])]


def _draw_bars(axes: Axes, groups: Sequence[tuple[str, list[Row]]], n_classes: int) -> None:
    labels: list[str] = []
    longest = 0.0  # of a bar or of its line, which lies beyond the bars where there are few clips
    for feature, rows in groups:
        labels.append(feature if len(feature) <= 34 else feature[:33] + "…")
        at = len(labels) + np.arange(len(rows))
        colours = [BLUE if row["p_value"] < P_LIMIT else VERMILLION for row in rows]
        axes.barh(at, [row["eta_squared"] for row in rows], height=0.75, color=colours)
        limits = [eta_squared_limit(row, n_classes) for row in rows]
        axes.plot(limits, at, color=BLACK, lw=1.2, marker="|")
        for y, row, limit in zip(at.tolist(), rows, limits, strict=True):
            text = f"  {row['eta_squared']:.2f}   p {p_text(row['p_value'])}"
            x = max(row["eta_squared"], limit)
            longest = max(longest, x)
            axes.text(x, y, text, va="center", fontsize=7.5)
        labels += [row_label(row) for row in rows]
    axes.set_yticks(range(len(labels)), labels, fontsize=8)
    heads = np.cumsum([0, *(1 + len(rows) for _, rows in groups)])[:-1]
    for head in heads:
        axes.get_yticklabels()[head].set_fontweight("bold")
    tidy_bars(axes, right=max(0.1, 1.22 * longest))
    axes.set_xlabel("eta squared")


def _bar_legend() -> list[Patch | Line2D]:
    return [
        Patch(color=BLUE, label=f"p < {P_LIMIT}"),
        Patch(color=VERMILLION, label="not significant"),
        Line2D([], [], color=BLACK, lw=1.2, label=f"p = {P_LIMIT}"),
    ]


def _left_out(n_tested: int, n_rows: int) -> str:
    n_untested = n_rows - n_tested
    said = f"{n_untested:,d} rows could not be tested. " if n_untested else ""
    if n_tested <= _N_BARS:
        return said + f"All {n_tested:,d} tested rows."
    half = _N_BARS // 2
    return said + (
        f"The {half} rows with the smallest p and the {half} with the largest; the "
        f"{n_tested - _N_BARS:,d} between them are left out, and stand in the table."
    )


def feature_distributions(rows: Sequence[RowValues], *, class_names: Mapping[str, str]) -> Picture:
    """Draw the values of some rows by class, one box per class in one panel per row."""
    n_lines = max(1, -(-len(rows) // _N_COLUMNS))
    with drawing(height_in=0.5 + 2.1 * n_lines) as figure:
        grid = grid_of(figure, len(rows), _N_COLUMNS)
        for axes, row in zip(grid, rows, strict=False):
            _draw_boxes(axes, row, list(class_names))
        if not rows:
            say_empty(grid[1], "no row could be tested")
        return as_picture(
            figure,
            title="Features by class",
            caption="The rows with the smallest p: every feature's best before any feature's "
            "second best. A box is the middle half of a class's clips with the median in it; the "
            "whiskers go from the 5th to the 95th percentile.",
        )


def _draw_boxes(axes: Axes, row: RowValues, codes: Sequence[str]) -> None:
    draw_boxes(axes, [row.values[row.groups == k] for k in range(len(codes))], width=0.65)
    size = min(8, 110 / max(1, len(codes)))
    axes.set_xticks(range(len(codes)), codes, rotation=90, fontsize=size)
    axes.set_xlim(-0.6, len(codes) - 0.4)
    axes.tick_params(axis="x", length=0)
    axes.tick_params(axis="y", labelsize=7.5)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.yaxis.set_major_formatter(lambda y, _: f"{y:g}")  # 1.2e+07: no factor over the axis
    axes.grid(axis="y")
    axes.set_ylabel(row.unit, fontsize=8)
    axes.set_title(_panel_title(row), fontsize=8.5)


def _panel_title(row: RowValues) -> str:
    label = row_label({"row": row.row, "statistic": row.statistic})
    text = label if row.feature in row.row else f"{row.feature} {label}"
    return text if len(text) <= 40 else text[:39] + "…"


def draw_boxes(
    axes: Axes,
    groups: Sequence[Floats],
    *,
    width: float,
    orientation: Literal["vertical", "horizontal"] = "vertical",
) -> None:
    """Draw a box of each group at its number; none of a group without finite values."""
    boxes = [box_stats(values) for values in groups]
    axes.bxp(
        [box for box in boxes if box],
        positions=[k for k, box in enumerate(boxes) if box],
        orientation=orientation,
        widths=width,
        showfliers=False,
        showcaps=False,
        patch_artist=True,
        manage_ticks=False,
        boxprops={"facecolor": SKY, "edgecolor": BLUE, "lw": 0.8},
        medianprops={"color": BLACK, "lw": 1.4},
        whiskerprops={"color": BLUE, "lw": 0.8},
    )


def box_stats(values: Floats) -> dict[str, float] | None:
    """Return what matplotlib needs for a box; None for a class without clips."""
    finite = values[np.isfinite(values)].astype(np.float64)
    if not len(finite):
        return None
    low, q1, median, q3, high = np.percentile(finite, [_WHISKERS[0], 25, 50, 75, _WHISKERS[1]])
    return {"whislo": low, "q1": q1, "med": median, "q3": q3, "whishi": high}
