"""Windows of a track that were not kept: scored when somebody looks, by the model that tagged."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property, lru_cache
from threading import Lock
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline.inference.tracks import track_of
from pipeline.searching.catalogue import TaggedCatalogue
from pipeline.searching.query_vector import tagging_inference

if TYPE_CHECKING:
    from pipeline.inference.inference_config import InferenceConfig
    from pipeline.inference.tagger import TrackTagger

Row = dict[str, Any]
_KEPT = 64  # tracks


class WindowsNow:
    """A function of a track's uri: rows of its windows and of its intervals."""

    def __init__(self, catalogue: TaggedCatalogue, model: str | None) -> None:
        self._catalogue, self._model, self._lock = catalogue, model, Lock()
        self._cached = lru_cache(_KEPT)(self._scored)

    def __call__(self, uri: str) -> tuple[list[Row], list[Row]]:
        """Return rows as WINDOWS and INTERVALS have them.

        Raises
        ------
        UsageError, SpecMismatch
            The model is not there, or another one than the one that tagged.
        """
        with self._lock:
            return self._cached(uri)

    def _scored(self, uri: str) -> tuple[list[Row], list[Row]]:
        from pipeline.inference.described import describe
        from pipeline.inference.tagger import tables_of

        track = pa.Table.from_pylist([track_of(uri, None)])
        (described,) = describe(track, self._inference)
        _, beside = tables_of(self._tagger(described), self._inference)
        return beside["windows"].to_pylist(), beside["intervals"].to_pylist()

    @cached_property
    def _inference(self) -> InferenceConfig:
        return replace(tagging_inference(self._catalogue, self._model), keep_windows=True)

    @cached_property
    def _tagger(self) -> TrackTagger:
        from pipeline.inference.tagger import TrackTagger

        return TrackTagger(self._inference)
