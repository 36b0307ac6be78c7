"""Downloaders: actors with a pool of threads each, fed with shards by the driver.

A downloader works on two shards at a time, so its threads need not wait for the last segment of
one; and it keeps what costs something to build: sessions, cookies, the JavaScript runtime.
"""

from __future__ import annotations

import math
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import FIRST_EXCEPTION, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import ray
from ray.exceptions import RayActorError

from pipeline.audio.description.moments import Moments
from pipeline.audio.fetching.access import Access
from pipeline.audio.fetching.circuit_breaker import OpenGate, Report, RequestGate
from pipeline.audio.fetching.fetch import open_source
from pipeline.audio.segment import SegmentRows, crashed_row, get_segment
from pipeline.audio.spectra.logmel import LogMelSpec, compile_kernel
from pipeline.errors import Outcome
from pipeline.flows.building.request_gate import RemoteGate
from pipeline.flows.metrics import add_segments
from pipeline.selection.plan import Shard
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder
from schemas.clips import clips_schema
from schemas.columns import with_moments
from schemas.features import features_schema
from schemas.ledger import LEDGER

MAX_THREADS = 32  # downloads of one process
_SHARDS_AT_ONCE = 2
_CRASHES = 2  # a shard may take down its process so often before it is taken apart


@dataclass(frozen=True)
class BuildJob:
    """What is the same for every shard of a run."""

    source: str
    access: Access
    out: Folder
    spec: LogMelSpec
    max_attempts: int
    is_rated: bool
    """Whether the rate limit counts every single attempt."""
    wav_dir: Folder | None = None
    """Where the clips also go as files."""


class _Downloader:
    """Gets shards; lives in a process of its own."""

    def __init__(self, job: BuildJob, gate: Any, n_threads: int) -> None:
        self._job = job
        self._gate = gate
        self._pool = ThreadPoolExecutor(n_threads)

    def ready(self) -> None:
        """Open the source, and compile the log-mel; raises what is wrong with the source."""
        job = self._job
        self._source = open_source(job.source, job.access)
        self._reports = RemoteGate(self._gate, self._source, is_rated=job.is_rated)
        is_remote = self._source.is_remote
        self._request_gate: RequestGate = self._reports if is_remote else OpenGate()
        compile_kernel()  # or the first clips' times have it

    def build(self, shard: Shard) -> None:
        """Get every segment of a shard, and commit."""
        if not hasattr(self, "_source"):  # one that the pool has not started
            self.ready()
        futures = [self._pool.submit(self._get, s) for s in shard.segments.to_pylist()]
        done, _ = wait(futures, return_when=FIRST_EXCEPTION)
        for future in done:
            future.result()  # what stops the run stops it now
        self._reports.tell()
        commit(self._job, shard.name, [future.result() for future in futures])

    def _get(self, segment: dict[str, Any]) -> SegmentRows:
        job = self._job
        gate, most = self._request_gate, job.max_attempts
        rows = get_segment(self._source, segment, job.spec, gate=gate, max_attempts=most)
        self._reports.finish(str(rows.ledger["outcome"]))
        return rows


def commit(job: BuildJob, name: str, rows: list[SegmentRows]) -> None:
    """Write what a shard's segments came to; the wav files first, the LEDGER last."""
    clips = [row.clip for row in rows if row.clip]
    features = [row.features for row in rows if row.features]
    if job.wav_dir:
        for clip in clips:
            job.wav_dir.write_bytes(clip["audio"]["path"], clip["audio"]["bytes"])
    samples = sum((row.samples for row in rows), Moments())
    logmel = sum((row.logmel for row in rows), Moments())
    spec = job.spec
    Dataset(job.out).commit(
        name,
        clips=pa.Table.from_pylist(
            clips, with_moments(clips_schema(spec.sample_rate_hz), samples.to_dict())
        ),
        features=pa.Table.from_pylist(
            features, with_moments(features_schema(spec.to_dict()), logmel.to_dict())
        ),
        ledger=pa.Table.from_pylist([row.ledger for row in rows], LEDGER),
    )
    add_segments(row.ledger for row in rows)


@dataclass(eq=False)
class _Worker:
    """A downloader, and how many threads it has."""

    actor: Any
    n_threads: int
    is_lost: bool = False


