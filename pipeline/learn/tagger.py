"""Tracks and a model in, rows of TAGS out: what the tagging flow runs, a stage a function.

TRACKS → `describe` → DESCRIBED → `TrackTagger` → SCORED → `tables_of` → TAGS and what is beside
"""

from __future__ import annotations

import json
import resource
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from itertools import pairwise
from time import monotonic
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from pipeline.learn.engines import Engine, make_engine
from pipeline.learn.tagging import Tagging, check_model
from pipeline.learn.tracks import DESCRIBED, Row, described_rows
from pipeline.score.aggregate import aggregate, evidence
from pipeline.score.intervals import merged_intervals
from pipeline.score.labelling import labels
from schemas.tags import tags_schema
from schemas.timeline import EMBEDDINGS, INTERVALS, windows_schema

Floats = npt.NDArray[np.float32]

_GROUP_WINDOWS = 2048
"""Copied for the model at a time, some 100 MB, as eight long tracks have gigabytes. A multiple of
every engine's batch, so batches are what they would be of all windows at once."""


def describe(
    tracks: pa.Table, how: Tagging, is_known: Callable[[str], bool] = lambda _: False
) -> Iterator[pa.Table]:
    """Decode each track and cut its windows; yield a row a track, with windows or with a fault."""
    for row in described_rows(tracks.to_pylist(), how.hearing, is_known):
        yield pa.Table.from_pylist([row], DESCRIBED)


def windows_of(described: Any, how: Tagging) -> npt.NDArray[Any]:
    """Return windows from the bytes of a row of DESCRIBED, `[n_windows, n_rows, n_frames]`."""
    heard = how.card.heard
    return np.frombuffer(described, heard.dtype).reshape(
        -1, heard.n_rows, how.windows.n_frames(heard)
    )


def scored_schema(how: Tagging) -> pa.Schema:
    """SCORED: TAGS, and what else is known of a track on the way to them."""
    timed = [DESCRIBED.field(key) for key in ("starts_s", "read_s", "decode_s", "features_s")]
    return pa.schema(
        [
            *tags_schema(how.codes),
            *timed,
            DESCRIBED.field("active"),
            pa.field("model_s", pa.float64()),
            pa.field("engine", pa.string()),
            pa.field("peak_mib", pa.int32()),
            pa.field("window_scores", pa.large_binary()),
            pa.field("embedding", pa.list_(pa.float32())),
        ]
    )


class TrackTagger:
    """A model, loaded once: described tracks in, scores and labels out."""

    def __init__(self, how: Tagging) -> None:
        self._how = how
        self._engine: Engine = make_engine(
            how.model,
            engine=how.engine,
            precision=how.precision,
            gpu=how.gpu,
            embeddings=how.embeddings,
        )
        check_model(how)  # after the weights are read: a training may write others meanwhile

    def __call__(self, tracks: pa.Table) -> pa.Table:
        """Return the tracks as rows of SCORED; batches of the model are filled across tracks."""
        how = self._how
        rows = tracks.drop_columns(["windows"]).to_pylist()
        windows = [windows_of(value, how) for value in buffers_of(tracks["windows"])]
        began, n_windows = monotonic(), [len(part) for part in windows]
        scores, vectors = self._scores(windows)
        each_s = (monotonic() - began) / max(1, len(scores))
        here = {
            "engine": json.dumps(self._engine.about),
            "peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
        }
        bounds = np.cumsum(n_windows)[:-1]
        vectors_of = np.split(vectors, bounds) if vectors is not None else [None] * len(rows)
        scored = [
            scored_row(row | here | {"model_s": len(part) * each_s}, part, embedded, how)
            for row, part, embedded in zip(rows, np.split(scores, bounds), vectors_of, strict=True)
        ]
        return pa.Table.from_pylist(scored, scored_schema(how))

    def _scores(self, windows: list[npt.NDArray[Any]]) -> tuple[Floats, Floats | None]:
        """Return scores and embeddings of all windows of some tracks, in their order."""
        found = [self._engine.scores(part) for part in in_groups(windows, _GROUP_WINDOWS)]
        scores, vectors = zip(*found, strict=True)
        return np.concatenate(scores), None if vectors[0] is None else np.concatenate(vectors)


def buffers_of(column: pa.ChunkedArray) -> Iterator[pa.Buffer]:
    """Yield a column's large binaries where they lie: pyarrow's own scalars are copies of them."""
    for chunk in column.chunks:
        _, offsets, data = chunk.buffers()
        ends = np.frombuffer(offsets or b"", np.int64)[chunk.offset :][: len(chunk) + 1]
        for first, last in pairwise(ends):
            yield (data or pa.py_buffer(b"")).slice(int(first), int(last - first))


