"""Products of 16-bit vectors with one 32-bit vector, at the speed at which memory is read.

NumPy takes ten times as long: it makes a copy of 32 bits first, a value at a time. Here the bits of
a half are moved to where a float has them, which leaves its exponent 112 too small; the other
vector is made larger by that.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import numba
import numpy as np
import numpy.typing as npt

from pipeline.arrays import Float16, Float32, Int64

SCALE = np.float32(2.0**112)
_ROWS_AT_ONCE = 1 << 14


def dots(vectors: Float16, query: Float32, rows: Int64 | None = None) -> Float32:
    """Return the product of each vector, `[n, width]`, with one, `[width]`, or of some `rows`.

    Numbers of the query must be below 65,504; those of the vectors are finite.
    """
    scaled = query.astype(np.float32) * SCALE
    bits = vectors.view(np.uint16)
    wanted = np.arange(len(vectors)) if rows is None else rows

    def part(start: int) -> Float32:
        found: Float32 = _dots(bits, wanted[start : start + _ROWS_AT_ONCE], scaled)
        return found

    return _joined(part, len(wanted))


def lengths(vectors: Float16) -> Float32:
    """Return the Euclidean length of each vector, `[n]`."""
    bits = vectors.view(np.uint16)

    def part(start: int) -> Float32:
        found: Float32 = _squares(bits[start : start + _ROWS_AT_ONCE])
        return found

    return np.sqrt(_joined(part, len(bits)))


def _joined(part: Callable[[int], Float32], n_rows: int) -> Float32:
    """Return what a function gives for each stretch of rows; threads share the work."""
    starts = range(0, n_rows, _ROWS_AT_ONCE)
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        found = list(pool.map(part, starts))
    return np.concatenate([np.zeros(0, np.float32), *found])


@numba.njit(nogil=True, cache=True)
def _value(half: np.uint16) -> np.float32:
    sign = (np.uint32(half) & np.uint32(0x8000)) << np.uint32(16)
    rest = (np.uint32(half) & np.uint32(0x7FFF)) << np.uint32(13)
    return np.uint32(sign | rest).view(np.float32)


@numba.njit(nogil=True, cache=True, fastmath=True)
def _dots(bits: npt.NDArray[np.uint16], rows: Int64, scaled: Float32) -> Float32:
    found = np.empty(len(rows), np.float32)
    for k in range(len(rows)):
        row, total = rows[k], np.float32(0)
        for j in range(bits.shape[1]):
            total += _value(bits[row, j]) * scaled[j]
        found[k] = total
    return found


@numba.njit(nogil=True, cache=True, fastmath=True)
def _squares(bits: npt.NDArray[np.uint16]) -> Float32:
    found = np.empty(len(bits), np.float32)
    for k in range(len(bits)):
        total = np.float32(0)
        for j in range(bits.shape[1]):
            value = _value(bits[k, j]) * np.float32(2.0**112)
            total += value * value
        found[k] = total
    return found