class DownloaderPool:
    """The downloaders of a run.

    One whose process or node dies is replaced, where there is room for another; its shards go to
    whoever is free, so that a cluster that has become smaller still ends what it has begun.
    """

    def __init__(self, job: BuildJob, gate: Any, *, max_downloads: int, n_cpus: int) -> None:
        self._job = job
        self._gate = gate
        sizes = downloads_per_worker(max_downloads, n_cpus=n_cpus)
        self._n_cpus = min(1.0, n_cpus / len(sizes)) if n_cpus else 1.0
        self._starting: dict[Any, _Worker] = {}
        self._free: list[_Worker] = []
        self._running: dict[Any, tuple[_Worker, Shard]] = {}
        self._again: deque[Shard] = deque()
        self._n_crashes: Counter[str] = Counter()
        self._n_failed_starts = 0
        for n_threads in sizes:
            self._start(n_threads)

    def run(self, shards: Iterator[Shard], *, tick_s: float) -> Iterator[None]:
        """Get all the shards; yields every `tick_s` or sooner, so that progress can be shown.

        A shard that keeps taking down its process is taken apart at the end: each of its segments
        runs in a process that nothing else depends on, and the one that crashes becomes a row.
        """
        crashed: list[Shard] = []
        more = True
        while more or self._again or self._running:
            while self._free and (self._again or more):
                shard = self._again.popleft() if self._again else next(shards, None)
                if shard is None:
                    more = False
                    continue
                worker = self._free.pop()
                self._running[worker.actor.build.remote(shard)] = (worker, shard)
            crashed += self._wait(tick_s)
            yield
        self.stop()  # their CPUs are wanted
        for shard in crashed:
            yield from self._one_by_one(shard)

    def stop(self) -> None:
        """End the downloaders, whatever they are at."""
        running = [worker for worker, _ in self._running.values()]
        for worker in {*self._starting.values(), *self._free, *running}:
            ray.kill(worker.actor)
        self._starting, self._free, self._running = {}, [], {}

    def _start(self, n_threads: int) -> None:
        worker = _Worker(self._actor(n_threads), n_threads)
        self._starting[worker.actor.ready.remote()] = worker

    def _actor(self, n_threads: int) -> Any:
        actor = ray.remote(_Downloader).options(
            num_cpus=self._n_cpus, max_concurrency=_SHARDS_AT_ONCE
        )
        return actor.remote(self._job, self._gate, n_threads)

    def _wait(self, tick_s: float) -> list[Shard]:
        """Wait for something to end; return the shards that keep taking down their process."""
        waiting = [*self._starting, *self._running]
        ready, _ = ray.wait(waiting, num_returns=1, timeout=tick_s, fetch_local=False)
        crashed: list[Shard] = []
        for reference in ready:
            if reference in self._starting:
                self._on_ready(reference, self._starting.pop(reference))
                continue
            worker, shard = self._running.pop(reference)
            try:
                ray.get(reference)
            except RayActorError:
                self._replace(worker)
                self._n_crashes[shard.name] += 1
                is_over = self._n_crashes[shard.name] > _CRASHES
                (crashed if is_over else self._again).append(shard)
            else:
                self._free += [] if worker.is_lost else [worker]
        return crashed

    def _on_ready(self, reference: Any, worker: _Worker) -> None:
        """Take in a downloader that is ready; start another in the place of one that died."""
        try:
            ray.get(reference)
        except RayActorError:
            self._n_failed_starts += 1
            if self._n_failed_starts > _CRASHES:
                raise
            self._start(worker.n_threads)
        else:
            self._n_failed_starts = 0
            self._free += [worker] * _SHARDS_AT_ONCE

    def _replace(self, worker: _Worker) -> None:
        """Start another downloader in the place of one that is lost, once."""
        if worker.is_lost:
            return
        worker.is_lost = True
        self._free = [one for one in self._free if one is not worker]
        ray.kill(worker.actor)  # it may be out of reach only
        self._start(worker.n_threads)

    def _one_by_one(self, shard: Shard) -> Iterator[None]:
        for k, segment in enumerate(shard.segments.to_pylist()):
            single = Shard(f"{shard.name}-{k:04d}", shard.segments.slice(k, 1))
            error = self._crash_of(single)
            if error is not None:
                commit(self._job, single.name, [crashed_row(segment, str(error))])
                self._gate.note.remote([Report(outcome=Outcome.REJECTED)])
            yield

    def _crash_of(self, single: Shard) -> RayActorError | None:
        """Get one segment; return what takes down its process, however often it is tried."""
        crash = None
        for _ in range(1 + _CRASHES):  # a node that is lost is not the segment's fault
            actor = self._actor(1)
            try:
                ray.get(actor.build.remote(single))
            except RayActorError as error:
                crash = error
            else:
                return None
            finally:
                ray.kill(actor)
        return crash


def downloads_per_worker(max_downloads: int, *, n_cpus: int) -> list[int]:
    """Share `max_downloads` out to workers: one a CPU, or more where a process has too many."""
    n_workers = max(min(n_cpus, max_downloads), math.ceil(max_downloads / MAX_THREADS), 1)
    return [max_downloads // n_workers + (k < max_downloads % n_workers) for k in range(n_workers)]
