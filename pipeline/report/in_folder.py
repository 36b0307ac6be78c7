"""A folder's files and a plan in; what of the plan the folder has, in numbers and words, out. PURE.

A file belongs to the segments of the video whose id is its name without the suffix.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.compute as pc

N_NAMED = 5


@dataclass(frozen=True)
class InFolder:
    """What a folder has of a plan."""

    folder: str
    n_there: int
    """Planned segments with a file."""
    n_missing: int
    """How many planned segments have no file."""
    missing: Sequence[str]
    """The ids of the first of those, by name."""
    n_unasked: int
    """Files that no planned segment asks for."""
    unasked: Sequence[str]
    """The names of the first of those."""
    n_to_get: int
    """Segments with a file that no earlier run has finished."""


def look_into(
    names: Mapping[str, str], planned: pa.ChunkedArray, to_do: pa.ChunkedArray, *, folder: str
) -> InFolder:
    """Compare a folder's files with a plan.

    Parameters
    ----------
    names
        The name of each file, by the id that it is of.
    planned, to_do
        The ids of the planned segments, and of those that are not finished: one a segment.

    >>> plan = pa.chunked_array([["a", "a", "b"]])
    >>> found = look_into({"a": "a.wav", "c": "c.mp3"}, plan, plan, folder="videos")
    >>> found.n_there, found.missing, found.unasked
    (2, ['b'], ['c.mp3'])
    """
    ids = pa.array(list(names), pa.string())
    is_there = pc.is_in(planned, value_set=ids)
    missing = sorted(pc.unique(planned.filter(pc.invert(is_there))).to_pylist())
    asked = set(pc.unique(planned).to_pylist())
    unasked = sorted(name for ytid, name in names.items() if ytid not in asked)
    n_there = pc.sum(is_there).as_py() or 0
    return InFolder(
        folder,
        n_there=n_there,
        n_missing=len(planned) - n_there,
        missing=missing[:N_NAMED],
        n_unasked=len(unasked),
        unasked=unasked[:N_NAMED],
        n_to_get=pc.sum(pc.is_in(to_do, value_set=ids)).as_py() or 0,
    )


def in_folder_lines(found: InFolder) -> list[str]:
    """Return what a folder has of a plan for a person to read."""
    lines = [
        f"in {found.folder}: {found.n_there:,d} of the planned segments have a file, "
        f"{found.n_missing:,d} have none{_first(found.missing, found.n_missing)}"
    ]
    if found.n_unasked:
        lines.append(
            f"  {found.n_unasked:,d} files are asked for by no segment"
            f"{_first(found.unasked, found.n_unasked)}"
        )
    return lines


def _first(names: Sequence[str], n_all: int) -> str:
    return f": {', '.join(names)}{', ...' if n_all > len(names) else ''}" if names else ""
