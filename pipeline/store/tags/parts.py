"""A uri's hash in, the part of a model's TAGS that has its row out. PURE.

A model's tracks are cut into 2^k parts of like size by the first k bits of their uris' hashes, so
that whatever a run does with rows (anti-join, deduplication, compaction) is done a part at a
time, on any machine. A part is named by its number and by how many there are, `03-of-16`: a folder
says by its names alone how it is cut, and a kill while it is cut anew leaves no doubt.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.arrays import Hashes

MAX_ROWS = 1 << 20
"""Rows of a part, at most: 40 MB of index, and what a task holds of a catalogue's uris."""
_NAME = re.compile(r"(\d+)-of-(\d+)")


def n_parts_for(n_rows: int) -> int:
    """Return into how many parts so many rows are cut: a power of two, one for a small catalogue.

    >>> [n_parts_for(n) for n in (0, 1_000_000, 10_000_000, 100_000_000)]
    [1, 1, 16, 128]
    """
    n_parts = 1
    while n_rows > n_parts * MAX_ROWS:
        n_parts *= 2
    return n_parts


def part_name(number: int, n_parts: int) -> str:
    """Return a part's name.

    >>> part_name(3, 16), part_name(0, 1)
    ('03-of-16', '0-of-1')
    """
    return f"{number:0{len(str(n_parts))}d}-of-{n_parts}"


def part_names(n_parts: int) -> list[str]:
    """Return the names of all parts, in their order.

    >>> part_names(2)
    ['0-of-2', '1-of-2']
    """
    return [part_name(number, n_parts) for number in range(n_parts)]


def n_parts_of(names: Iterable[str]) -> int:
    """Return into how many parts a folder is cut, by the names of its parts; 1 where it has none.

    While it is being cut anew there are parts of both kinds: the larger number is the one to be.

    >>> n_parts_of(["0-of-1", "1-of-2"]), n_parts_of([])
    (2, 1)
    """
    found = (_NAME.fullmatch(name) for name in names)
    return max((int(one[2]) for one in found if one), default=1)


def part_numbers(hashes: Hashes, n_parts: int) -> npt.NDArray[np.intp]:
    """Return each hash's part, `[n]`: its first bits.

    >>> part_numbers(np.array([0, 2**63, 2**64 - 1], np.uint64), 2).tolist()
    [0, 1, 1]
    """
    if n_parts == 1:
        return np.zeros(len(hashes), np.intp)
    shift = np.uint64(64 - (n_parts.bit_length() - 1))
    return (hashes >> shift).astype(np.intp)


def hash_range(number: int, n_parts: int) -> tuple[int, int]:
    """Return the least and the largest hash of a part.

    >>> hash_range(0, 1) == (0, 2**64 - 1), hash_range(1, 2) == (2**63, 2**64 - 1)
    (True, True)
    """
    size = (1 << 64) // n_parts
    return number * size, (number + 1) * size - 1


def by_part(table: pa.Table, hashes: Hashes, n_parts: int) -> Iterator[tuple[int, pa.Table]]:
    """Yield the rows of a table by the parts of their hashes, in the order of the parts."""
    if n_parts == 1:
        yield 0, table
        return
    numbers = part_numbers(hashes, n_parts)
    order = np.argsort(numbers, kind="stable")
    found, firsts = np.unique(numbers[order], return_index=True)
    rows = table.take(pa.array(order))
    for number, first, after in zip(found, firsts, [*firsts[1:], len(order)], strict=True):
        yield int(number), rows.slice(first, after - first)
