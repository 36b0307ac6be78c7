"""Segments CSVs in; SEGMENTS, LEDGER, CLIPS and FEATURES out. One Ray task takes one shard.

read → select → plan → [a shard: fetch, decode, trim, log-mel → commit] → report
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any
from urllib.request import urlopen

import pyarrow as pa
import pyarrow.compute as pc
import ray

from pipeline.audio.fetch import open_source
from pipeline.audio.logmel import LogMelSpec
from pipeline.audio.segment import get_segment
from pipeline.catalog.audioset import read_segments
from pipeline.catalog.plan import Shard, parse_ratio, plan_segments, shards_to_do
from pipeline.catalog.select import select
from pipeline.catalog.vocabulary import (
    Vocabulary,
    audioset_mids,
    default_vocabulary,
    parse_vocabulary,
)
from pipeline.errors import Outcome, UsageError
from pipeline.flows.cluster import Slots, count, progress_bar, ray_session
from pipeline.flows.provenance import provenance
from pipeline.score.page import render_page
from pipeline.score.reports import build_report
from pipeline.store.dataset import FORMAT, Dataset
from pipeline.store.folder import Folder
from schemas.clips import clips_schema
from schemas.features import features_schema
from schemas.ledger import LEDGER

_MAX_THREADS = 16  # downloads of one task


@dataclass(frozen=True)
class BuildConfig:
    """What to build, from where, to where."""

    segments: tuple[str, ...]
    """Segments CSVs in AudioSet's form: paths or URIs."""
    out: str
    """The dataset's folder: a path or URI."""
    source: str = "youtube"
    """'youtube', a URL with {ytid} in it, or a folder with files named {ytid}.*"""
    classes: str | None = None
    """A class vocabulary in TOML; the eleven instruments when None."""
    ontology: str | None = None
    """AudioSet's ontology.json, for vocabularies that expand an id to its descendants."""
    limit: int | None = None
    """Take only the first N selected segments."""
    shard_size: int = 64
    """Segments a shard."""
    max_downloads: int = 8
    """Downloads at once, in the whole cluster."""
    split: str = "70/10/20"
    """Percent of videos in train, val and test."""

    def __post_init__(self) -> None:
        for name, value in {
            "--shard-size": self.shard_size,
            "--max-downloads": self.max_downloads,
        }.items():
            if value < 1:
                raise UsageError(f"{name} {value}: expected a whole number from 1 up")
        if self.limit is not None and self.limit < 1:
            raise UsageError(f"--limit {self.limit}: expected a whole number from 1 up")
        parse_ratio(self.split)


def build(config: BuildConfig) -> dict[str, Any]:
    """Build the subset, doing only what is missing, and return report.json."""
    open_source(config.source)  # a wrong --source is told before anything runs
    spec = LogMelSpec()
    vocabulary = read_vocabulary(config)
    dataset = Dataset(Folder(config.out))
    identity = {
        "format": FORMAT,
        "classes": vocabulary.to_dict(),
        "feature_spec": spec.to_dict(),
        "split": config.split,
    }
    planned = plan(config, vocabulary)
    with dataset.folder.claimed():
        return build_planned(config, dataset, planned, identity, vocabulary)


def build_planned(
    config: BuildConfig,
    dataset: Dataset,
    planned: pa.Table,
    identity: dict[str, Any],
    vocabulary: Vocabulary,
) -> dict[str, Any]:
    """Run the shards that are missing, and finish."""
    spec = LogMelSpec.from_dict(identity["feature_spec"])
    dataset.begin(identity)
    done_ids = dataset.ledger(["segment_id"])["segment_id"].combine_chunks()
    segments = dataset.write_plan(planned, done_ids)
    n_left = (
        segments.num_rows - pc.sum(pc.is_in(segments["segment_id"], value_set=done_ids)).as_py()
    )
    if n_left:
        with ray_session():
            run_shards(config, dataset, spec, shards_to_do(segments, done_ids), n_left)
    return finish(config, dataset, segments, identity, vocabulary)


def read_vocabulary(config: BuildConfig) -> Vocabulary:
    """Return the classes of the run."""
    if config.classes is None:
        return default_vocabulary()
    ontology = read_source(config.ontology).decode() if config.ontology else None
    return parse_vocabulary(
        read_source(config.classes).decode(), name=config.classes, ontology=ontology
    )


