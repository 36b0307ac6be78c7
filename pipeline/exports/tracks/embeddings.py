"""A file of TAGS in, its tracks' embeddings out, where a run has kept them (`--embeddings`)."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.arrays import Float32
from pipeline.exports.source import ExportSource
from pipeline.exports.texts import Row
from pipeline.store.tags.tagfiles import file_beside


class Embeddings:
    """The embeddings of one model's tracks, read from beside their file of TAGS."""

    def __init__(self, source: ExportSource) -> None:
        self._folder = source.store.folder
        self._there = set(source.store.files(source.origin.model_id, "embeddings"))

    def __bool__(self) -> bool:
        return bool(self._there)

    def of(self, name: str, rows: Iterable[Row]) -> list[Float32 | None]:
        """Return the embedding of each row of a file of TAGS; None where none was kept."""
        rows = list(rows)
        if (beside := file_beside(name, "embeddings")) not in self._there:
            return [None] * len(rows)
        wanted = pa.array([row["uri"] for row in rows], pa.string())
        table = self._folder.read_rows(beside, pc.is_in(pc.field("uri"), value_set=wanted))
        keys = zip(table["uri"].to_pylist(), table["fingerprint"].to_pylist(), strict=True)
        vectors = (np.asarray(one, np.float32) for one in table["embedding"].to_pylist())
        found = dict(zip(keys, vectors, strict=True))
        return [found.get((row["uri"], row["fingerprint"])) for row in rows]
