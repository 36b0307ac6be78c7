"""A table for Embedding Atlas: every track as a point, with its tags; near ones sound alike."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import repeat

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from pipeline.arrays import Float32
from pipeline.exports.source import ExportSource
from pipeline.exports.task import Export, Task
from pipeline.exports.texts import Row, TagSource, title_of
from pipeline.exports.tracks.embeddings import Embeddings

_FITTED_ROWS = 20_000
"""Tracks that the projection is fitted to; all are projected."""


def fitted(vectors: Float32) -> Callable[[Float32], Float32]:
    """Return what projects `[n, n_dims]` to `[n, 2]`: the two main axes of some vectors (PCA).

    Each axis is scaled to unit variance over them. With less than two vectors or dimensions all
    points lie at the origin.
    """
    if min(vectors.shape) < 2:
        return lambda some: np.zeros((len(some), 2), np.float32)
    from sklearn.decomposition import PCA  # here, as it takes a second that no other export needs

    pca = PCA(2, whiten=True, random_state=0).fit(vectors)
    return lambda some: np.asarray(pca.transform(some), np.float32)


def schema_of(codes: Sequence[str], attributes: Sequence[str]) -> pa.Schema:
    """Return the columns of atlas.parquet."""
    numbers = ["duration_s", *(f"score_{code}" for code in codes), *attributes]
    return pa.schema(
        [
            ("uri", pa.string()),
            ("title", pa.string()),
            ("instruments", pa.string()),
            ("main_instrument", pa.string()),
            ("x", pa.float32()),
            ("y", pa.float32()),
            *((name, pa.float32()) for name in numbers),
            ("model_id", pa.string()),
        ]
    )


def point(row: Row, at: Float32, codes: Sequence[str], origin: TagSource) -> dict[str, object]:
    """Return a row of atlas.parquet: a track and where it lies."""
    scores, labels = row["scores"] or {}, row["labels"] or []
    main = max(labels, key=lambda code: scores.get(code) or 0.0, default=None)
    return {
        "uri": row["uri"],
        "title": title_of(row["uri"]),
        "instruments": "; ".join(map(origin.name, labels)),
        "main_instrument": origin.name(main) if main else "none",
        "x": float(at[0]),
        "y": float(at[1]),
        "duration_s": row["duration_s"],
        **{f"score_{code}": scores.get(code) for code in codes},
        **{name: row.get(name) for name in origin.attributes},
        "model_id": origin.model_id,
    }


class _Vectors:
    """What tracks are compared by: their embeddings, or their scores where none were kept."""

    def __init__(self, source: ExportSource) -> None:
        self._embeddings, self._codes = Embeddings(source), source.codes
        self.name = "embeddings" if self._embeddings else "scores, as no embeddings were kept"

    def of(self, name: str, rows: Sequence[Row]) -> tuple[list[Row], Float32]:
        """Return the rows that have a vector, and the vectors, `[n, n_dims]`."""
        if self._embeddings:
            pairs = zip(rows, self._embeddings.of(name, rows), strict=True)
            found = [(row, vector) for row, vector in pairs if vector is not None]
        else:
            found = [(row, self._scores(row)) for row in rows]
        vectors = [vector for _, vector in found]
        return [row for row, _ in found], np.stack(vectors) if vectors else np.zeros((0, 2), "f4")

    def _scores(self, row: Row) -> Float32:
        scores = row["scores"] or {}
        return np.array([scores.get(code) or 0.0 for code in self._codes], np.float32)


def _sample(source: ExportSource, vectors: _Vectors) -> Float32:
    """Return the vectors of every k-th track, as many as the projection is fitted to."""
    step, n_seen, found = -(-source.n_tracks // _FITTED_ROWS), 0, []
    for name, rows in source.batches():
        chosen = rows[-n_seen % step :: step]
        n_seen += len(rows)
        _, some = vectors.of(name, [row for row in chosen if row["status"] == "ok"])
        found += list(some)
    return np.stack(found) if found else np.zeros((0, 2), np.float32)


def _write(task: Task) -> str:
    codes, origin, vectors, n_points = (
        task.source.codes,
        task.source.origin,
        _Vectors(task.source),
        0,
    )
    project = fitted(_sample(task.source, vectors))
    schema = schema_of(codes, origin.attributes)
    with task.writing_bytes("atlas.parquet") as file, pq.ParquetWriter(file, schema) as writer:
        for name, _, ok in task.batches():
            rows, some = vectors.of(name, ok)
            task.counts["tracks have no embedding: left out"] += len(ok) - len(rows)
            if rows:
                points = map(point, rows, project(some), repeat(codes), repeat(origin))
                writer.write_table(pa.Table.from_pylist(list(points), schema))
            n_points += len(rows)
    return (
        f"atlas.parquet: {n_points:,d} tracks by their {vectors.name}; see them with\n"
        f"  embedding-atlas {task.out.uri_of('atlas.parquet')} --x x --y y --text title"
    )


EXPORT = Export("atlas", _write)
