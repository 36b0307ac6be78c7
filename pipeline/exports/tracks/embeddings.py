"""A file of TAGS in, its tracks' embeddings out, where a run has kept them (`--embeddings`)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa

from pipeline.arrays import Float32
from pipeline.exports.source import ExportSource
from pipeline.exports.texts import Row
from pipeline.store.tags.tagfiles import file_beside


class Embeddings:
    """The embeddings of one model's tracks, read from beside their file of TAGS, one at a time."""

    def __init__(self, source: ExportSource) -> None:
        self._folder = source.store.folder
        self._there = set(source.store.files(source.origin.model_id, "embeddings"))
        self._at = ""
        self._index: dict[tuple[str, str], int] = {}
        self._vectors: pa.ChunkedArray | None = None

    def __bool__(self) -> bool:
        return bool(self._there)

    def of(self, name: str, rows: Iterable[Row]) -> list[Float32 | None]:
        """Return the embedding of each row of a file of TAGS; None where none was kept."""
        self._open(file_beside(name, "embeddings"))
        found = [self._index.get((row["uri"], row["fingerprint"])) for row in rows]
        return [None if at is None else self._vector(at) for at in found]

    def _open(self, name: str) -> None:
        """Read a file of embeddings, unless it is the one that was read last."""
        if name == self._at:
            return
        self._at, self._index, self._vectors = name, {}, None
        if name in self._there:
            table = self._folder.read_table(name, ["uri", "fingerprint", "embedding"])
            keys = zip(table["uri"].to_pylist(), table["fingerprint"].to_pylist(), strict=True)
            self._index = {key: at for at, key in enumerate(keys)}
            self._vectors = table["embedding"]

    def _vector(self, at: int) -> Float32 | None:
        assert self._vectors is not None
        values = self._vectors[at].values
        return None if values is None else np.asarray(values, np.float32)
