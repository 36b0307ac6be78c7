"""The clips of a dataset through the stages of tagging on Ray Data; needs a running Ray."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from typing import Any

import pyarrow as pa
import ray.data

from pipeline.arrays import Float32
from pipeline.flows.evaluation.clips import read_clips
from pipeline.flows.evaluation.validate import gather_windows, of_windows, one_row_a_window
from pipeline.flows.tagging.tag_stages import memory_of, pool_of, quiet, run_stages, scored
from pipeline.inference.described import describe
from pipeline.inference.inference_config import InferenceConfig
from pipeline.store.dataset import Dataset
from pipeline.tagging.commit import Committed, Writing

_MODEL_WINDOWS = 64


class ClipsOnRay:
    """Scores the clips of a dataset's splits by Ray's processes (`ClipScorer`)."""

    def __init__(self, dataset: Dataset) -> None:
        self._dataset = dataset

    def window_scores(self, shards: list[str], inference: InferenceConfig) -> dict[str, Float32]:
        """Return every clip's scores by one model, `[n_windows, n_classes]`."""
        quiet()
        clips = self._clips(shards)
        # Equal demands of all stages: else Ray Data would not fuse them on a CPU.
        demand: dict[str, Any] = {"num_cpus": 1, "memory": memory_of(inference)}
        demand |= {"batch_size": None, "batch_format": "pyarrow"}
        windows = clips.map_batches(partial(describe, inference=inference), **demand)
        windows = windows.map_batches(partial(one_row_a_window, inference=inference), **demand)
        pool = pool_of(None, len(shards), gpu=inference.gpu)
        rows = scored(windows, of_windows(inference), batch_size=_MODEL_WINDOWS, pool=pool)
        rows = rows.select_columns(["uri", "starts_s", "scores"])
        return gather_windows(rows.iter_rows(), inference.codes)

    def tag(
        self, shards: list[str], inference: InferenceConfig, writing: Writing
    ) -> Iterator[Committed]:
        """Write the clips' TAGS; yield what became of each batch."""
        return run_stages(self._clips(shards), inference, writing, n_blocks=len(shards))

    def _clips(self, shards: list[str]) -> ray.data.Dataset:
        """Return the clips of shards, a block for each of them."""
        named = ray.data.from_arrow([pa.table({"shard": [name]}) for name in shards])
        read = partial(read_clips, dataset=self._dataset)
        return named.map_batches(read, batch_size=1, batch_format="pyarrow")