def plan(config: BuildConfig, vocabulary: Vocabulary) -> pa.Table:
    """Return SEGMENTS of this run, before anything is asked for."""
    tables = [
        read_segments(pa.BufferReader(read_source(uri)), name=uri, known_mids=audioset_mids())
        for uri in config.segments
    ]
    chosen = select(pa.concat_tables(tables), vocabulary)
    if config.limit is not None:
        chosen = chosen.slice(0, config.limit)
    if not chosen.num_rows:
        raise UsageError(f"{', '.join(config.segments)}: no segment has one of the classes")
    return plan_segments(chosen, ratio=parse_ratio(config.split), shard_size=config.shard_size)


def read_source(uri: str) -> bytes:
    """Read an input file: a path, an http(s) URL or anything that pyarrow.fs opens."""
    if uri.startswith(("http://", "https://")):
        with urlopen(uri) as response:
            data: bytes = response.read()
        return data
    folder, _, name = uri.rpartition("/")
    root = Folder(folder or ("/" if uri.startswith("/") else "."))
    if not root.exists(name):
        raise UsageError(f"{uri}: no such file")
    return root.read_bytes(name)


def run_shards(
    config: BuildConfig, dataset: Dataset, spec: LogMelSpec, shards: Iterator[Shard], n_left: int
) -> None:
    """Run every shard as a Ray task, as many at once as keep `max_downloads` downloads going."""
    threads = downloads_per_task(
        config.max_downloads, n_cpus=count("CPU"), n_shards=math.ceil(n_left / config.shard_size)
    )
    outcomes: Counter[str] = Counter()
    with progress_bar(total=n_left, unit=" segments", desc="build") as bar:
        slots = Slots(threads)
        for counts in slots.map(
            lambda shard, n: build_shard.remote(shard, config.source, dataset.folder, spec, n),
            shards,
        ):
            outcomes.update(counts)
            bar.set_postfix(outcomes, refresh=False)
            bar.update(sum(counts.values()))


def downloads_per_task(max_downloads: int, *, n_cpus: int, n_shards: int) -> list[int]:
    """Share `max_downloads` out to tasks: one a CPU, or more where that would be over 16 a task.

    On a cluster that grows by demand, tasks beyond today's CPUs are what makes it grow.
    """
    n_tasks = max(min(n_cpus, max_downloads), math.ceil(max_downloads / _MAX_THREADS))
    n_tasks = max(1, min(n_tasks, n_shards))
    return [max_downloads // n_tasks + (k < max_downloads % n_tasks) for k in range(n_tasks)]


@ray.remote(num_cpus=1, max_retries=3)
def build_shard(
    shard: Shard, source: str, out: Folder, spec: LogMelSpec, n_threads: int
) -> dict[str, int]:
    """Get every segment of a shard, commit, and return how many came to which outcome."""
    opened = open_source(source)
    with ThreadPoolExecutor(n_threads) as pool:
        rows = list(pool.map(lambda s: get_segment(opened, s, spec), shard.segments.to_pylist()))
    clips = [row.clip for row in rows if row.clip]
    features = [row.features for row in rows if row.features]
    ledger = pa.Table.from_pylist([row.ledger for row in rows], LEDGER)
    Dataset(out).commit(
        shard.name,
        clips=pa.Table.from_pylist(clips, clips_schema(spec.sample_rate_hz)),
        features=pa.Table.from_pylist(features, features_schema(spec.to_dict())),
        ledger=ledger,
    )
    return dict(Counter(row.ledger["outcome"].value for row in rows))


def finish(
    config: BuildConfig,
    dataset: Dataset,
    segments: pa.Table,
    identity: dict[str, Any],
    vocabulary: Vocabulary,
) -> dict[str, Any]:
    """Check that nothing was lost, and write the reports and dataset.json."""
    ledger = dataset.ledger()
    if sorted(ledger["segment_id"].to_pylist()) != sorted(segments["segment_id"].to_pylist()):
        raise AssertionError("SEGMENTS and LEDGER differ: rows were lost or done twice")
    origin = provenance() | {"source": config.source, "segments": ", ".join(config.segments)}
    report, page = build_report(segments, ledger, class_names=vocabulary.names, provenance=origin)
    dataset.folder.write_json("report.json", report)
    dataset.folder.write_bytes("report.html", render_page(page).encode())
    ok = pc.sum(pc.equal(ledger["outcome"], Outcome.OK)).as_py() or 0
    meta = {
        **identity,
        "complete": True,
        "n_segments": segments.num_rows,
        "n_clips": ok,
        "fingerprint": dataset.fingerprint(),
        "provenance": origin,
    }
    dataset.folder.write_json("dataset.json", meta)
    return dict(report)
