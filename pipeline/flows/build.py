"""Segments CSVs in; SEGMENTS, LEDGER, CLIPS and FEATURES out, a shard at a time.

read → select → split → plan → [a shard: fetch, decode, trim, log-mel → commit] → report
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pyarrow as pa
import pyarrow.compute as pc
import ray

from pipeline.audio.fetch import IRMAS, Access, open_source
from pipeline.audio.irmas_source import list_irmas
from pipeline.audio.logmel import LogMelSpec
from pipeline.catalog.audioset import read_segments
from pipeline.catalog.plan import (
    Shard,
    count_to_do,
    parse_split,
    plan_segments,
    shards_to_do,
    split_as_audioset,
    split_by_hash,
)
from pipeline.catalog.retry import Retry
from pipeline.catalog.select import select, select_counts
from pipeline.catalog.vocabulary import (
    Vocabulary,
    audioset_mids,
    default_vocabulary,
    parse_vocabulary,
)
from pipeline.errors import UsageError
from pipeline.flows.cluster import cpus, ray_session
from pipeline.flows.crew import Crew, Order
from pipeline.flows.gate import start_gate
from pipeline.flows.logs import progress_bar
from pipeline.flows.provenance import provenance
from pipeline.report.forecast import forecast
from pipeline.report.page import render_page
from pipeline.report.reports import build_report
from pipeline.store.dataset import FORMAT, Dataset
from pipeline.store.folder import Folder, split_uri
from schemas.ledger import latest

_TICK_S = 1.0


@dataclass(frozen=True)
class BuildConfig:
    """What to build, from where, to where."""

    segments: tuple[str, ...]
    """Segments CSVs in AudioSet's form: paths or URIs; none where the source has its own."""
    out: str
    """The dataset's folder: a path or URI."""
    source: str = "youtube"
    """'youtube', a URL with {ytid} in it, a folder with files named {ytid}.*, or irmas:FOLDER"""
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
    rate: float | None = None
    """Attempts started a second, in the whole cluster; no limit when None."""
    attempts: int = 3
    """Attempts a run makes at a segment whose faults are transient."""
    retry: Retry = Retry.NONE
    """What of earlier runs is tried again."""
    max_outage_s: float = 6 * 3600.0
    """Give up when the source is down for longer."""
    split: str = "70/10/20"
    """Percent of videos in train, val and test; or 'audioset'."""
    wav_dir: str | None = None
    """A folder or URI where the clips also go as {segment_id}.wav."""
    access: Access = field(default_factory=Access)
    """Cookies, proxy and source address."""

    @property
    def is_irmas(self) -> bool:
        """Whether the source brings its own segments, labels and splits."""
        return self.source.startswith(IRMAS)

    def __post_init__(self) -> None:
        at_least_one = {
            "--shard-size": self.shard_size,
            "--max-downloads": self.max_downloads,
            "--attempts": self.attempts,
            "--limit": 1 if self.limit is None else self.limit,
        }
        for name, value in at_least_one.items():
            if value < 1:
                raise UsageError(f"{name} {value}: expected a whole number from 1 up")
        if self.rate is not None and not self.rate > 0:
            raise UsageError(f"--rate {self.rate}: expected more than 0 segments a second")
        parse_split(self.split)


@dataclass(frozen=True)
class Plan:
    """What a run would do, before a single request."""

    config: BuildConfig
    vocabulary: Vocabulary
    spec: LogMelSpec
    segments: pa.Table
    """SEGMENTS."""
    counts: dict[str, int]
    """Rows read, and why rows were left out."""

    def identity(self) -> dict[str, Any]:
        """Return what a dataset may not change between runs."""
        return {
            "format": FORMAT,
            "classes": self.vocabulary.to_dict(),
            "feature_spec": self.spec.to_dict(),
            "split": "irmas" if self.config.is_irmas else self.config.split,
        }


def build(config: BuildConfig) -> dict[str, Any]:
    """Build the subset, doing only what is missing, and return report.json."""
    plan = make_plan(config)
    dataset = Dataset(Folder(config.out))
    with dataset.folder.claimed():
        dataset.begin(plan.identity())
        segments = dataset.write_plan(plan.segments)
        settled = dataset.settled(segments, config.retry)
        n_left = count_to_do(segments, settled)
        del segments  # millions of rows need not stay in memory while the downloads run
        pause = {"n_outages": 0, "paused_s": 0.0}
        if n_left:
            shards = shards_to_do(
                dataset.segments_in_pieces(), settled, shard_size=config.shard_size
            )
            with ray_session():
                pause = run_shards(plan, dataset, shards, n_left)
        return finish(plan, dataset, pause)


