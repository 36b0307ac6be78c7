"""What a probe's frozen encoders make of CLIPS: computed once, by Ray, and kept.

    embeddings/{key}/{shard}.parquet  embeddings/{key}/about.json

They lie in the dataset's folder, or where that cannot be written to, in the model's. The key is of
the encoders, the front end, the window and the arithmetic; each file says which clips it is of, so
a dataset that has grown only lacks its new shards. A file is written whole or not at all: after a
kill the same command makes what is missing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import lru_cache, partial
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import ray

from pipeline.arrays import Float32
from pipeline.audio.spectra.activity import Activity
from pipeline.audio.spectra.windows import cut_windows, window_starts
from pipeline.errors import SpecMismatch, StoreError
from pipeline.flows.cluster import count, cpus
from pipeline.flows.tasks import run_tasks
from pipeline.inference.track_front_end import TrackFrontEnd
from pipeline.models.engines.engines import Engine, engine_of
from pipeline.models.model import fingerprint_of
from pipeline.runs.logs import say
from pipeline.store.dataset import Dataset, clips_hash
from pipeline.store.folder import Folder
from pipeline.training.data.mapped import samples_of
from pipeline.training.transfer.probe import ProbeDesign
from schemas.clip_embeddings import EmbeddingsRecord, clip_embeddings_schema
from schemas.feature_set import CLIPS_KEY

_IDENTITY = ["segment_id", "sha256"]
"""What a shard's embeddings depend on: which clips it has and what they sound like, no labels."""
_MAX_PARALLEL_READS = 16
"""Files that are compared at the same time: a bucket's answers take their time."""
_GROUP_CLIPS = 32  # whose windows are in memory at once
_MAX_RETRIES = 8
_N_LOGITS = 32  # of a head that is never fitted: an engine is proved by its logits

Row = dict[str, Any]


@dataclass(frozen=True)
class EmbedJob:
    """What is the same for every shard."""

    clips: Folder
    """The dataset's folder, with its CLIPS."""
    out: Folder
    design: ProbeDesign
    precision: str
    """Arithmetic of the encoders: auto, f32 or bf16."""
    gpu: bool
    """Whether each task has a GPU."""

    @property
    def key(self) -> str:
        """What embeddings depend on but the clips, as twelve hex digits."""
        design = self.design
        parts = (design.input_spec.to_dict(), design.windows.to_dict(), design.encoders)
        return fingerprint_of(design.model_ids, parts, self.precision)

    @property
    def table(self) -> str:
        """The sub-folder of the files."""
        return f"embeddings/{self.key}"


def embed(job: EmbedJob, dataset: Dataset, model_out: Folder, splits: Sequence[str]) -> EmbedJob:
    """Make what is missing of some splits; return the same job with the folder they are in.

    Ray must be there. `model_out` is taken where the dataset cannot be written to.
    """
    shards = [name.split("/")[1] for name in dataset.names("clips", *splits)]
    left = missing(job, shards)
    if not left:
        return job
    job, left = _writable(job, model_out, left, shards)
    with Folder(job.out.uri_of(job.table)).claimed():
        job.out.delete_temporary(job.table)
        _run(job, left)
    return job


def missing(job: EmbedJob, shards: Sequence[str]) -> list[str]:
    """Return the shards whose clips have no embeddings yet, or are others by now."""
    there = set(job.out.names(job.table))

    def is_done(shard: str) -> bool:
        name = f"{job.table}/{shard}"
        if name not in there:
            return False
        clips = job.clips.read_table(f"clips/{shard}", _IDENTITY).to_pylist()
        said = (job.out.read_schema(name).metadata or {}).get(CLIPS_KEY)
        return bool(said == clips_hash(clips, _IDENTITY))

    with ThreadPoolExecutor(_MAX_PARALLEL_READS) as pool:
        done = pool.map(is_done, shards)
        return [shard for shard, is_there in zip(shards, done, strict=True) if not is_there]


