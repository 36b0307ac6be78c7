"""A dataset's clips through the stages of tagging: in this process, or by Ray where they are many.

clips → [decode, windows] → [the model] → aggregate → commit                  `tag`
clips → [decode, windows] → one row a window → [the model] → gather by clip   `window_scores`
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Protocol

from pipeline.arrays import Float32
from pipeline.flows.evaluation.clips import clip_shards
from pipeline.inference.inference_config import InferenceConfig
from pipeline.store.dataset import Dataset
from pipeline.tagging.commit import Committed, Writing
from pipeline.tagging.tag_where import SMALL_BYTES, asks_for_ray


class ClipScorer(Protocol):
    """What runs a model over the clips in `shards`, which are files of CLIPS.

    A clip's uri is its segment_id.
    """

    def window_scores(self, shards: list[str], inference: InferenceConfig) -> dict[str, Float32]:
        """Return every clip's scores by one model, `[n_windows, n_classes]`, in the order of time.

        A broken clip is not there.
        """

    def tag(
        self, shards: list[str], inference: InferenceConfig, writing: Writing
    ) -> Iterator[Committed]:
        """Write the clips' TAGS; yield what became of each batch."""


@contextmanager
def clip_scorer(
    dataset: Dataset, splits: Sequence[str], inference: InferenceConfig, *, max_wait_s: float
) -> Iterator[ClipScorer]:
    """Lend what scores the clips of some splits by all models of `inference`.

    Ray does it where it is asked for, by RAY_ADDRESS or a GPU, and where there is more than
    `SMALL_BYTES` of clips, each counted once for every model that scores it: to start Ray's
    processes takes as long as so many clips.
    """
    if are_few(dataset, splits, inference):
        from pipeline.flows.evaluation.clips_in_process import ClipsInProcess

        yield ClipsInProcess(dataset)
        return
    from pipeline.flows.cluster import ray_session
    from pipeline.flows.evaluation.clips_on_ray import ClipsOnRay

    with ray_session(min_cpus=4, gpu=inference.gpu, max_wait_s=max_wait_s):
        yield ClipsOnRay(dataset)


def are_few(dataset: Dataset, splits: Sequence[str], inference: InferenceConfig) -> bool:
    """Say whether the clips of some splits are so few that this process scores them."""
    if asks_for_ray(gpu=inference.gpu):
        return False
    shards = (name for split in splits for name in clip_shards(dataset, split))
    sizes = (dataset.folder.stat(name)[0] * len(inference.parts) for name in shards)
    # As many sizes are asked for as it takes: in a bucket each is a request.
    return all(n_bytes <= SMALL_BYTES for n_bytes in accumulate(sizes))
