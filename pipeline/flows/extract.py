"""CLIPS in, feature sets out: one table per feature, one file per shard of clips.

    features.json  {name}/{shard}.parquet  or, pooled,  {name}-pooled/{shard}.parquet

A file is written whole or not at all, and a shard is done when all its files are there: after a
kill the same command does what is missing. Shards are named by their clips' ids, whatever these
sound like; so features.json names the dataset from the beginning, and every file says which clips
it is of.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import ray

from pipeline.audio.decoding.clip import from_wav
from pipeline.audio.description.features import FrameSpec, Matrix, describe, extract_all, pool
from pipeline.audio.description.prepare import Step, apply_steps, parse_steps
from pipeline.configs.extract import ExtractConfig as ExtractConfig
from pipeline.datasets.noise_clip import read_noise
from pipeline.errors import SpecMismatch, UsageError
from pipeline.flows.cluster import cpus, ray_session
from pipeline.flows.tasks import run_tasks
from pipeline.runs.provenance import provenance
from pipeline.store.dataset import RAW, Dataset, clips_hash
from pipeline.store.folder import Folder
from pipeline.store.out import FEATURES, check_out, check_same
from schemas.dataset import DatasetRecord
from schemas.feature_set import CLIPS_KEY, FeatureSetRecord, feature_schema, pooled_schema

_IDENTITY = ["segment_id", "sha256", "split", "classes"]
"""What a shard's features depend on: which clips it has, what they sound like and what they are."""
_CLIP_COLUMNS = [*_IDENTITY, "ytid", "audio"]
_MAX_PARALLEL_READS = 16
"""Shards that are compared at the same time: a bucket's answers take their time."""


@dataclass(frozen=True)
class ExtractJob:
    """What is the same for every shard of a run."""

    clips: Folder
    fingerprint: str
    """Hash of what the dataset holds (`Dataset.fingerprint`)."""
    out: Folder
    descriptions: Mapping[str, Mapping[str, Any]]
    spec: FrameSpec
    pool: tuple[str, ...]
    steps: tuple[Step, ...]

    def file(self, feature: str, shard: str) -> str:
        """Return the name of a shard's file."""
        return f"{self.table(feature)}/{shard}"

    def table(self, feature: str) -> str:
        """Return the sub-folder of a feature's files."""
        return f"{feature}-pooled" if self.pool else feature


@dataclass(frozen=True)
class Extracted:
    """What an extraction has written."""

    record: FeatureSetRecord
    """The content of features.json afterwards."""
    n_shards: int
    """Shards that this run has done."""
    n_clips: int
    """The clips of those shards."""


def extract_features(config: ExtractConfig) -> Extracted:
    """Extract what is missing of the features."""
    check_out(config.out, FEATURES, {"--dataset": config.dataset})
    dataset, out = Dataset.open(config.dataset), Folder(config.out)
    work = plan(config, dataset, out)
    shards = [name.split("/")[1] for name in dataset.folder.names("clips")]
    record = FeatureSetRecord(
        dataset=dataset.folder.uri,
        dataset_fingerprint=work.fingerprint,
        features=dict(work.descriptions),
        pool=list(config.pool),
        prepare=",".join(map(str, work.steps)),
    )
    with out.claimed():
        claim(work, shards, record)
        tidy(work, shards)
        left = missing(work, shards)
        n_clips = run_shards(work, left, max_wait_s=config.max_wait_s) if left else 0
        origin = provenance() | {"dataset": config.dataset}
        record = replace(record, complete=True, n_shards=len(shards), provenance=origin)
        out.write_json("features.json", record.to_dict())
    return Extracted(record, len(left), n_clips)


def _read_record(out: Folder) -> FeatureSetRecord | None:
    """Return what features.json holds; None where there is none yet."""
    if not out.exists("features.json"):
        return None
    return out.read_record("features.json", FeatureSetRecord)


def plan(config: ExtractConfig, dataset: Dataset, out: Folder) -> ExtractJob:
    """Check what a user can get wrong; features that are there already are kept complete."""
    built, before = dataset.built(), _read_record(out)
    rate_hz = built.feature_spec["sample_rate_hz"]
    try:
        spec = FrameSpec(sample_rate_hz=rate_hz, n_fft=config.n_fft, hop=config.hop)
    except ValueError as error:
        raise UsageError(f"--n-fft {config.n_fft} --hop {config.hop}: {error}") from error
    known = before.features if before else {}
    return ExtractJob(
        clips=dataset.folder,
        fingerprint=built.fingerprint,
        out=out,
        descriptions={name: describe(name, spec) for name in (*known, *config.features)},
        spec=spec,
        pool=config.pool,
        steps=parse_steps(_with_numbers(config.prepare, built), partial(read_noise, rate_hz)),
    )


