"""The tables of attributes on the page of a tagging run. PURE."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import zip_longest

from pipeline.evaluation.runs.attribute_figures import AttributeFigures, Track
from pipeline.report.page import Table


def attributes_table(attributes: Sequence[AttributeFigures]) -> Table:
    """Return what each attribute means, and how its values lie over the catalogue."""
    rows = [
        (one.name, one.meaning, "{:g} to {:g}".format(*one.range), one.n_tracks, *_moments(one))
        for one in attributes
    ]
    return Table(
        "Attributes",
        ("column", "what a larger value means", "scale", "tracks", "mean", "deviation"),
        rows,
        "Of all tracks of the catalogue that have a value. Values are of a few excerpts of each "
        "track, and may go beyond the scale. A track of silence has none.",
        numbers=("mean", "deviation"),
    )


def _moments(one: AttributeFigures) -> tuple[str | None, str | None]:
    if not one.n_tracks:
        return None, None
    return _text(one, one.mean), _text(one, one.deviation)


def _text(one: AttributeFigures, value: float) -> str:
    """Return a value with as many digits as its scale asks for."""
    return f"{value:.1f}" if one.range[1] > 1 else f"{value:.2f}"


def extremes_table(attributes: Sequence[AttributeFigures]) -> Table:
    """Return the tracks with the highest and the lowest values of each attribute."""
    rows = [
        (one.name, *_cells(one, highest), *_cells(one, lowest))
        for one in attributes
        for highest, lowest in zip_longest(one.highest, one.lowest)
    ]
    return Table(
        "Highest and lowest tracks by attribute",
        ("column", "highest", "track", "lowest", "track, lowest"),
        rows,
        numbers=("highest", "lowest"),
    )


def _cells(one: AttributeFigures, track: Track | None) -> tuple[str | None, str | None]:
    return (None, None) if track is None else (_text(one, track[0]), track[1])
