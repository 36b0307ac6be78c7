"""Tracks and a model in, rows of TAGS out: what the tagging flow runs, a stage a function."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import torch

from pipeline.learn.loop import window_scores
from pipeline.learn.model import ModelCard, load_card, load_model
from pipeline.learn.tracks import DESCRIBED, described
from pipeline.score.aggregate import aggregate, labels_of
from pipeline.score.thresholds import own
from schemas.tags import tags_schema

Row = dict[str, Any]


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
    codes = card.vocabulary.codes
    values = own(card.thresholds, aggregation, codes).tolist()
    thresholds = tuple(values if threshold is None else [threshold] * len(codes))
    return Tagging(model, card, aggregation, thresholds, gpu)


def describe(tracks: pa.Table, how: Tagging) -> Iterator[pa.Table]:
    """Decode each track and cut its windows; yield a row a track, with windows or with a fault."""
    for track in tracks.to_pylist():
        row = described(track, how.card.heard, how.card.windows)
        yield pa.Table.from_pylist([row], DESCRIBED)


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
        heard = self._how.card.heard
        n_frames = self._how.card.windows.n_frames(heard)
        rows = tracks.drop_columns(["windows"]).to_pylist()
        windows = [
            np.frombuffer(value.as_buffer(), heard.dtype).reshape(-1, heard.n_rows, n_frames)
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
