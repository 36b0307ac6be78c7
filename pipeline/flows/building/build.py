"""Segments CSVs in; SEGMENTS, LEDGER, CLIPS and FEATURES out, a shard at a time.

plan → [a shard: fetch, decode, trim, log-mel → commit] → report
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import ray

from pipeline.audio.fetching.fetch import place_of
from pipeline.datasets.build_plan import BuildConfig, Plan, make_plan
from pipeline.evaluation.runs.summary import build_report
from pipeline.flows.building.downloaders import BuildJob, DownloaderPool
from pipeline.flows.building.request_gate import start_gate
from pipeline.flows.cluster import cpus, ray_session
from pipeline.report.page import render_page
from pipeline.report.pages.build_page import build_page
from pipeline.runs.logs import progress_bar, say
from pipeline.runs.provenance import provenance
from pipeline.selection.plan import Shard, count_to_do, shards_to_do
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder
from schemas.build_report import BuildReport
from schemas.ledger import latest

_TICK_S = 1.0


def build(config: BuildConfig) -> BuildReport:
    """Build the subset, doing only what is missing, and return what report.json holds."""
    plan = make_plan(config)
    dataset = Dataset(Folder(config.out))
    with dataset.folder.claimed():
        unfinished = dataset.begin(plan.identity())
        segments = dataset.write_plan(plan.segments)
        finished = dataset.finished(plan.segments, config.retry, unfinished=unfinished)
        n_left = count_to_do(segments, finished)
        del segments  # millions of rows need not stay in memory while the downloads run
        pause = {"n_outages": 0, "paused_s": 0.0}
        if n_left:
            dataset.open_again(plan.identity())
            shards = shards_to_do(
                dataset.segments_in_pieces(), finished, shard_size=config.shard_size
            )
            with ray_session(max_wait_s=config.max_wait_s):
                pause = run_shards(plan, dataset, shards, n_left)
        return finish(plan, dataset, pause)


def run_shards(
    plan: Plan, dataset: Dataset, shards: Iterator[Shard], n_left: int
) -> dict[str, float]:
    """Get the shards, showing how it goes; return how often and how long the source was down."""
    config = plan.config
    gate = start_gate(
        rate_per_s=config.rate, known_good=dataset.last_got(), max_outage_s=config.max_outage_s
    )
    job = BuildJob(
        source=_everywhere(config.source),
        access=config.access,
        out=dataset.folder,
        spec=plan.spec,
        max_attempts=config.attempts,
        is_rated=config.rate is not None,
        wav_dir=Folder(config.wav_dir) if config.wav_dir else None,
    )
    pool = DownloaderPool(job, gate, max_downloads=config.max_downloads, n_cpus=cpus())
    try:
        waits = "waiting for the downloaders to start"
        with progress_bar(total=n_left, unit=" segments", desc="build", postfix=waits) as bar:
            for _ in pool.run(shards, tick_s=_TICK_S):
                status = ray.get(gate.status.remote())
                show(bar, status)
            show(bar, status := ray.get(gate.status.remote()))
    finally:
        pool.stop()
        ray.kill(gate)
    return {key: status[key] for key in ("n_outages", "paused_s")}


def _everywhere(source: str) -> str:
    """Return a source as it is called on every node, whatever folder a worker is in."""
    prefix, path = place_of(source)
    return source if path is None else f"{prefix}{Path(path).absolute()}"


def show(bar: Any, status: dict[str, Any]) -> None:
    """Bring a progress bar up to date: outcomes, and why everybody waits."""
    if status["is_down"]:
        bar.set_postfix_str(
            f"PAUSED, next probe in {status['next_probe_s']:.0f} s: {status['why']}"
        )
    elif status["outcomes"]:
        bar.set_postfix(status["outcomes"], refresh=False)
    bar.update(min(sum(status["outcomes"].values()), bar.total) - bar.n)


def finish(plan: Plan, dataset: Dataset, pause: dict[str, float]) -> BuildReport:
    """Check that nothing was lost, and write the reports and dataset.json."""
    say("finishing", text="checking that nothing is lost, and writing report.json and the page")
    config, segments, history = plan.config, dataset.segments(), dataset.ledger()
    ledger = latest(history)
    check_none_lost(segments, ledger)
    if config.wav_dir:
        write_missing_wavs(dataset, Folder(config.wav_dir))
    origin = provenance() | {"source": config.source, "segments": ", ".join(config.segments)}
    report = build_report(
        segments,
        ledger,
        history=history,
        pause=pause,
        class_names=plan.vocabulary.names,
        provenance=origin,
        cap_text=plan.cap_text,
    )
    dataset.folder.write_json("report.json", report.to_dict())
    dataset.folder.write_bytes("report.html", render_page(build_page(report)).encode())
    record = replace(
        plan.identity(),
        complete=True,
        n_segments=segments.num_rows,
        n_clips=report.got,
        fingerprint=dataset.fingerprint(),
        train_moments=train_moments(dataset),
        provenance=origin,
    )
    dataset.folder.write_json("dataset.json", record.to_dict())
    return report


def train_moments(dataset: Dataset) -> dict[str, dict[str, float]]:
    """Return the training split's moments; those in dataset.json where this run had nothing to do.

    A build that does anything writes a dataset.json first that is not complete.
    """
    before = dataset.record()
    if before.complete and before.train_moments:
        return before.train_moments
    return {
        what: {"n": found.n, "mean": found.mean, "deviation": found.deviation}
        for what, found in (
            ("samples", dataset.moments("clips", "train")),
            ("logmel_db", dataset.moments("features", "train")),
        )
    }


def check_none_lost(segments: pa.Table, ledger: pa.Table) -> None:
    """Raise AssertionError unless every segment has its outcome, and only one."""
    wanted, finished = segments["segment_id"], ledger["segment_id"].combine_chunks()
    all_in = pc.all(pc.is_in(wanted, value_set=finished), min_count=0).as_py()
    if (
        not all_in
        or len(wanted) != len(finished)
        or pc.count_distinct(finished).as_py() != len(finished)
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
