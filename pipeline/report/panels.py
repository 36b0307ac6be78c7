"""A figure and classes in, one small set of axes for every class out: what curves are drawn on."""

from __future__ import annotations

from collections.abc import Iterable

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.figure import Figure

N_COLUMNS = 4


def panels_height_in(n_panels: int) -> float:
    """Return how high a figure with so many panels is."""
    n_columns = max(1, min(N_COLUMNS, n_panels))
    return 0.7 + 2.15 * -(-max(1, n_panels) // n_columns)


def grid_of(figure: Figure, n_panels: int, n_columns: int = N_COLUMNS) -> list[Axes]:
    """Return axes row by row, at least one row; those that no panel needs are not drawn."""
    n_rows = max(1, -(-n_panels // n_columns))
    grid: list[Axes] = list(figure.subplots(n_rows, n_columns, squeeze=False).ravel())
    for axes in grid[n_panels:]:
        axes.set_axis_off()
    return grid


def unit_panels(figure: Figure, n_panels: int, *, x: str, y: str) -> list[Axes]:
    """Return panels, row by row, whose axes go from 0 to 1 and share their names."""
    n_columns = max(1, min(N_COLUMNS, n_panels))
    n_rows = -(-max(1, n_panels) // n_columns)
    grid = figure.subplots(n_rows, n_columns, sharex=True, sharey=True, squeeze=False).ravel()
    panels: list[Axes] = list(grid[:n_panels])
    for axes in grid[n_panels:]:
        axes.set_axis_off()
    for axes in panels[-n_columns:]:
        axes.tick_params(labelbottom=True)
    for axes in panels:
        axes.grid()
    grid[0].set(xlim=(0, 1), ylim=(0, 1.03))
    grid[0].set(xticks=(0, 0.5, 1), yticks=(0, 0.5, 1))
    grid[0].xaxis.set_major_formatter("{x:g}")
    grid[0].yaxis.set_major_formatter("{x:g}")
    figure.supxlabel(x, fontsize="medium")
    figure.supylabel(y, fontsize="medium")
    return panels


def one_legend(figure: Figure, panels: Iterable[Axes]) -> None:
    """Put one legend over all panels: what has the same label in several is named once."""
    handles: dict[str, Artist] = {}
    for axes in panels:
        lines, labels = axes.get_legend_handles_labels()
        handles |= dict(zip(labels, lines, strict=True))
    figure.legend(
        list(handles.values()), list(handles), loc="outside upper right", ncols=max(1, len(handles))
    )
