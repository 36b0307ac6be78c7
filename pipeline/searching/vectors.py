"""The embeddings of a tagging folder in, what lies nearest to a vector out; exact, and in memory.

A vector of 512 numbers takes 1 KB: a million tracks take 1 GB, and each search reads all of it once
(`dots.py`).
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.arrays import Float16, Float32, Int64
from pipeline.errors import SpecMismatch, UsageError
from pipeline.searching.dots import dots, lengths
from pipeline.store.folder import Folder
from pipeline.store.matrices import vector_matrix

_MOST_OF_MEMORY = 0.6
"""Share of this machine's memory that vectors may take."""


@dataclass(frozen=True)
class Vectors:
    """Embeddings, and what each is of."""

    rows: pa.Table
    """`uri`, `fingerprint` and, of windows, `window`, `start_s`, `end_s`, `is_active`."""
    matrix: Float16
    """An embedding a row, `[n, n_features]`."""
    lengths: Float32
    """The Euclidean length of each embedding, `[n]`."""

    @classmethod
    def read(
        cls, folder: Folder, names: Sequence[str], columns: Sequence[str], *, width: int = 0
    ) -> Vectors:
        """Read the vectors of some files, and `columns` beside them; `width` is that of none.

        Raises
        ------
        UsageError
            Where this machine's memory has no room for them.
        SpecMismatch
            Where the files have vectors of several lengths.
        """
        with ThreadPoolExecutor(os.cpu_count()) as pool:
            counts = list(pool.map(folder.n_rows, names))
            width = _width(folder, names, counts) or width
            _check_memory(sum(counts), width)
            matrix = np.empty((sum(counts), width), np.float16)
            ends = np.cumsum(counts)

            def read(k: int) -> pa.Table:
                table = folder.read_table(names[k], [*columns, "embedding"])
                found = vector_matrix(table["embedding"])
                if len(found) and found.shape[1] != width:
                    raise SpecMismatch(
                        f"{folder.uri_of(names[k])}: embeddings of {found.shape[1]} numbers; "
                        f"those of {names[0]} have {width}"
                    )
                matrix[ends[k] - counts[k] : ends[k]] = found.reshape(-1, width)
                return table.select(list(columns))

            none = pa.table({key: pa.array([], pa.string()) for key in columns})
            rows = list(pool.map(read, range(len(names)))) or [none]
        return cls(pa.concat_tables(rows), matrix, lengths(matrix))

    def __len__(self) -> int:
        return len(self.matrix)

    def rows_of(self, uri: str) -> Int64:
        """Return the rows that are of a track."""
        return np.flatnonzero(pc.equal(self.rows["uri"], uri).to_numpy())

    def vector(self, row: int) -> Float32:
        """Return the embedding of a row, `[n_features]`."""
        return np.asarray(self.matrix[row], np.float32)

    def nearest(
        self, vector: Float32, limit: int, among: Int64 | None = None
    ) -> tuple[Int64, Float32]:
        """Return the rows nearest to a vector, `[n_features]`, and their cosine similarities.

        The nearest row stands first; `among` are the rows that may be found. All are looked at.
        """
        if vector.shape != self.matrix.shape[1:]:
            raise SpecMismatch(
                f"a vector of {vector.shape[0]} numbers; the embeddings have {self.matrix.shape[1]}"
            )
        rows = np.arange(len(self.matrix)) if among is None else among
        of_rows = self.lengths if among is None else self.lengths[among]
        length = float(np.linalg.norm(vector))
        similarity = dots(self.matrix, vector / (length or 1.0), among)
        similarity = np.divide(similarity, of_rows, out=similarity, where=of_rows > 0)
        return best_of(rows, similarity, limit)


def unit(vectors: Float16 | Float32) -> Float32:
    """Return vectors, `[n, n_features]`, with length 1; those of length 0 stay, like none."""
    floats = vectors.astype(np.float32)
    length = np.linalg.norm(floats, axis=1, keepdims=True)
    np.divide(floats, length, out=floats, where=length > 0)
    return floats


def best_of(rows: Int64, similarity: Float32, limit: int) -> tuple[Int64, Float32]:
    """Return the `limit` rows of the largest similarity, and that, the largest first."""
    best = np.arange(len(rows))
    if 0 < limit < len(rows):
        best = np.argpartition(-similarity, limit - 1)[:limit]
    best = best[np.lexsort((rows[best], -similarity[best]))][:limit]
    return rows[best], similarity[best]


def _width(folder: Folder, names: Sequence[str], counts: Sequence[int]) -> int:
    """Return how many numbers a vector has; 0 where there are none."""
    for name, n_rows in zip(names, counts, strict=True):
        if n_rows:
            first = next(folder.read_pieces(name)).slice(0, 1)
            return len(first["embedding"][0])
    return 0


def _check_memory(n_rows: int, width: int) -> None:
    room = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") * _MOST_OF_MEMORY
    if (wanted := 2 * n_rows * width) > room:
        raise UsageError(
            f"{n_rows:,} embeddings take {wanted / 1e9:,.0f} GB, more than this machine has room "
            "for; search on a larger machine"
        )