def _writable(
    job: EmbedJob, model_out: Folder, left: list[str], shards: Sequence[str]
) -> tuple[EmbedJob, list[str]]:
    """Return the job where it can write, and what is missing there."""
    design = job.design
    about = EmbeddingsRecord(
        design.model_ids, design.input_spec.to_dict(), design.windows.to_dict(), job.precision
    )
    try:
        job.out.write_json(f"{job.table}/about.json", about.to_dict())
        return job, left
    except StoreError as error:
        if job.out.is_same(model_out):
            raise
        say("note", text=f"the embeddings go to {model_out.uri}: {error}")
    beside = replace(job, out=model_out)
    return _writable(beside, model_out, missing(beside, shards), shards)


def _run(job: EmbedJob, left: Sequence[str]) -> None:
    """Embed shards as tasks, a CPU or a GPU each."""
    task = ray.remote(num_cpus=1, num_gpus=int(job.gpu), max_retries=_MAX_RETRIES)(embed_shard)
    places = max(1, count("GPU") if job.gpu else cpus())
    run_tasks(
        partial(task.remote, ray.put(job)),
        left,
        n_at_once=places,
        title="embeddings",
        waits="waiting for the encoders to load",
    )


def embed_shard(job: EmbedJob, shard: str) -> None:
    """Write the embeddings of one shard of clips."""
    design = job.design
    engine = _engine(
        design.uris, tuple(design.model_ids), design.windows.window_s, job.precision, job.gpu
    )
    clips = job.clips.read_table(f"clips/{shard}", [*_IDENTITY, "audio"])
    rows = [
        row
        for start in range(0, clips.num_rows, _GROUP_CLIPS)
        for row in embedded_rows(clips.slice(start, _GROUP_CLIPS).to_pylist(), design, engine)
    ]
    of_clips = clips_hash(clips.select(_IDENTITY).to_pylist(), _IDENTITY)
    schema = clip_embeddings_schema(design.model_ids, of_clips)
    job.out.write_table(
        f"{job.table}/{shard}", pa.Table.from_pylist(rows, schema), use_dictionary=False
    )


@lru_cache(maxsize=1)
def _engine(
    uris: tuple[str, ...], model_ids: tuple[str, ...], window_s: float, precision: str, gpu: bool
) -> Engine:
    """Load the encoders, once a process."""
    design = ProbeDesign.read(uris, window_s)
    if tuple(design.model_ids) != model_ids:
        raise SpecMismatch(f"{', '.join(uris)}: an encoder has become another; train again")
    model = design.new_model(design.architecture(n_classes=_N_LOGITS))
    return engine_of(model, ", ".join(model_ids), precision=precision, gpu=gpu, embeddings=True)


def embedded_rows(
    clips: Sequence[Mapping[str, Any]], design: ProbeDesign, engine: Engine
) -> Iterator[Row]:
    """Yield the rows of CLIP_EMBEDDINGS of some clips, whose windows fill the engine's batches."""
    input_spec, windows = design.input_spec, design.windows
    front_end, described, parts = TrackFrontEnd(input_spec, windows, Activity()), [], []
    for clip in clips:
        samples = samples_of(clip["audio"]["bytes"], input_spec.sample_rate_hz)
        matrix = input_spec.matrix(samples)
        starts = window_starts(matrix.shape[1], windows, input_spec)
        parts.append(
            cut_windows(matrix, starts, windows.n_frames(input_spec), silence=input_spec.silence)
        )
        described.append((clip["segment_id"], starts, front_end.active(samples, starts)))
    vectors = _embedded(np.concatenate(parts), engine)
    bounds = np.cumsum([len(part) for part in parts])[:-1]
    for (segment_id, starts, active), own in zip(described, np.split(vectors, bounds), strict=True):
        for k, start in enumerate(starts.tolist()):
            yield {
                "segment_id": segment_id,
                "window": k,
                "start_s": start * input_spec.hop / input_spec.sample_rate_hz,
                "is_active": bool(active[k]),
                "embedding": own[k],
            }


def _embedded(windows: npt.NDArray[Any], engine: Engine) -> Float32:
    vectors = engine.scores(windows)[1]
    assert vectors is not None  # they were asked for
    return vectors
