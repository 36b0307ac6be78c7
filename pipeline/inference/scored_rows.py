"""Scores of a track's windows in; its row of SCORED, and TAGS with their tables, out. PURE."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa

from pipeline.arrays import Float32
from pipeline.evaluation.labels.aggregate import confidence
from pipeline.evaluation.labels.intervals import merged_intervals
from pipeline.evaluation.labels.labelling import labels
from pipeline.inference.inference_config import InferenceConfig
from pipeline.inference.track_description import Row, column
from pipeline.inference.tracks import DESCRIBED
from pipeline.store.matrices import vector_lists
from schemas.timeline import EMBEDDINGS, INTERVALS, WINDOW_EMBEDDINGS, windows_schema


def scored_schema(inference: InferenceConfig) -> pa.Schema:
    """SCORED: TAGS, and what else is known of a track on the way to them."""
    kept = ("known_as", "starts_s", "read_s", "decode_s", "features_s", "attributes_s")
    timed = [DESCRIBED.field(key) for key in kept]
    return pa.schema(
        [
            *inference.tags_schema,
            *timed,
            DESCRIBED.field("active"),
            pa.field("model_s", pa.float64()),
            pa.field("engine", pa.string()),
            pa.field("peak_mib", pa.int32()),
            pa.field("window_scores", pa.large_binary()),
            pa.field("embedding", pa.list_(pa.float32())),
            pa.field("window_embeddings", pa.large_binary()),
        ]
    )


def scored_row(
    row: Row, scores: Sequence[Float32], vectors: Float32 | None, inference: InferenceConfig
) -> Row:
    """Return a track's row of SCORED; what is of windows in it is of the first model's.

    Parameters
    ----------
    row
        Of DESCRIBED, without its windows.
    scores
        Of its windows, `[n_windows, n_classes]` a model.
    vectors
        Of its windows, `[n_windows, n_features]`, where embeddings are asked for.
    """
    row = row | {"model_id": inference.card.model_id, "tagged_at": datetime.now(UTC)}
    if row["status"] != "ok":
        return row | {"labels": [], "scores": None, "peaks": None}
    front_ends = inference.front_ends
    named = [column("active", front_ends.index(part.front_end)) for part in inference.parts]
    active = [np.array(row[name], bool) for name in named]
    counted = [values[counts] for values, counts in zip(scores, active, strict=True)]
    track_scores, peaks = (
        inference.track_scores(counted),
        inference.mean([confidence(each) for each in counted]),
    )
    found = labels(
        track_scores,
        peaks,
        thresholds=inference.thresholds,
        min_confidence=inference.min_confidence,
        class_codes=inference.codes,
    )
    row |= {
        "labels": found if any(map(len, counted)) else [],
        "scores": dict(zip(inference.codes, track_scores.tolist(), strict=True)),
        "peaks": dict(zip(inference.codes, peaks.tolist(), strict=True)),
        "n_active": len(counted[0]),
    }
    if inference.keep_windows:
        row["window_scores"] = scores[0].astype("<f4").tobytes()
    if vectors is not None:
        row["embedding"] = (
            (vectors[active[0]] if len(counted[0]) else vectors).mean(axis=0).tolist()
        )
        if inference.keep_windows:
            row["window_embeddings"] = vectors.astype("<f4").tobytes()
    return row


def tables_of(scored: pa.Table, inference: InferenceConfig) -> tuple[pa.Table, dict[str, pa.Table]]:
    """Return TAGS of rows of SCORED, and the tables that are asked for beside them, by name."""
    schema = inference.tags_schema
    tags = scored.select(schema.names).cast(schema)
    beside: dict[str, pa.Table] = {}
    if not (inference.keep_windows or inference.embeddings):
        return tags, beside
    ok = [row for row in scored.to_pylist() if row["status"] == "ok"]
    if inference.keep_windows:
        windows = [line for row in ok for line in window_rows(row, inference)]
        intervals = [line for row in ok for line in interval_rows(row, inference)]
        beside["windows"] = pa.Table.from_pylist(windows, windows_schema(inference.codes))
        beside["intervals"] = pa.Table.from_pylist(intervals, INTERVALS)
    if inference.embeddings:
        vectors = np.array([row["embedding"] for row in ok], np.float32)
        beside["embeddings"] = _with_vectors(ok, vectors, EMBEDDINGS)
    if inference.embeddings and inference.keep_windows:
        parts = [_window_vectors(row) for row in ok]
        places = [place for row in ok for place in _places(row, inference)]
        vectors = np.concatenate(parts) if parts else np.zeros((0, 0), np.float32)
        beside["window_embeddings"] = _with_vectors(places, vectors, WINDOW_EMBEDDINGS)
    return tags, beside


def _with_vectors(rows: Sequence[Row], vectors: Float32, schema: pa.Schema) -> pa.Table:
    """Return rows with their vectors, `[n_rows, n_features]`, in the schema's last column."""
    others = pa.Table.from_pylist(list(rows), pa.schema(list(schema)[:-1]))
    lists = vector_lists(vectors.reshape(len(rows), -1) if len(rows) else np.zeros((0, 0)))
    return others.append_column(schema.field("embedding"), lists)


def _window_vectors(row: Row) -> Float32:
    values = np.frombuffer(row["window_embeddings"], "<f4")
    return values.reshape(len(row["starts_s"]), -1)


def window_rows(row: Row, inference: InferenceConfig) -> Iterator[Row]:
    """Yield the rows of WINDOWS of a row of SCORED."""
    scores, _, _ = _timeline(row, inference)
    for place, values in zip(_places(row, inference), scores.tolist(), strict=True):
        yield place | {"scores": dict(zip(inference.codes, values, strict=True))}


def _places(row: Row, inference: InferenceConfig) -> Iterator[Row]:
    """Yield where each window of a row of SCORED is."""
    _, starts_s, ends_s = _timeline(row, inference)
    for k, is_active in enumerate(row["active"]):
        place = {"window": k, "start_s": starts_s[k], "end_s": ends_s[k], "is_active": is_active}
        yield _of(row) | place


def interval_rows(row: Row, inference: InferenceConfig) -> Iterator[Row]:
    """Yield the rows of INTERVALS of a row of SCORED: of the classes that are its labels."""
    scores, starts_s, ends_s = _timeline(row, inference)
    for one in merged_intervals(
        *(scores, starts_s, ends_s, row["active"]),
        min_confidence=inference.min_confidence,
        codes=inference.codes,
        limits=inference.window_limits,
    ):
        if one.code in row["labels"]:
            yield _of(row) | vars(one)


def _timeline(row: Row, inference: InferenceConfig) -> tuple[Float32, list[float], list[float]]:
    scores = np.frombuffer(row["window_scores"], "<f4").reshape(-1, len(inference.codes))
    ends_s = [min(s + inference.windows.window_s, row["duration_s"]) for s in row["starts_s"]]
    return scores, row["starts_s"], ends_s


def _of(row: Row) -> Row:
    return {key: row[key] for key in ("uri", "fingerprint", "model_id")}
