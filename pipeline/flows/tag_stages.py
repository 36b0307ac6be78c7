"""The stages of tagging on Ray Data: one row in and one row out, a broken file too.

    tracks → [decode once, log-mel, windows] → [the model, an actor pool] → aggregate → commit

The stages are plain functions on tables (`pipeline.learn.tagger`); here they get their processes,
CPUs and GPUs. A batch of TAGS is committed as one file, whole or not at all.
"""

from __future__ import annotations

import logging
import pickle
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from functools import cache, partial
from time import monotonic
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import ray
import ray.data
from ray.data import ActorPoolStrategy, DataContext, Dataset
from ray.util.metrics import Counter as Metric

from pipeline.errors import StoreError
from pipeline.flows.cluster import count, cpus
from pipeline.flows.logs import log_as_objects, progress_bar
from pipeline.learn.inference_config import InferenceConfig
from pipeline.learn.model import read_weights
from pipeline.learn.tagger import TrackTagger, describe, tables_of
from pipeline.learn.tracks import SAME
from pipeline.score.tally import Tally, tally_of
from pipeline.store.tagrows import not_before
from pipeline.store.tagstore import TagStore
from pipeline.store.worklist import Fingerprints

_MODEL_TRACKS = 8
COMMIT_TRACKS = 64
_COPIED = ["uri", "fingerprint", "size_bytes", "modified_ns", "attempts", "tagged_at"]


@dataclass(frozen=True)
class Writing:
    """Where TAGS go."""

    store: TagStore
    date: str
    """Of the run, as the folder's name has it."""
    lineage: Mapping[str, str] = field(default_factory=dict)
    """Into the metadata of every file."""
    not_before: datetime | None = None
    """The least `tagged_at` of a row: it must be the last word, whatever a node's clock says."""


def run_stages(
    tracks: Dataset,
    inference: InferenceConfig,
    writing: Writing,
    *,
    n_tracks: int,
    n_blocks: int,
    known: ray.ObjectRef[Fingerprints] | None = None,
    n_actors: int | None = None,
) -> tuple[Tally, pa.Table]:
    """Run the stages over rows of `uri, size_bytes, modified_ns` and, where at hand, `bytes`.

    Returns what became of them, and the tracks whose content is `known` and that were left out:
    rows of uri, fingerprint, size_bytes, modified_ns, attempts, tagged_at.
    """
    quiet()
    # On the CPU Ray Data fuses decoding into the model's actors: each core then does what is next.
    windows = tracks.map_batches(
        partial(described, inference=inference, known=known),
        batch_size=None,
        batch_format="pyarrow",
        num_cpus=1,
    )
    n_actors = min(n_actors or places(gpu=inference.gpu), n_blocks)
    committed = scored(windows, inference, batch_size=_MODEL_TRACKS, n_actors=n_actors).map_batches(
        partial(commit, inference=inference, writing=writing),
        batch_size=COMMIT_TRACKS,
        batch_format="pyarrow",
        num_cpus=0.5,
    )
    tally, same = Tally(), []
    waits = "waiting for the model's processes to start"
    with progress_bar(total=n_tracks, unit=" tracks", desc="tag", postfix=waits) as bar:
        for row in committed.iter_rows():
            if row["fault"]:
                raise pickle.loads(row["fault"])
            part: Tally = pickle.loads(row["tally"])
            part.done_at = monotonic()
            part.begun_at = part.done_at - sum(part.stages.values())  # of one process
            tally.add(part)
            same.append(pa.ipc.open_stream(row["same"]).read_all())
            bar.set_postfix_str(f"{tally.n_failed} failed", refresh=False)
            bar.update(part.n_tracks)
    return tally, pa.concat_tables(same) if same else pa.table({})


