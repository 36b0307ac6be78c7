"""Which attribute sets tracks were described by, as bits of what is known of them. PURE.

What a run knows of a track has 8 bits of flags: three say how it ended (`known`), the other five
stand for attribute sets, in the order of their names. An index says which names it was written
with, so that a set that comes or goes does not change what it says.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.seams import declaring

Flags = npt.NDArray[np.uint8]

SETS = tuple(declaring("pipeline.audio.description.attributes", "ATTRIBUTES"))
"""Names of the attribute sets that there are."""
_OTHERS = 3  # bits of `known`
assert len(SETS) <= 8 - _OTHERS, f"{len(SETS)} attribute sets; the flags have room for 5"
_BITS = {name: np.uint8(1 << (_OTHERS + k)) for k, name in enumerate(SETS)}


def bits_of(names: Sequence[str]) -> np.uint8:
    """Return the sum of the bits of some sets."""
    return np.uint8(sum(int(_BITS[name]) for name in names))


def bits_of_rows(attributes: pa.ChunkedArray) -> Flags:
    """Return the bits of each row of TAGS, `[n]`, by its column `attributes`."""
    lists = attributes.combine_chunks()
    names, rows = pc.list_flatten(lists), pc.list_parent_indices(lists)
    flags = np.zeros(len(lists), np.uint8)
    for name, bit in _BITS.items():
        flags[rows.filter(pc.equal(names, name)).to_numpy()] |= bit
    return flags


def translated(flags: Flags, names: Sequence[str]) -> Flags:
    """Return flags with the bits that sets have here; `names` are those that they were made with.

    Sets that there are no longer are left out. An index of before there were any names none.
    """
    found = flags & np.uint8((1 << _OTHERS) - 1)
    for k, name in enumerate(names):
        if name in _BITS:
            found[(flags & np.uint8(1 << (_OTHERS + k))) != 0] |= _BITS[name]
    return found
