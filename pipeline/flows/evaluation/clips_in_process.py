"""A few clips of a dataset through the stages of tagging in this process: no Ray is started."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import pyarrow as pa

from pipeline.arrays import Float32
from pipeline.flows.evaluation.clips import read_clips
from pipeline.flows.evaluation.validate import gather_windows, of_windows, one_row_a_window
from pipeline.inference.described import describe
from pipeline.inference.inference_config import InferenceConfig
from pipeline.inference.tagger import TrackTagger
from pipeline.models.engines.engines import kept_threads, make_engine
from pipeline.store.dataset import Dataset
from pipeline.tagging.commit import MODEL_TRACKS, Committed, Writing
from pipeline.tagging.in_process import batches, read_ahead, tag_in_process


class ClipsInProcess:
    """Scores the clips of a dataset's splits here; a child process decodes (`ClipScorer`)."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset
        self._load = cache(make_engine)  # validation and tagging ask one engine

    def window_scores(self, shards: list[str], inference: InferenceConfig) -> dict[str, Float32]:
        """Return every clip's scores by one model, `[n_windows, n_classes]`."""
        described = describe(self._clips(shards), inference)
        each = (one_row_a_window(clip, inference) for clip in described)
        windows = (table for table in each if table.num_rows)  # a silent clip has none
        with kept_threads(), read_ahead(windows, MODEL_TRACKS) as ahead:
            tables = map(self._tagger(of_windows(inference)), batches(ahead, MODEL_TRACKS))
            rows = (row for table in tables for row in table.to_pylist())
            return gather_windows(rows, inference.codes)

    def tag(
        self, shards: list[str], inference: InferenceConfig, writing: Writing
    ) -> Iterator[Committed]:
        """Write the clips' TAGS; yield what became of each batch."""
        with kept_threads():
            clips = self._clips(shards)
            yield from tag_in_process(clips, inference, writing, lambda: self._tagger(inference))

    def _tagger(self, inference: InferenceConfig) -> TrackTagger:
        return TrackTagger(inference, load=self._load)

    def _clips(self, shards: list[str]) -> pa.Table:
        return pa.concat_tables(read_clips(pa.table({"shard": shards}), dataset=self._dataset))
