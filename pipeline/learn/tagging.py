"""Tracks and a model in, rows of TAGS out: what the tagging flow runs, a stage a function. No Ray.

One row in, one row out: a fault of a track becomes its status and reason. Tracks are rows of `uri,
size_bytes, modified_ns` and, where the audio is at hand, `bytes`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from pipeline.audio.decode import decode
from pipeline.audio.logmel import log_mel
from pipeline.audio.windows import cut_windows, window_starts
from pipeline.errors import DecodeError, ItemFault, Reason
from pipeline.learn.loop import window_scores
from pipeline.learn.model import ModelCard, load_card, load_model
from pipeline.score.aggregate import aggregate, labels_of
from pipeline.store.catalogue import open_track
from schemas.tags import tags_schema

MAX_TRACK_S = 2 * 3600.0
"""Longer tracks are rows with reason too_long: a track is held in memory as a whole."""

Row = dict[str, Any]

DESCRIBED = pa.schema(
    [
        ("uri", pa.string()),
        ("fingerprint", pa.string()),
        ("size_bytes", pa.int64()),
        ("modified_ns", pa.int64()),
        ("duration_s", pa.float64()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("n_windows", pa.int32()),
        ("windows", pa.large_binary()),
    ]
)


@dataclass(frozen=True)
class Tagging:
    """How scores become labels: what the stages need besides the model's weights."""

    model: str
    card: ModelCard
    aggregation: str
    thresholds: tuple[float, ...]
    """A class each, in the vocabulary's order."""
    gpu: bool

    @property
    def codes(self) -> list[str]:
        """The classes, in the order of the model's outputs."""
        return self.card.vocabulary.codes

    @property
    def identity(self) -> dict[str, Any]:
        """What decides a row of TAGS: two runs into one folder must agree on it."""
        return {
            "model_id": self.card.model_id,
            "aggregation": self.aggregation,
            "thresholds": dict(zip(self.codes, self.thresholds, strict=True)),
        }


def tagging(model: str, method: str | None, threshold: float | None, *, gpu: bool) -> Tagging:
    """Read a model's card and settle how its scores become labels."""
    card = load_card(model)
    aggregation = method or card.aggregation
    own = card.thresholds[aggregation]
    thresholds = tuple(own[c] if threshold is None else threshold for c in card.vocabulary.codes)
    return Tagging(model, card, aggregation, thresholds, gpu)


def describe(tracks: pa.Table, how: Tagging) -> Iterator[pa.Table]:
    """Decode each track and cut its windows; yield a row a track, with windows or with a fault."""
    for track in tracks.to_pylist():
        yield pa.Table.from_pylist([_described(track, how)], DESCRIBED)


def _described(track: Row, how: Tagging) -> Row:
    spec, windows = how.card.feature_spec, how.card.windows
    row: Row = {key: track[key] for key in ("uri", "size_bytes", "modified_ns")}
    row |= {"status": "ok", "reason": Reason.OK, "n_windows": 0, "windows": b""}
    try:
        source, row["fingerprint"] = (
            (track["bytes"], None) if track.get("bytes") else open_track(track["uri"])
        )
        samples = decode(source, sample_rate_hz=spec.sample_rate_hz, max_duration_s=MAX_TRACK_S)
        if not len(samples):
            raise DecodeError(Reason.EMPTY, "no audio samples")
        row["duration_s"] = len(samples) / spec.sample_rate_hz
        logmel = log_mel(samples, spec).astype("<f2")  # as in FEATURES, to the bit
        starts = window_starts(logmel.shape[1], windows, spec)
        cut = cut_windows(logmel, starts, windows.n_frames(spec), fill_db=spec.floor_db)
        row |= {"n_windows": len(cut), "windows": cut.tobytes()}
    except ItemFault as fault:
        row |= {"status": "failed", "reason": fault.reason, "detail": fault.detail}
    return row


class TrackTagger:
    """A model, loaded once: described tracks in, scores and labels out."""

    def __init__(self, how: Tagging) -> None:
        self._how = how
        self._device = torch.device("cuda" if how.gpu else "cpu")
        if not how.gpu:
            torch.set_num_threads(1)  # two processes of one thread beat one of two
        model, _ = load_model(how.model)
        self._model = model.to(self._device)

    def __call__(self, tracks: pa.Table) -> pa.Table:
        """Return the tracks as rows of TAGS; batches of the model are filled across tracks."""
        spec = self._how.card.feature_spec
        n_frames = self._how.card.windows.n_frames(spec)
        rows = tracks.drop_columns(["windows"]).to_pylist()
        windows = [
            np.frombuffer(value.as_buffer(), "<f2").reshape(-1, spec.n_mels, n_frames)
            for chunk in tracks["windows"].chunks
            for value in chunk
        ]
        together = np.concatenate(windows)
        scores = (
            window_scores(self._model, together, self._device)
            if len(together)
            else np.zeros((0, len(self._how.codes)), np.float32)
        )
        bounds = np.cumsum([len(part) for part in windows])[:-1]
        tagged = [
            tags_row(row, part, self._how)
            for row, part in zip(rows, np.split(scores, bounds), strict=True)
        ]
        return pa.Table.from_pylist(tagged, tags_schema(self._how.codes))


def tags_row(row: Row, scores: npt.NDArray[np.float32], how: Tagging) -> Row:
    """Return a track's row of TAGS from the scores of its windows, `[n_windows, n_classes]`."""
    row = row | {"model_id": how.card.model_id, "tagged_at": datetime.now(UTC)}
    if row["status"] != "ok":
        return row | {"labels": [], "scores": None}
    track_scores = aggregate(scores, how.aggregation)
    return row | {
        "labels": labels_of(track_scores, how.thresholds, how.codes),
        "scores": dict(zip(how.codes, track_scores.tolist(), strict=True)),
    }