def _with_numbers(steps: str, built: DatasetRecord) -> str:
    """Write the training split's mean and deviation behind a plain 'standardise'."""
    words = [step.strip() for step in steps.split(",")]
    if "standardise" not in words:
        return steps
    train = built.train_moments.get("samples", {"n": 0})
    if not train["n"]:
        raise UsageError(
            "--prepare standardise: dataset.json has no train_moments, as the training split is "
            "empty or older than they are; say standardise:MEAN:DEVIATION"
        )
    numbers = f"standardise:{train['mean']!r}:{train['deviation']!r}"
    return ",".join(numbers if word == "standardise" else word for word in words)


def claim(work: ExtractJob, shards: list[str], record: FeatureSetRecord) -> None:
    """Refuse to mix tables that were made in different ways or of different datasets."""
    out = work.out
    if before := _read_record(out):
        made = record.features
        there = {name: before.features.get(name, made[name]) for name in made}
        check_same(
            out.uri,
            "holds features",
            {"pool": before.pool, "prepare": before.prepare, **there},
            {"pool": record.pool, "prepare": record.prepare, **made},
        )
        if before.dataset_fingerprint != work.fingerprint:
            if before.dataset != record.dataset:
                raise SpecMismatch(
                    f"{out.uri}: holds features of another dataset, "
                    f"{before.dataset or 'which it does not name'}; give another --out"
                )
            drop_changed(work, shards)  # before the new fingerprint says that all is well
    out.write_json("features.json", record.to_dict())


def drop_changed(work: ExtractJob, shards: list[str]) -> None:
    """Delete the features of shards whose clips are others by now: the dataset was built anew.

    One that was only extended has its old shards as they were.
    """

    def drop(shard: str) -> None:
        now = clips_hash(work.clips.read_table(f"clips/{shard}", _IDENTITY).to_pylist(), _IDENTITY)
        for name in (work.file(feature, shard) for feature in work.descriptions):
            if work.out.exists(name):
                said = work.out.read_schema(name).metadata or {}
                if said.get(CLIPS_KEY) != now:
                    work.out.delete(name)

    with ThreadPoolExecutor(_MAX_PARALLEL_READS) as pool:
        list(pool.map(drop, shards))


def tidy(work: ExtractJob, shards: list[str]) -> None:
    """Delete what a killed task left, and the shards that the dataset has no more."""
    for feature in work.descriptions:
        table = work.table(feature)
        work.out.delete_temporary(table)
        for name in work.out.names(table):
            if name.split("/")[1] not in shards:
                work.out.delete(name)


def missing(work: ExtractJob, shards: list[str]) -> list[tuple[str, list[str]]]:
    """Return the shards that lack a file, each with the features that it lacks."""
    there = {name for one in work.descriptions for name in work.out.names(work.table(one))}
    lacks = [
        (shard, [f for f in work.descriptions if work.file(f, shard) not in there])
        for shard in shards
    ]
    return [(shard, features) for shard, features in lacks if features]


def run_shards(work: ExtractJob, left: list[tuple[str, list[str]]], *, max_wait_s: float) -> int:
    """Extract the shards as tasks, a CPU each; return how many clips that were."""
    with ray_session(max_wait_s=max_wait_s):
        task = ray.remote(num_cpus=1)(extract_shard)
        reference = ray.put(work)
        n_clips = run_tasks(
            lambda item: task.remote(reference, *item),
            left,
            n_at_once=max(1, cpus()),
            title="features",
            waits="waiting for the workers to start",
        )
    return sum(n_clips)


def extract_shard(work: ExtractJob, shard: str, features: list[str]) -> int:
    """Extract the features of one shard of clips, and write its files; return the clips."""
    clips = work.clips.read_table(f"clips/{shard}", _CLIP_COLUMNS).to_pylist()
    rows: dict[str, list[dict[str, Any]]] = {name: [] for name in features}
    for clip in clips:
        matrices = extract_all(features, samples_of(clip, work), work.spec)
        shared = {key: clip[key] for key in ("segment_id", "ytid", "classes", "split")}
        for name, matrix in matrices.items():
            rows[name].append(shared | _values(matrix, work.pool))
    for name in features:
        description = {**work.descriptions[name], "prepare": ",".join(map(str, work.steps))}
        schema = pooled_schema(description, work.pool) if work.pool else feature_schema(description)
        schema = schema.with_metadata({**schema.metadata, CLIPS_KEY: clips_hash(clips, _IDENTITY)})
        options = {} if work.pool else RAW
        work.out.write_table(
            work.file(name, shard), pa.Table.from_pylist(rows[name], schema), **options
        )
    return len(clips)


def samples_of(clip: Mapping[str, Any], work: ExtractJob) -> Matrix:
    """Return a clip's samples as FEATURES were made of them, prepared."""
    samples, rate_hz = from_wav(clip["audio"]["bytes"])
    assert rate_hz == work.spec.sample_rate_hz
    return apply_steps(samples, work.steps, sample_rate_hz=rate_hz)


def _values(matrix: Matrix, how: tuple[str, ...]) -> dict[str, Any]:
    if how:
        return pool(matrix, how)
    return {"values": matrix.astype("<f4").tobytes(), "n_columns": np.shape(matrix)[1]}
