"""The `Picture` of a catalogue's attributes: a histogram each."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from pipeline.evaluation.runs.attribute_figures import AttributeFigures
from pipeline.report.panels import N_COLUMNS, grid_of
from pipeline.report.picture import (
    BLUE,
    VERMILLION,
    Picture,
    as_picture,
    count_in_integers,
    drawing,
    say_empty,
)


def attributes_picture(attributes: Sequence[AttributeFigures]) -> Picture:
    """Draw how the values of each attribute lie over the tracks of the catalogue."""
    n_rows = -(-len(attributes) // N_COLUMNS)
    with drawing(height_in=0.3 + 1.8 * n_rows) as figure:
        for axes, one in zip(grid_of(figure, len(attributes)), attributes, strict=False):
            _draw(axes, one)
        figure.supylabel("tracks", fontsize="medium")
        return as_picture(
            figure,
            title="Attributes, drawn",
            caption="How many tracks of the catalogue have which value; the red line is the mean. "
            "What lies beyond the scale is counted in its outermost bin.",
            numbers=". ".join(map(_numbers, attributes)),
        )


def _numbers(one: AttributeFigures) -> str:
    if not one.n_tracks:
        return f"{one.name}: no values"
    return (
        f"{one.name}: {one.n_tracks:,d} tracks, mean {one.mean:.1f}, deviation {one.deviation:.1f}"
    )


def _draw(axes: Axes, one: AttributeFigures) -> None:
    axes.set_title(one.name, fontsize=8.5)
    axes.set_xlim(*one.range)
    if not one.n_tracks:
        say_empty(axes, "no values")
        axes.set_yticks([])
        return
    edges = np.linspace(*one.range, len(one.counts) + 1)
    axes.stairs(one.counts, edges, fill=True, color=BLUE)
    axes.axvline(float(np.clip(one.mean, *one.range)), color=VERMILLION, lw=1.2)
    count_in_integers(axes.yaxis, "")