def scored(
    described: Dataset, inference: InferenceConfig, *, batch_size: int, n_actors: int
) -> Dataset:
    """Return rows of DESCRIBED as SCORED: each of the actors holds the model, or its members."""
    for part in inference.parts:  # actors look too, but Ray loses what their starts said
        read_weights(part.model, part.model_card)
    return described.map_batches(
        TrackTagger,
        fn_constructor_args=(inference,),
        batch_size=batch_size,
        batch_format="pyarrow",
        num_cpus=0 if inference.gpu else 1,
        num_gpus=1 if inference.gpu else 0,
        compute=ActorPoolStrategy(size=n_actors),
    )


def places(*, gpu: bool) -> int:
    """Return how many processes of the model there is room for; one where pools are still empty."""
    if gpu:
        return max(1, count("GPU"))
    told = count("CPU")
    room = told - 1 - told // 16  # the commits need some, and Ray Data's own tasks
    return max(1, min(room, cpus()))


def described(
    tracks: pa.Table, inference: InferenceConfig, known: ray.ObjectRef[Fingerprints] | None
) -> Iterator[pa.Table]:
    """Describe tracks; what has been told of contents lies in shared memory."""
    if known is None:
        return describe(tracks, inference)
    return describe(tracks, inference, ray.get(known).__contains__)


def commit(scored: pa.Table, inference: InferenceConfig, writing: Writing) -> pa.Table:
    """Write rows of SCORED as TAGS; return the tally, and the tracks of known content.

    A disk or bucket that refuses is handed on as data: Ray Data loses what an exception was caused
    by, and with it the line that says what to mend.
    """
    try:
        return _commit(scored, inference, writing)
    except StoreError as fault:
        nothing = pa.array([None], pa.binary())
        return pa.table({"tally": nothing, "same": nothing, "fault": [pickle.dumps(fault)]})


def _commit(scored: pa.Table, inference: InferenceConfig, writing: Writing) -> pa.Table:
    began = monotonic()
    if writing.not_before is not None:
        scored = not_before(scored, writing.not_before)
    is_same = pc.equal(scored["status"], SAME)
    same, new = scored.filter(is_same), scored.filter(pc.invert(is_same))
    if new.num_rows:
        tags, beside = tables_of(new, inference)
        tags = tags.replace_schema_metadata(dict(writing.lineage))
        writing.store.commit(tags, date=writing.date, beside=beside)
    tally = tally_of(scored.to_pylist(), inference.codes, same=SAME)
    tally.stages["write_s"] += monotonic() - began
    publish(tally)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, same.select(_COPIED).schema) as stream:
        stream.write_table(same.select(_COPIED))
    tracks = sink.getvalue().to_pybytes()
    return pa.table({"tally": [pickle.dumps(tally)], "same": [tracks], "fault": [b""]})


def publish(tally: Tally) -> None:
    """Add to the counters that Ray's metrics ports serve to Prometheus."""
    metrics = _metrics()
    counts = [("ok", "ok", tally.n_ok), ("same", "ok", tally.n_same)]
    counts += [("failed", reason, n) for reason, n in tally.reasons.items()]
    amounts: list[tuple[str, float, dict[str, str]]]
    amounts = [("tracks", n, {"status": status, "reason": why}) for status, why, n in counts]
    amounts += [("audio", tally.audio_s, {})]
    amounts += [
        ("stage", seconds, {"stage": stage.removesuffix("_s")})
        for stage, seconds in tally.stages.items()
    ]
    for name, amount, tags in amounts:
        if amount > 0:  # a counter takes no zero
            metrics[name].inc(amount, tags)


@cache
def _metrics() -> dict[str, Any]:
    """Return this process's counters; Ray adds up those of all."""
    return {
        "tracks": Metric(
            "timbre_tracks", description="tracks that were done", tag_keys=("status", "reason")
        ),
        "audio": Metric("timbre_audio_seconds", description="seconds of audio that were tagged"),
        "stage": Metric(
            "timbre_stage_seconds", description="seconds of the workers", tag_keys=("stage",)
        ),
    }


def quiet() -> None:
    """Keep Ray Data's own bars and messages off the terminal."""
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    logging.getLogger("ray.data").setLevel(logging.ERROR)
    log_as_objects("ray.data")
