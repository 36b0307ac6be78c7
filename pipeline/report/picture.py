"""A matplotlib drawing in, a `Picture` out: an image that a page can carry inside itself.

No pyplot: nothing here opens a window, or leaves a figure or a setting behind.
"""

from __future__ import annotations

import base64
import io
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import cycle
from typing import Any

import numpy as np
import numpy.typing as npt
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from pipeline.report.figure_text import figure_text

Series = Mapping[str, Sequence[float]]
Range = tuple[float | None, float | None]

WIDTH_IN = 9.0

# Okabe and Ito's colours, which the colour-blind can tell apart.
BLUE, ORANGE, GREEN, VERMILLION = "#0072B2", "#E69F00", "#009E73", "#D55E00"
SKY, PINK, GREY, BLACK = "#56B4E9", "#CC79A7", "#8A929B", "#1F2933"
SERIES = (BLUE, ORANGE, GREEN, PINK, SKY, VERMILLION, GREY)

_STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 9.5,
    "text.color": BLACK,
    "text.parse_math": False,  # a class may be called "$"
    "axes.edgecolor": "#9AA5B1",
    "axes.labelcolor": BLACK,
    "axes.titlesize": 10,
    "axes.titlelocation": "left",
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": "#E4E7EB",
    "xtick.color": "#52606D",
    "ytick.color": "#52606D",
    "xtick.labelcolor": BLACK,
    "ytick.labelcolor": BLACK,
    "legend.frameon": False,
    "svg.fonttype": "path",  # looks the same wherever it is opened
    "svg.hashsalt": "timbre",  # the same drawing is the same bytes
}


@dataclass(frozen=True)
class Picture:
    """An image with its words."""

    title: str
    caption: str
    data_uri: str
    numbers: str = ""
    """What is to be seen, in numbers; nothing in pictures that older versions have kept."""

    @property
    def alt(self) -> str:
        """What stands for the image where it cannot be seen."""
        return ": ".join(filter(None, (self.title, self.numbers)))


@contextmanager
def drawing(*, height_in: float) -> Iterator[Figure]:
    """Lend an empty figure as wide as a page; draw on it and call `as_picture` inside the block."""
    with rc_context(_STYLE):
        yield Figure(figsize=(WIDTH_IN, height_in), layout="constrained", facecolor="white")


def as_picture(figure: Figure, *, title: str, caption: str, numbers: str = "") -> Picture:
    """Return the figure as SVG in a data URI.

    `numbers` says what is to be seen; as much as `figure_text` finds if not given.
    """
    said = numbers or figure_text(figure)
    buffer = io.StringIO()
    figure.savefig(buffer, format="svg", metadata={"Date": None})
    encoded = base64.b64encode(_compact(buffer.getvalue()).encode()).decode("ascii")
    return Picture(title, caption, f"data:image/svg+xml;base64,{encoded}", said)


def _compact(svg: str) -> str:
    """Return the SVG without comments and indents, its coordinates in hundredths of a point."""
    svg = re.sub(r"<!--.*?-->|(?<=\n)[ \n]+", "", svg, flags=re.DOTALL)
    exact_or_long = re.compile(r"scale\([^)]*\)|(\b\d+\.\d\d)\d+\b")
    return exact_or_long.sub(lambda found: found[1] or found[0], svg)


def class_labels(class_names: Mapping[str, str]) -> list[str]:
    """Return 'name (code)' for every class, short enough to stand beside an axis."""
    return [
        code if name == code else f"{name if len(name) <= 28 else name[:27] + '…'} ({code})"
        for code, name in class_names.items()
    ]


def say_empty(axes: Axes, message: str) -> None:
    """Write, in the middle of axes that have nothing to show, why."""
    axes.text(0.5, 0.5, message, transform=axes.transAxes, ha="center", va="center", color=GREY)


def grouped_bars(
    axes: Axes,
    series: Series,
    labels: Sequence[str],
    *,
    number: str,
    right: float,
    ranges: Mapping[str, Sequence[Range]] | None = None,
) -> None:
    """Draw a group of bars for every label, one bar per series, each with its number behind it.

    `ranges` gives, for some series, the low and high end of each bar's interval, or two Nones.
    """
    height = 0.8 / len(series)
    middle = np.arange(len(labels))
    for i, ((name, values), colour) in enumerate(zip(series.items(), cycle(SERIES))):
        at = middle + (i - (len(series) - 1) / 2) * height
        axes.barh(at, values, height=0.9 * height, color=colour, label=name)
        ends = np.asarray(values, np.float64)
        if ranges and name in ranges:
            found = np.array(ranges[name], np.float64).reshape(len(ends), 2)
            axes.hlines(at, found[:, 0], found[:, 1], color=BLACK, lw=1)
            ends = np.fmax(ends, found[:, 1])
        write_numbers(axes, values, at, number, fontsize=7.5, ends=ends)
    axes.set_yticks(middle, labels)
    tidy_bars(axes, right=right)


def write_numbers(
    axes: Axes,
    values: npt.ArrayLike,
    at: npt.ArrayLike,
    number: str,
    *,
    fontsize: float,
    ends: npt.ArrayLike | None = None,
) -> None:
    """Write every value behind the end of its horizontal bar, or of what else ends there."""
    lengths = np.asarray(values if ends is None else ends)
    for value, y, end in zip(np.asarray(values), np.asarray(at), lengths, strict=True):
        axes.text(end, y, " " + number.format(value), va="center", fontsize=fontsize)


def tidy_bars(axes: Axes, *, right: float) -> None:
    """Put the first of the horizontal bars on top, and let the axis go from 0 to `right`."""
    axes.invert_yaxis()
    axes.margins(y=0.02)
    axes.grid(axis="x")
    axes.tick_params(axis="y", length=0)
    axes.set_xlim(0, right)


_N_LETTERS = 90  # of labels of one length that fit beside each other


def tidy_grid(axes: Axes) -> None:
    """Leave a grid of cells nothing but its labels, those of its columns on top.

    Where these would not fit beside each other they stand upright.
    """
    axes.tick_params(length=0, top=True, bottom=False, labeltop=True, labelbottom=False)
    names = [label.get_text() for label in axes.get_xticklabels()]
    if len(names) * (1 + max(map(len, names), default=0)) > _N_LETTERS:
        axes.tick_params(axis="x", labelrotation=90)
    axes.spines[:].set_visible(False)


def count_in_integers(axis: Axis, what: str) -> None:
    """Make an axis one of counts: a few whole numbers, 1,000 and not 1000."""
    axis.set_label_text(what)
    axis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    axis.set_major_locator(MaxNLocator(6, integer=True))
