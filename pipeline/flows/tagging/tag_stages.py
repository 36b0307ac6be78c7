"""The stages of tagging on Ray Data: one row in and one row out, a broken file too.

    tracks → [decode once, log-mel, windows] → [the model, an actor pool] → aggregate → commit

The stages are plain functions on tables (`pipeline.inference.described`, `pipeline.tagging.commit`)
and the model's class (`pipeline.inference.tagger`); here they get their processes, CPUs and GPUs.
`pipeline.tagging.in_process` runs them without Ray.
"""

from __future__ import annotations

import logging
import os
import pickle
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import pyarrow as pa
import ray
import ray.data
from ray.data import ActorPoolStrategy, DataContext, Dataset
from ray.data.block import BlockMetadata
from ray.data.datasource import Datasource, ReadTask

from pipeline.errors import StoreError
from pipeline.evaluation.runs.tally import Tally
from pipeline.flows import metrics
from pipeline.flows.cluster import count, cpus, ray_session
from pipeline.inference.described import describe
from pipeline.inference.inference_config import InferenceConfig
from pipeline.models.card import read_weights
from pipeline.runs.logs import log_as_objects
from pipeline.store.tags.known import Fingerprints, KnownContents
from pipeline.store.tags.tagpart import TagPart
from pipeline.store.tags.work.work_table import WorkTable
from pipeline.store.tags.work.worklist import WORK
from pipeline.tagging.commit import (
    COMMIT_TRACKS,
    MAX_COMMIT_TRACKS,
    MODEL_TRACKS,
    Committed,
    Stages,
    Writing,
    commit,
)

_PROCESS_BYTES = 1 << 30
"""A process with the model, or with the decoder and what it reads ahead."""
_USUAL_TRACK_S = 3600.0
"""Memory is asked for tracks up to this; a longer one takes of what the node has to spare."""
_MATRICES = 3  # a track's, where it is made, on its way, and where it is taken to
_BLOCKS_A_PLACE = 40
_MAX_COMMITTERS = 16
_MAX_BLOCK_TRACKS = 64
_MAX_BLOCKS = 50_000
"""The leading process holds each of them; beyond 3 million tracks blocks have more tracks."""
_MAX_PLACES = 4096
"""Processes of a model that a cluster may grow to, where no number is given."""


@contextmanager
def stages_on_ray(
    inference: InferenceConfig,
    writing: Writing,
    parts: Sequence[TagPart],
    *,
    n_actors: int | None,
    max_wait_s: float,
) -> Iterator[Stages]:
    """Lend a function that tags rows of WORK on the cluster that is named, or on a local Ray.

    Contents that the `parts` know already are not decoded: they lie in shared memory, a node each.
    """
    with ray_session(min_cpus=4, gpu=inference.gpu, max_wait_s=max_wait_s):
        contents = ray.remote(num_cpus=0)(TagPart.contents)
        known = [contents.remote(part, inference.attributes) for part in parts]

        def run(left: Sequence[WorkTable]) -> Iterator[Committed]:
            n_tracks = sum(one.n_rows for one in left)
            blocks = _blocks(left, n_tracks, inference)
            tracks = ray.data.read_datasource(
                _Work(blocks),
                override_num_blocks=len(blocks),
                num_cpus=1,
                memory=memory_of(inference),
            )
            return run_stages(
                tracks,
                inference,
                writing,
                n_blocks=len(blocks),
                known=known,
                n_actors=n_actors,
                commit_tracks=commit_tracks(n_tracks, inference),
            )

        yield run


