"""A `Page` of words, numbers and pictures in, one HTML file out. PURE.

The file asks nothing of any other: style, pictures and sound are inside it, and its own policy
forbids scripts and requests. All words are escaped, as uris and messages come from the outside
world.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources

import jinja2

from pipeline.report.picture import Picture

Cell = str | int | float | None


@dataclass(frozen=True)
class Tile:
    """A key figure: what it is, how much, and a word on it."""

    label: str
    value: Cell
    note: str = ""


@dataclass(frozen=True)
class Table:
    """Rows under columns; a column of numbers stands on the right, floats with 3 decimals."""

    title: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    note: str = ""
    numbers: Sequence[str] = ()
    """Columns that hold numbers as text, with a sign or a unit: they stand on the right as well."""
    codes: Sequence[str] = ()
    """Columns of text to paste elsewhere: a click on a cell selects all of it."""
    command: str = ""
    """A command to paste into a shell, under the note."""

    @property
    def is_code(self) -> list[bool]:
        """Whether each column holds text to paste."""
        return [column in self.codes for column in self.columns]

    @property
    def is_numeric(self) -> list[bool]:
        """Whether each column holds only numbers and gaps."""
        return [
            bool(self.rows)
            and (column in self.numbers or all(not isinstance(row[k], str) for row in self.rows))
            for k, column in enumerate(self.columns)
        ]

    def filled(self) -> Table:
        """Return the table without the columns that say nothing in any row."""
        if not self.rows:
            return self
        kept = [k for k in range(len(self.columns)) if any(row[k] is not None for row in self.rows)]
        columns = [self.columns[k] for k in kept]
        rows = [tuple(row[k] for k in kept) for row in self.rows]
        numbers, codes = (
            [name for name in of if name in columns] for of in (self.numbers, self.codes)
        )
        return replace(self, columns=columns, rows=rows, numbers=numbers, codes=codes)


@dataclass(frozen=True)
class Points:
    """A few lines, each a point of its own; `calm` where there is nothing to worry about."""

    title: str
    points: Sequence[str]
    calm: bool = False


@dataclass(frozen=True)
class Sound:
    """Something to listen to, in a data URI, its words and its picture under it."""

    title: str
    words: str
    audio_uri: str
    picture: Picture
    origin: str = ""
    """Where it is from: a uri, shown as it is."""


@dataclass(frozen=True)
class Sounds:
    """What there is to listen to, under a word on it."""

    title: str
    sounds: Sequence[Sound]
    note: str = ""


Block = Table | Picture | Points | Sounds


@dataclass(frozen=True)
class Page:
    """A report: `blocks` are shown in their order, then the notes, then where all of it is from."""

    title: str
    lead: str
    tiles: Sequence[Tile] = ()
    blocks: Sequence[Block] = ()
    notes: Sequence[str] = ()
    provenance: Mapping[str, str] = field(default_factory=dict)


def render_page(page: Page) -> str:
    """Return the page as one HTML text, fit to be written as UTF-8."""
    html = _template().render(page=page)
    return html.encode("utf-8", errors="replace").decode("utf-8")  # file names may be half a code


def cell_text(cell: Cell) -> str:
    """Return a cell as it is shown: 1,011 and 0.873, and a dash for a gap."""
    if cell is None or cell == "" or (isinstance(cell, float) and not math.isfinite(cell)):
        return "\u2013"
    if isinstance(cell, float):
        return f"{cell:,.3f}"
    return f"{cell:,d}" if isinstance(cell, int) else cell


@cache
def _template() -> jinja2.Template:
    environment = jinja2.Environment(
        autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["cell_text"] = cell_text
    text = (resources.files("pipeline.report") / "page.html").read_text(encoding="utf-8")
    return environment.from_string(text)
