"""The bytes of a column's rows, where they lie in memory: pyarrow's own scalars are copies."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import pyarrow as pa


def buffers_of(column: pa.ChunkedArray) -> Iterator[pa.Buffer]:
    """Yield the bytes of each row of a column of binaries, large or not; none may be null."""
    width = np.int64 if pa.types.is_large_binary(column.type) else np.int32
    for chunk in column.chunks:
        _, offsets, data = chunk.buffers()
        ends = np.frombuffer(offsets or b"", width)[chunk.offset :][: len(chunk) + 1]
        for first, last in pairwise(ends):
            yield (data or pa.py_buffer(b"")).slice(int(first), int(last - first))
