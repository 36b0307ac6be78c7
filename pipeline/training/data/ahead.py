"""Pieces of mapped files that are about to be read: all of them are asked for at once.

Linux reads a page of a mapped file when it is touched, and up to some megabytes around it, as if
the file were read from end to end. Random windows want neither the wait, one after the other, nor
what lies around.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy.typing as npt
import pyarrow as pa

_WILLNEED = 3  # of madvise, on Linux and macOS


def mapped_table(path: Path) -> pa.Table:
    """Return a table whose memory is the Arrow file, of which only what is touched is read."""
    with path.open("rb") as file:
        mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
    table = pa.ipc.open_file(pa.BufferReader(pa.py_buffer(mapped))).read_all()
    mapped.madvise(mmap.MADV_RANDOM)
    return table


def ask_for(pieces: Sequence[npt.NDArray[Any]]) -> None:
    """Let the disk begin to read pieces of mapped files, each in one stretch; do not wait for it.

    Pieces of memory that is not mapped from a file stay as they are.
    """
    for piece in pieces:
        start = piece.ctypes.data
        first = start - start % mmap.PAGESIZE
        _madvise()(ctypes.c_void_p(first), start + piece.nbytes - first, _WILLNEED)


@lru_cache(maxsize=1)
def _madvise() -> Any:
    madvise = ctypes.CDLL(None).madvise
    madvise.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
    return madvise