def dry_run(config: BuildConfig) -> dict[str, Any]:
    """Return what `build` would do, without a request and without writing anything."""
    plan = make_plan(config)
    dataset = Dataset(Folder(config.out))
    dataset.check(plan.identity())
    settled = dataset.settled(plan.segments, config.retry)
    return forecast(
        plan.segments,
        class_names=plan.vocabulary.names,
        counts=plan.counts,
        n_to_do=count_to_do(plan.segments, settled),
        rate_per_s=config.rate,
        max_downloads=config.max_downloads,
        bytes_per_s=bytes_per_second(plan.spec),
        is_remote=open_source(config.source, config.access).is_remote,
    )


def bytes_per_second(spec: LogMelSpec) -> int:
    """Return what a second of a clip takes in CLIPS and FEATURES: 16-bit samples, float16 bands."""
    return spec.sample_rate_hz * 2 + spec.n_mels * 2 * spec.sample_rate_hz // spec.hop


def make_plan(config: BuildConfig) -> Plan:
    """Read, select and split; everything that a user can get wrong is told here."""
    open_source(config.source, config.access)
    vocabulary = read_vocabulary(config)
    choose = choose_irmas if config.is_irmas else choose_rows
    chosen, counts = choose(config, vocabulary)
    if config.limit is not None:
        chosen = chosen.slice(0, config.limit)
    segments = plan_segments(chosen, shard_size=config.shard_size)
    return Plan(config, vocabulary, LogMelSpec(), segments, counts)


def choose_rows(config: BuildConfig, vocabulary: Vocabulary) -> tuple[pa.Table, dict[str, int]]:
    """Return the rows of the segments CSVs that have a class, with their split, and counts."""
    if not config.segments:
        raise UsageError(f"--segments: needed with --source {config.source}")
    rows = pa.concat_tables([read_rows(uri) for uri in config.segments])
    chosen = select(rows, vocabulary)
    if not chosen.num_rows:
        raise UsageError(f"{', '.join(config.segments)}: no segment has one of the classes")
    ratio = parse_split(config.split)
    split = split_by_hash(chosen, ratio) if ratio else split_as_audioset(chosen)
    return split, select_counts(rows, chosen, vocabulary)


def choose_irmas(config: BuildConfig, vocabulary: Vocabulary) -> tuple[pa.Table, dict[str, int]]:
    """Return IRMAS's own files as whole segments, in its own splits, and counts."""
    if config.segments:
        raise UsageError(f"--segments: of no use with --source {config.source}: it has its own")
    chosen = list_irmas(Path(config.source.removeprefix(IRMAS)), vocabulary)
    nothing_left_out = dict.fromkeys(("without_class", "excluded", "lost_a_class", "repeated"), 0)
    return chosen, {"rows": len(chosen), "chosen": len(chosen), **nothing_left_out}


def read_rows(uri: str) -> pa.Table:
    """Read a segments CSV; its rows also have the `file` that they are from."""
    rows = read_segments(pa.BufferReader(read_source(uri)), name=uri, known_mids=audioset_mids())
    return rows.append_column("file", pa.repeat(pa.scalar(uri), len(rows)))


def read_vocabulary(config: BuildConfig) -> Vocabulary:
    """Return the classes of the run."""
    if config.classes is None:
        return default_vocabulary()
    ontology = read_source(config.ontology).decode() if config.ontology else None
    return parse_vocabulary(
        read_source(config.classes).decode(), name=config.classes, ontology=ontology
    )


def _everywhere(source: str) -> str:
    """Return a source as it is called on every node, whatever folder a worker is in."""
    if source == "youtube" or "://" in source:
        return source
    kind = IRMAS if source.startswith(IRMAS) else ""
    return f"{kind}{Path(source.removeprefix(kind)).absolute()}"


