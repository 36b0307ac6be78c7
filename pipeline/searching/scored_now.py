"""Windows of a track that were not kept: scored when they are asked for, by its model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cached_property, lru_cache
from threading import Lock
from typing import TYPE_CHECKING

import pyarrow as pa

from pipeline.inference.tracks import track_of
from pipeline.searching.catalogue import TaggedCatalogue
from pipeline.searching.query_vector import tagging_inference

if TYPE_CHECKING:
    from pipeline.inference.inference_config import InferenceConfig
    from pipeline.inference.tagger import TrackTagger

_KEPT = 64  # tracks


class ScoredNow:
    """A function of a track's uri: its tables beside TAGS, as a run with --keep-windows has them.

    The model is loaded at the first call; one call runs at a time.
    """

    def __init__(self, catalogue: TaggedCatalogue, model: str | None) -> None:
        self._catalogue, self._model, self._lock = catalogue, model, Lock()
        self._cached = lru_cache(_KEPT)(self._scored)

    def __call__(self, uri: str) -> Mapping[str, pa.Table]:
        """Return `windows`, `intervals` and `window_embeddings`; no rows where it cannot be read.

        Raises
        ------
        UsageError, SpecMismatch
            The model is not there, or another one than the one that tagged.
        """
        with self._lock:
            return self._cached(uri)

    def _scored(self, uri: str) -> Mapping[str, pa.Table]:
        from pipeline.inference.described import describe
        from pipeline.inference.tagger import tables_of

        track = pa.Table.from_pylist([track_of(uri, None)])
        (described,) = describe(track, self._inference)
        return tables_of(self._tagger(described), self._inference)[1]

    @cached_property
    def _inference(self) -> InferenceConfig:
        return replace(tagging_inference(self._catalogue, self._model), keep_windows=True)

    @cached_property
    def _tagger(self) -> TrackTagger:
        from pipeline.inference.tagger import TrackTagger

        return TrackTagger(self._inference)
