"""A matplotlib figure in, its numbers as one line of text out: what a screen reader says. PURE.

Read from what is drawn, so a picture and its text cannot disagree.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.container import BarContainer
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle, StepPatch

_MOST_CHARS = 1500
"""What is longer is cut: nobody listens to it, and the tables have all numbers."""


def figure_text(figure: Figure) -> str:
    """Return what a figure shows, panel by panel: titles, bars, lines, bins, cells and notes.

    Axes that are switched off are left out, unless a text stands in them.
    """
    panels = (_axes_text(axes) for axes in figure.axes if axes.get_label() != "<colorbar>")
    text = ". ".join(panel for panel in panels if panel)
    return text if len(text) <= _MOST_CHARS else f"{text[:_MOST_CHARS].rpartition(' ')[0]} …"


def number_text(value: float) -> str:
    """Return a number as it is said: three digits, large ones whole.

    >>> number_text(0.12345), number_text(1100.0), number_text(62.5)
    ('0.123', '1,100', '62.5')
    """
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _axes_text(axes: Axes) -> str:
    title = axes.get_title("left") or axes.get_title() or axes.get_xlabel()
    has_figure = re.search(r"\d\.\d", title) is not None  # a curve's own, such as the area below
    parts = [*_bars(axes), *_bins(axes), *([] if has_figure else _lines(axes))]
    parts += [*_dots(axes), *_images(axes)]
    parts = parts or [text.get_text().strip() for text in axes.texts]
    head = ", ".join(title.split("\n"))
    return ": ".join(part for part in (head, "; ".join(filter(None, parts))) if part)


def _bars(axes: Axes) -> Iterator[str]:
    for bars in axes.containers:
        if not isinstance(bars, BarContainer) or not bars.patches:
            continue
        is_upright = bars.orientation == "vertical"
        spans = [_span(bar, is_upright) for bar in bars.patches]
        if len(spans) > 1 and np.isclose(spans[0][1], spans[1][0]):  # bins of a histogram
            values, edges = [span[2] for span in spans], [spans[0][0], *(span[1] for span in spans)]
            yield _named(bars.get_label(), _peak(values, edges))
            continue
        labels = _labels(axes.xaxis if is_upright else axes.yaxis)
        said = [f"{_at((a + b) / 2, labels)}: {number_text(length)}" for a, b, length in spans]
        yield _named(bars.get_label(), ", ".join(said))


def _span(bar: Rectangle, is_upright: bool) -> tuple[float, float, float]:
    """Return where a bar begins and ends on the axis of its name, and its length."""
    if is_upright:
        return bar.get_x(), bar.get_x() + bar.get_width(), bar.get_height()
    return bar.get_y(), bar.get_y() + bar.get_height(), bar.get_width()


def _bins(axes: Axes) -> Iterator[str]:
    for steps in axes.patches:
        if isinstance(steps, StepPatch):
            values, edges, _ = steps.get_data()
            if np.nansum(values) > 0:
                yield _named(steps.get_label(), _peak(values.tolist(), edges.tolist()))


def _peak(values: Sequence[float], edges: Sequence[float]) -> str:
    k = int(np.nanargmax(values))
    ends = f"{number_text(edges[k])} to {number_text(edges[k + 1])}"
    return f"largest bin {number_text(values[k])}, from {ends}"


def _lines(axes: Axes) -> Iterator[str]:
    for line in axes.lines:
        y = np.ma.masked_invalid(np.asarray(line.get_ydata(), np.float64)).compressed()
        if not len(y) or line.get_linestyle() == ":":  # dotted lines are there to compare with
            continue
        words = number_text(y[0])
        if len(y) > 1:
            words = f"from {words} to {number_text(y[-1])}, "
            words += f"between {number_text(y.min())} and {number_text(y.max())}"
        yield _named(line.get_label(), words)


def _dots(axes: Axes) -> Iterator[str]:
    for dots in axes.collections:
        n = len(np.asarray(dots.get_offsets()))
        if n > 1:
            yield _named(dots.get_label(), f"{n:,d} dots")


def _images(axes: Axes) -> Iterator[str]:
    for image in axes.images:
        cells: Any = np.ma.masked_invalid(np.ma.asarray(image.get_array()))
        if not cells.count():
            yield "no values"
            continue
        ends = f"from {number_text(cells.min())} to {number_text(cells.max())}"
        yield f"{cells.shape[0]} rows and {cells.shape[1]} columns, {ends}"
    yield from _cells(axes) if axes.images else ()


def _cells(axes: Axes) -> Iterator[str]:
    """Yield each row of a grid with the texts in its cells."""
    rows, columns = _labels(axes.yaxis), _labels(axes.xaxis)
    said: dict[str, list[str]] = {}
    for text in axes.texts:
        x, y = text.get_position()
        words = f"{_at(x, columns)} {text.get_text().strip()}"
        said.setdefault(_at(y, rows), []).append(words)
    for row, cells in said.items():
        yield f"{row}: {', '.join(cells)}"


def _labels(axis: Axis) -> dict[int, str]:
    """Return the names at whole places of an axis; nothing of an axis of numbers."""
    places = np.asarray(axis.get_majorticklocs())
    names = axis.get_major_formatter().format_ticks(
        places.tolist()
    )  # a shared axis hides its own labels
    return {round(p): n for p, n in zip(places, names, strict=True) if n and p == round(p)}


def _at(place: float, labels: dict[int, str]) -> str:
    return labels.get(round(place), number_text(place))


def _named(label: object, words: str) -> str:
    """Return words behind a label; matplotlib's own, which begin with _, are left out."""
    name = str(label)
    return words if not name or name.startswith("_") else f"{name}: {words}"