def read_source(uri: str) -> bytes:
    """Read an input file: a path, an http(s) URL or anything that pyarrow.fs opens."""
    if uri.startswith(("http://", "https://")):
        with urlopen(uri) as response:
            data: bytes = response.read()
        return data
    folder, name = split_uri(uri)
    root = Folder(folder)
    if not root.exists(name):
        raise UsageError(f"{uri}: no such file")
    return root.read_bytes(name)


def run_shards(
    plan: Plan, dataset: Dataset, shards: Iterator[Shard], n_left: int
) -> dict[str, float]:
    """Get the shards, showing how it goes; return how often and how long the source was down."""
    config = plan.config
    gate = start_gate(
        rate_per_s=config.rate, known_good=dataset.last_got(), max_outage_s=config.max_outage_s
    )
    order = Order(
        source=_everywhere(config.source),
        access=config.access,
        out=dataset.folder,
        spec=plan.spec,
        max_attempts=config.attempts,
        is_rated=config.rate is not None,
        wav_dir=Folder(config.wav_dir) if config.wav_dir else None,
    )
    crew = Crew(order, gate, max_downloads=config.max_downloads, n_cpus=cpus())
    try:
        with progress_bar(total=n_left, unit=" segments", desc="build") as bar:
            for _ in crew.run(shards, tick_s=_TICK_S):
                status = ray.get(gate.status.remote())
                show(bar, status)
            show(bar, status := ray.get(gate.status.remote()))
    finally:
        crew.stop()
        ray.kill(gate)
    return {key: status[key] for key in ("n_outages", "paused_s")}


def show(bar: Any, status: dict[str, Any]) -> None:
    """Bring a progress bar up to date: outcomes, and why everybody waits."""
    if status["is_down"]:
        bar.set_postfix_str(
            f"PAUSED, next probe in {status['next_probe_s']:.0f} s: {status['why']}"
        )
    else:
        bar.set_postfix(status["outcomes"], refresh=False)
    bar.update(min(sum(status["outcomes"].values()), bar.total) - bar.n)


def finish(plan: Plan, dataset: Dataset, pause: dict[str, float]) -> dict[str, Any]:
    """Check that nothing was lost, and write the reports and dataset.json."""
    config, segments, history = plan.config, dataset.segments(), dataset.ledger()
    ledger = latest(history)
    check_none_lost(segments, ledger)
    if config.wav_dir:
        write_missing_wavs(dataset, Folder(config.wav_dir))
    origin = provenance() | {"source": config.source, "segments": ", ".join(config.segments)}
    report, page = build_report(
        segments,
        ledger,
        history=history,
        pause=pause,
        class_names=plan.vocabulary.names,
        provenance=origin,
    )
    dataset.folder.write_json("report.json", report)
    dataset.folder.write_bytes("report.html", render_page(page).encode())
    meta = {
        **plan.identity(),
        "complete": True,
        "n_segments": segments.num_rows,
        "n_clips": report["got"],
        "fingerprint": dataset.fingerprint(),
        "train_moments": {
            what: {"n": found.n, "mean": found.mean, "deviation": found.deviation}
            for what, found in (
                ("samples", dataset.moments("clips", "train")),
                ("logmel_db", dataset.moments("features", "train")),
            )
        },
        "provenance": origin,
    }
    dataset.folder.write_json("dataset.json", meta)
    return dict(report)


def check_none_lost(segments: pa.Table, ledger: pa.Table) -> None:
    """Raise AssertionError unless every segment has its outcome, and only one."""
    wanted, settled = segments["segment_id"], ledger["segment_id"].combine_chunks()
    all_in = pc.all(pc.is_in(wanted, value_set=settled), min_count=0).as_py()
    if (
        not all_in
        or len(wanted) != len(settled)
        or pc.count_distinct(settled).as_py() != len(settled)
    ):
        raise AssertionError("SEGMENTS and LEDGER differ: rows were lost or done twice")


def write_missing_wavs(dataset: Dataset, folder: Folder) -> None:
    """Write the wav files of clips that an earlier run got without --wav-dir."""
    there = {name for name, _, _ in folder.walk()}
    for name in dataset.folder.names("clips"):
        ids = dataset.folder.read_table(name, ["segment_id"])["segment_id"].to_pylist()
        if all(f"{segment_id}.wav" in there for segment_id in ids):
            continue
        for audio in dataset.folder.read_table(name, ["audio"])["audio"].to_pylist():
            if audio["path"] not in there:
                folder.write_bytes(audio["path"], audio["bytes"])