class _Work(Datasource):
    """Blocks of tracks, each read by the task that decodes it.

    `from_arrow` would have a task of its own for each of them, for its number of rows: a million
    tracks waited for these, one after the other, for some minutes.
    """

    def __init__(self, blocks: Sequence[WorkTable]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self._blocks = blocks

    def estimate_inmemory_data_size(self) -> None:
        """Say nothing: it is small."""

    def get_read_tasks(self, *_: Any, **__: Any) -> list[ReadTask]:
        """Return a task for each block."""
        return [
            ReadTask(
                partial(_read, block),
                BlockMetadata(num_rows=block.n_rows, size_bytes=None, exec_stats=None),
                schema=WORK,
            )
            for block in self._blocks
        ]


def _read(block: WorkTable) -> list[pa.Table]:
    return [block.read()]


def _blocks(
    left: Sequence[WorkTable], n_tracks: int, inference: InferenceConfig
) -> list[WorkTable]:
    """Cut tracks into blocks: enough for all processes to end together, not more than needed.

    Those of a part stay together, so that their rows are committed together.
    """
    n_blocks = _BLOCKS_A_PLACE * places(gpu=inference.gpu)
    n_each = min(max(8, n_tracks // n_blocks), _MAX_BLOCK_TRACKS)
    n_each = max(n_each, -(-n_tracks // _MAX_BLOCKS))
    return [one.slice(start, n_each) for one in left for start in range(0, one.n_rows, n_each)]


def commit_tracks(n_tracks: int, inference: InferenceConfig) -> int:
    """Return how many tracks' rows become one file: few in a small run, thousands in a large one.

    Each process that writes makes some sixteen files, and a kill may lose what goes into one. With
    an embedding a window, a track has 0.5 MB and more, and all of a file's are in memory.
    """
    if inference.keep_windows and inference.embeddings:
        return COMMIT_TRACKS
    each = n_tracks // (16 * places(gpu=inference.gpu))
    return min(max(COMMIT_TRACKS, each), MAX_COMMIT_TRACKS)


def run_stages(
    tracks: Dataset,
    inference: InferenceConfig,
    writing: Writing,
    *,
    n_blocks: int,
    known: Sequence[ray.ObjectRef[Fingerprints]] = (),
    n_actors: int | None = None,
    commit_tracks: int = COMMIT_TRACKS,
) -> Iterator[Committed]:
    """Run the stages over rows of `uri, size_bytes, modified_ns` and, where at hand, `bytes`.

    Yields what became of each batch as batches end. Tracks whose content is `known` are left out.
    """
    quiet()
    # On the CPU Ray Data fuses decoding into the model's actors: each core then does what is next.
    windows = tracks.map_batches(
        partial(described, inference=inference, known=known),
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=1,
        memory=memory_of(inference),
    )
    pool = pool_of(n_actors, n_blocks, gpu=inference.gpu)
    done = scored(windows, inference, batch_size=MODEL_TRACKS, pool=pool).map_batches(
        Committer,
        fn_constructor_args=(inference, writing),
        batch_size=commit_tracks,
        batch_format="pyarrow",
        num_cpus=0,  # where actors hold all CPUs, rows are committed all the same
        # Processes that stay: Ray ends an idle one of a task, and each new one imports for seconds.
        compute=ActorPoolStrategy(min_size=1, max_size=_MAX_COMMITTERS),
    )
    for row in done.iter_rows():
        one: Committed | StoreError = pickle.loads(row["done"])
        if isinstance(one, StoreError):
            raise one
        yield one


def scored(
    described: Dataset, inference: InferenceConfig, *, batch_size: int, pool: ActorPoolStrategy
) -> Dataset:
    """Return rows of DESCRIBED as SCORED: each actor holds the model, or its members."""
    from pipeline.inference.tagger import TrackTagger  # here, as who decodes does without torch

    for part in inference.parts:  # actors look too, but Ray loses what their starts said
        read_weights(part.model, part.model_card)
    return described.map_batches(
        TrackTagger,
        fn_constructor_args=(inference,),
        batch_size=batch_size,
        batch_format="pyarrow",
        num_cpus=0 if inference.gpu else 1,
        num_gpus=1 if inference.gpu else 0,
        compute=pool,
        memory=memory_of(inference),
    )


def memory_of(inference: InferenceConfig) -> float | None:
    """Return the bytes that a process that decodes or runs the model asks of a cluster.

    Both ask the same, or Ray Data would not fuse them on a CPU. A Ray of our own is not asked: what
    it may run at once is what the machine has cores for.
    """
    if "RAY_ADDRESS" not in os.environ:
        return None
    longest_s = min(inference.max_track_s, _USUAL_TRACK_S)
    bytes_a_s = sum(one.matrix_bytes_a_s for one in inference.front_ends)
    return round(_PROCESS_BYTES + _MATRICES * bytes_a_s * longest_s)


def pool_of(n_most: int | None, n_blocks: int, *, gpu: bool) -> ActorPoolStrategy:
    """Return the pool of a model's processes, for the whole run.

    Of a Ray of our own its size is known. On a cluster it begins with one and grows as there is
    room, up to `n_most` where that is given, and never beyond the blocks that there are to do: what
    it cannot place is what makes an autoscaler start nodes. While a GPU computes, a second thread
    of its process fetches what comes next and hands on what was before; the model is called by one
    at a time.
    """
    calls = 2 if gpu else None
    if "RAY_ADDRESS" not in os.environ:
        size = max(1, min(n_most or places(gpu=gpu), n_blocks))
        return ActorPoolStrategy(size=size, max_concurrent_calls_per_actor=calls)
    most = max(1, min(n_most or _MAX_PLACES, n_blocks))
    return ActorPoolStrategy(
        min_size=1,
        max_size=most,
        initial_size=min(most, places(gpu=gpu)),
        max_concurrent_calls_per_actor=calls,
    )


def places(*, gpu: bool) -> int:
    """Return how many processes of the model there is room for; one where pools are still empty."""
    if gpu:
        return max(1, count("GPU"))
    told = count("CPU")
    room = told - 1 - told // 16  # Ray Data's own tasks need some
    return max(1, min(room, cpus()))


def described(
    tracks: pa.Table, inference: InferenceConfig, known: Sequence[ray.ObjectRef[Fingerprints]]
) -> Iterator[pa.Table]:
    """Describe tracks; what has been told of contents lies in shared memory."""
    return describe(tracks, inference, KnownContents(ray.get(list(known))))


class Committer:
    """Writes rows of SCORED as TAGS; of each batch it returns what became of it, a row `done`.

    That is a pickled `Committed` or `StoreError`. A disk or bucket that refuses is handed on as
    data: Ray Data loses what an exception was caused by, and with it the line that says what to
    mend.
    """

    def __init__(self, inference: InferenceConfig, writing: Writing) -> None:
        self._inference, self._writing = inference, writing

    def __call__(self, scored: pa.Table) -> pa.Table:
        """Write rows, and add them to the totals."""
        done: Committed | StoreError
        try:
            done = commit(scored, self._inference, self._writing)
            publish(done.tally, self._inference.card.model_id)
        except StoreError as fault:
            done = fault
        return pa.table({"done": [pickle.dumps(done)]})


def publish(tally: Tally, model_id: str) -> None:
    """Add to the totals that Ray's metrics ports serve to Prometheus."""
    counts = [("ok", "ok", tally.n_ok), ("same", "ok", tally.n_same)]
    counts += [("failed", reason, n) for reason, n in tally.reasons.items()]
    for status, reason, n in counts:
        metrics.add("timbre_tracks_total", n, model_id, status=status, reason=reason)
    metrics.add("timbre_audio_seconds_total", tally.audio_s, model_id)
    for stage, seconds in tally.stages.items():
        name = stage.removesuffix("_s")
        metrics.add("timbre_stage_seconds_total", seconds, model_id, stage=name)


def quiet() -> None:
    """Keep Ray Data's own bars and messages off the terminal."""
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    log_as_objects("ray.data")