def in_groups(windows: list[npt.NDArray[Any]], size: int) -> Iterator[npt.NDArray[Any]]:
    """Yield the windows of tracks one after the other, `size` at a time; one empty group of none.

    >>> [group.tolist() for group in in_groups([np.arange(2), np.arange(3), np.arange(0)], 4)]
    [[0, 1, 0, 1], [2]]
    """
    ends = np.cumsum([len(part) for part in windows])
    for start in range(0, max(1, ends[-1]), size):
        firsts = [start - (end - len(part)) for part, end in zip(windows, ends, strict=True)]
        yield np.concatenate(
            [
                part[max(0, first) : max(0, first + size)]
                for part, first in zip(windows, firsts, strict=True)
            ]
        )


def scored_row(row: Row, scores: Floats, vectors: Floats | None, how: Tagging) -> Row:
    """Return a track's row of SCORED.

    Parameters
    ----------
    row
        Of DESCRIBED, without its windows.
    scores
        Of its windows, `[n_windows, n_classes]`.
    vectors
        Of its windows, `[n_windows, n_features]`, where embeddings are asked for.
    """
    row = row | {"model_id": how.card.model_id, "tagged_at": datetime.now(UTC)}
    if row["status"] != "ok":
        return row | {"labels": [], "scores": None, "peaks": None}
    active = np.array(row["active"], bool)
    heard, peaks = scores[active], evidence(scores[active])
    track_scores = how.served(aggregate(heard, how.aggregation, hop_s=how.windows.hop_s))
    named = labels(
        track_scores, peaks, thresholds=how.thresholds, gate=how.gate, class_codes=how.codes
    )
    row |= {
        "labels": named if active.any() else [],
        "scores": dict(zip(how.codes, track_scores.tolist(), strict=True)),
        "peaks": dict(zip(how.codes, peaks.tolist(), strict=True)),
        "n_active": int(active.sum()),
    }
    if how.keep_windows:
        row["window_scores"] = scores.astype("<f4").tobytes()
    if vectors is not None:
        row["embedding"] = (vectors[active] if active.any() else vectors).mean(axis=0).tolist()
    return row


def tables_of(scored: pa.Table, how: Tagging) -> tuple[pa.Table, dict[str, pa.Table]]:
    """Return TAGS of rows of SCORED, and the tables that are asked for beside them, by name."""
    schema = tags_schema(how.codes)
    tags = scored.select(schema.names).cast(schema)
    beside: dict[str, pa.Table] = {}
    if not (how.keep_windows or how.embeddings):
        return tags, beside
    heard = [row for row in scored.to_pylist() if row["status"] == "ok"]
    if how.keep_windows:
        windows = [line for row in heard for line in window_rows(row, how)]
        intervals = [line for row in heard for line in interval_rows(row, how)]
        beside["windows"] = pa.Table.from_pylist(windows, windows_schema(how.codes))
        beside["intervals"] = pa.Table.from_pylist(intervals, INTERVALS)
    if how.embeddings:
        beside["embeddings"] = pa.Table.from_pylist(heard, EMBEDDINGS)
    return tags, beside


def window_rows(row: Row, how: Tagging) -> Iterator[Row]:
    """Yield the rows of WINDOWS of a row of SCORED."""
    scores, starts_s, ends_s = _timeline(row, how)
    for k, values in enumerate(scores.tolist()):
        yield _of(row) | {
            "window": k,
            "start_s": starts_s[k],
            "end_s": ends_s[k],
            "is_active": row["active"][k],
            "scores": dict(zip(how.codes, values, strict=True)),
        }


def interval_rows(row: Row, how: Tagging) -> Iterator[Row]:
    """Yield the rows of INTERVALS of a row of SCORED: of the classes that are its labels."""
    scores, starts_s, ends_s = _timeline(row, how)
    for one in merged_intervals(
        *(scores, starts_s, ends_s, row["active"]),
        gate=how.gate,
        codes=how.codes,
        limits=how.window_limits,
    ):
        if one.code in row["labels"]:
            yield _of(row) | vars(one)


def _timeline(row: Row, how: Tagging) -> tuple[Floats, list[float], list[float]]:
    scores = np.frombuffer(row["window_scores"], "<f4").reshape(-1, len(how.codes))
    ends_s = [min(s + how.windows.window_s, row["duration_s"]) for s in row["starts_s"]]
    return scores, row["starts_s"], ends_s


def _of(row: Row) -> Row:
    return {key: row[key] for key in ("uri", "fingerprint", "model_id")}
