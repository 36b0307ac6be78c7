"""A small catalogue and a model in, TAGS out, in this process: no Ray is started.

    tracks → [a thread: decode in a child process] → the model → commit, 64 tracks a file

The stages are those that Ray's processes run, on the same rows, so the tables are the same. Two
cores have work: the child process decodes the next tracks while this one runs the network.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import pyarrow as pa

from pipeline.inference.described import describe
from pipeline.inference.inference_config import InferenceConfig
from pipeline.inference.tagger import TrackTagger
from pipeline.models.engines.engines import kept_threads
from pipeline.store.tags.known import NO_CONTENTS, KnownContents
from pipeline.store.tags.tagpart import TagPart
from pipeline.store.tags.work.work_table import WorkTable
from pipeline.tagging.commit import COMMIT_TRACKS, MODEL_TRACKS, Committed, Stages, Writing, commit

T = TypeVar("T")


@contextmanager
def stages_in_process(
    inference: InferenceConfig,
    writing: Writing,
    parts: Sequence[TagPart],
    tagger: Callable[[], TrackTagger],
) -> Iterator[Stages]:
    """Lend a function that tags rows of WORK here, by the model that `tagger` gives.

    Contents that the `parts` know already are not decoded.
    """
    known = KnownContents([part.contents(inference.attributes) for part in parts])

    def run(left: Sequence[WorkTable]) -> Iterator[Committed]:
        tracks = pa.concat_tables([one.read() for one in left])
        return tag_in_process(tracks, inference, writing, tagger, known)

    with kept_threads():
        yield run


def tag_in_process(
    tracks: pa.Table,
    inference: InferenceConfig,
    writing: Writing,
    tagger: Callable[[], TrackTagger],
    known: KnownContents = NO_CONTENTS,
) -> Iterator[Committed]:
    """Tag tracks, and yield what became of each batch once its rows are written.

    Parameters
    ----------
    tracks
        Rows of WORK.
    inference
        How scores become labels, and by which model.
    writing
        Where the rows go.
    tagger
        Gives the loaded model. It is called when the first tracks are already being decoded, as
        loading takes seconds.
    known
        The contents that have their tags already.
    """
    with read_ahead(describe(tracks, inference, known), MODEL_TRACKS) as described:
        model = tagger()
        scored = map(model, batches(described, MODEL_TRACKS))
        for rows in batches(scored, COMMIT_TRACKS // MODEL_TRACKS):
            yield commit(rows, inference, writing)


@contextmanager
def read_ahead(items: Iterator[T], n: int) -> Iterator[Iterator[T]]:
    """Lend the items of an iterator in their order; a thread makes the next `n` from now on.

    At the end, after Ctrl-C too, it waits for the item that is being made, and makes no other.
    """
    pool = ThreadPoolExecutor(1)
    waiting = deque(pool.submit(next, items, None) for _ in range(n))
    try:
        yield _in_order(pool, items, waiting)
    finally:
        pool.shutdown(cancel_futures=True)


def _in_order(
    pool: ThreadPoolExecutor, items: Iterator[T], waiting: deque[Future[T | None]]
) -> Iterator[T]:
    while (item := waiting.popleft().result()) is not None:
        waiting.append(pool.submit(next, items, None))
        yield item


def batches(tables: Iterable[pa.Table], n: int) -> Iterator[pa.Table]:
    """Yield `n` tables at a time, as one; the last may be of fewer.

    >>> [one.num_rows for one in batches([pa.table({"a": [k]}) for k in range(5)], 2)]
    [2, 2, 1]
    """
    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if len(waiting) == n:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)
