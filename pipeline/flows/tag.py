"""A catalogue and a model in, TAGS out: what is new or changed, and nothing twice.

    list → what is left → [the stages, some ten thousand tracks at a time] → settle → reconcile

After a kill at any moment the same command tags what has no row yet. A run ends with run.json, a
page, and the proof that every track of the catalogue has its row.
"""

from __future__ import annotations

import hashlib
import json
import resource
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from itertools import chain
from time import monotonic
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import ray
import ray.data

from pipeline.audio.activity import Activity
from pipeline.errors import UsageError
from pipeline.flows.cluster import ray_session
from pipeline.flows.logs import say
from pipeline.flows.provenance import provenance
from pipeline.flows.tag_claim import aggregation_there, check_identity, claim
from pipeline.flows.tag_report import write_report
from pipeline.flows.tag_stages import Writing, places, run_stages
from pipeline.learn.engines import check_engine
from pipeline.learn.model import ModelCard
from pipeline.learn.tagging import Tagging, calibrated, other_windows, tagging
from pipeline.score.pace import expected_s
from pipeline.score.tally import Tally
from pipeline.score.thresholds import check_share
from pipeline.store.catalogue import track_batches
from pipeline.store.folder import Folder
from pipeline.store.left_out import LeftOut
from pipeline.store.out import TAGS, check_out
from pipeline.store.tagstore import TagStore
from pipeline.store.worklist import Known, Work, audio_s_of, plan_work, text_hashes
from schemas.tags import tags_schema

DEFAULT_GATE = 0.2
RETRY = ("none", "failed")
_TRANCHE_TRACKS = 50_000
"""Tracks of one pass through the stages: what is held at once, and how often pools may grow."""
_BLOCKS_A_PLACE = 40
_MAX_BLOCK_TRACKS = 64


@dataclass(frozen=True)
class TagConfig:
    """What to tag, with what, to where."""

    catalog: str
    """A folder, a glob, an audio file, or a .parquet, .csv or .jsonl manifest with a uri column."""
    model: str
    """A model's folder."""
    out: str
    """The folder for tags/, run.json and the page."""
    aggregate: str | None = None
    """s1, s2, max, topN, or segments such as s2-10s-top3, which is the default; where the folder's
    rows are older and by the model's s2, that goes on."""
    threshold: float | None = None
    """For every class; the model's own when None."""
    gpu: bool = False
    """A GPU for every actor of the model."""
    window_s: float | None = None
    """Length of a window; the model's own when None."""
    hop_s: float | None = None
    """Distance of windows; the model's own when None."""
    gate: float | None = None
    """Evidence below which a class is no label, 0 for none; the model's own `min_confidence` or,
    where it has none, `DEFAULT_GATE` when None."""
    activity: bool = True
    """Whether windows of silence and noise are left out."""
    calibrated: bool = False
    """Whether scores are probabilities, by the calibration that the model's json has."""
    retry: str = "none"
    """failed: take failed tracks again; those that the line failed are taken anyway."""
    keep_windows: bool = False
    """Whether windows/ and intervals/ are written."""
    embeddings: bool = False
    """Whether embeddings/ are written."""
    engine: str = "auto"
    """auto, openvino or torch."""
    precision: str = "auto"
    """auto, f32, bf16 or int8."""
    workers: int | None = None
    """Processes of the model; what there is room for when None."""
    n_examples: int = 6
    """Tracks to listen to on the page."""
    max_failed: float = 1.0
    """Share of the catalogue that may have failed; run.json and the page say when it is more."""

    def __post_init__(self) -> None:
        for name in ("threshold", "gate"):
            value = getattr(self, name)
            if value is not None:
                check_share(f"--{name}", value)
        check_share("--max-failed", self.max_failed)
        if self.retry not in RETRY:
            raise UsageError(f"--retry {self.retry!r}: expected one of {', '.join(RETRY)}")
        if self.workers is not None and self.workers < 1:
            raise UsageError(f"--workers {self.workers}: expected 1 or more")


def tagging_of(config: TagConfig) -> Tagging:
    """Return how a config's scores become labels."""
    how = _tagging(config)
    if config.calibrated:
        how = calibrated(how, threshold=config.threshold)
    check_engine(
        how.card,
        engine=config.engine,
        precision=config.precision,
        gpu=config.gpu,
        embeddings=config.embeddings,
        model_uri=how.model,
    )
    return replace(
        how,
        windows=other_windows(how.card, config.window_s, config.hop_s),
        gate=_gate(config, how.card),
        activity=Activity() if config.activity else None,
        engine=config.engine,
        precision=config.precision,
        keep_windows=config.keep_windows,
        embeddings=config.embeddings,
    )


def _gate(config: TagConfig, card: ModelCard) -> float:
    if config.gate is not None:
        return config.gate
    return DEFAULT_GATE if card.min_confidence is None else card.min_confidence


def check_tag_out(config: TagConfig) -> None:
    """Refuse an out that holds another kind of thing, or where the music or the model is."""
    check_out(config.out, TAGS, {"--model": config.model}, catalog=config.catalog)


def _tagging(config: TagConfig) -> Tagging:
    """Return the aggregation and thresholds: the default is newer than some folders of tags."""
    how = tagging(
        config.model, config.aggregate, config.threshold, gpu=config.gpu, whole_tracks=True
    )
    own = how.card.aggregation
    if config.aggregate is not None or own == how.aggregation:
        return how
    if aggregation_there(TagStore(Folder(config.out)), how.card.model_id) != own:
        return how
    say(
        "aggregation",
        text=f"{config.out}: its tags are by {own}, and so it goes on; {how.aggregation} finds "
        "solos in long tracks: for that give another --out",
    )
    return tagging(config.model, own, config.threshold, gpu=config.gpu)


def plan_tagging(config: TagConfig) -> dict[str, Any]:
    """Return what `tag_catalog` would do; read no audio, and write nothing."""
    check_tag_out(config)
    how, store = tagging_of(config), TagStore(Folder(config.out))
    check_identity(store, how)
    known = store.known(how.card.model_id)
    left_out = LeftOut()
    batches = track_batches(config.catalog, left_out)
    work = plan_work(batches, known, retry_failed=config.retry == "failed")
    audio_s = audio_s_of(work.left, known)
    seconds = expected_s(store.runs(how.card.model_id), audio_s) if work.left.num_rows else 0.0
    return {
        "tracks": work.n_tracks,
        "unchanged": work.n_unchanged,
        "left": work.left.num_rows,
        "changed": work.n_changed,
        "retried": work.n_retried,
        "gone": work.n_gone,
        "left_out": left_out.counts,
        "bytes": pc.sum(work.left["size_bytes"]).as_py() or 0,
        "audio_s": audio_s,
        "seconds": seconds,
    }


def tag_catalog(config: TagConfig) -> dict[str, Any]:
    """Tag what is new in a catalogue; return run.json.

    Raises
    ------
    UsageError, SpecMismatch
        For what the config names.
    StoreError
        Where the disk or bucket gives out: the same command goes on.
    """
    began, started = monotonic(), datetime.now(UTC)
    check_tag_out(config)
    how, store = tagging_of(config), TagStore(Folder(config.out))
    model_id = how.card.model_id
    check_identity(store, how)
    left_out = LeftOut()
    batches = track_batches(config.catalog, left_out)
    batches = chain([next(batches)], batches)  # a catalogue without tracks is an error before all
    with store.folder.claimed():
        claim(store, how)
        known = store.known(model_id)
        work = plan_work(batches, known, retry_failed=config.retry == "failed")
        started = _last_of_all(started, known)
        tally = _tag(config, how, store, work, known, started)
        say("finishing", text="joining the files of tags, and writing run.json and the page")
        if work.n_changed + work.n_retried:
            store.settle(model_id)
        if work.left.num_rows:
            store.compact(model_id, date=f"{started:%Y-%m-%d}")
        ended = store.known(model_id) if work.left.num_rows else known
        lacking = store.lacking(model_id, _beside(how))
        seconds = monotonic() - began
        run = _run_json(config, how, work, tally, ended, started, lacking=lacking, seconds=seconds)
        run["left_out"] = left_out.counts
        _write_run(store, run)
        write_report(
            config.out,
            run,
            model_uri=config.model,
            n_examples=config.n_examples,
            catalogue=work.uris if work.n_gone else None,
        )
        if work.left.num_rows:  # what the page took counts, too
            work_s = (tally.done_at or began) - (tally.begun_at or began)
            run |= {"work_s": round(work_s, 3)}
            run |= {"overhead_s": round(monotonic() - began - work_s, 3)}
            _write_run(store, run)
    return run


def _write_run(store: TagStore, run: dict[str, Any]) -> None:
    """Write run.json, and keep that of a run that did something."""
    if run["tracks"] > run["unchanged"]:
        store.folder.write_json(f"runs/{run['run_id']}.json", run)
    store.folder.write_json("run.json", run)


def _tag(
    config: TagConfig, how: Tagging, store: TagStore, work: Work, known: Known, started: datetime
) -> Tally:
    """Tag what is left, some ten thousand tracks at a time; return what became of it."""
    tally = Tally()
    if not work.left.num_rows:
        return tally
    date = f"{started:%Y-%m-%d}"
    before = frozenset(store.files(how.card.model_id))  # later tranches may copy of their rows
    writing = Writing(store, date, lineage_of(how), not_before=started)
    with ray_session(min_cpus=4, gpu=how.gpu):
        contents = ray.put(known.contents) if len(known.contents) else None
        for start in range(0, work.left.num_rows, _TRANCHE_TRACKS):
            blocks = list(_blocks(work.left.slice(start, _TRANCHE_TRACKS), how))
            part, same = run_stages(
                ray.data.from_arrow(blocks),
                how,
                writing,
                n_tracks=sum(block.num_rows for block in blocks),
                n_blocks=len(blocks),
                known=contents,
                n_actors=config.workers,
            )
            if same.num_rows:
                schema = tags_schema(how.codes).with_metadata(dict(writing.lineage))
                store.copy(same, how.card.model_id, date=date, schema=schema)
                tally.n_touched += int(known.find(text_hashes(same["uri"]))[1].sum())
            tally.add(part)
            store.compact(how.card.model_id, date=date, but=before)
    return tally


def _last_of_all(started: datetime, known: Known) -> datetime:
    """Return when a run begins: after all rows that are there, or they would win over its own.

    A clock that was ahead one night and is right the next would lose that night's rows.
    """
    if known.latest is None:
        return started
    return max(started, known.latest + timedelta(seconds=1))  # runs are named by the second


def _blocks(tracks: pa.Table, how: Tagging) -> Iterator[pa.Table]:
    """Cut tracks into blocks: enough for all processes to end together, not more than needed."""
    n_blocks = _BLOCKS_A_PLACE * places(gpu=how.gpu)
    n_tracks = min(max(8, tracks.num_rows // n_blocks), _MAX_BLOCK_TRACKS)
    for start in range(0, tracks.num_rows, n_tracks):
        yield tracks.slice(start, n_tracks)


def lineage_of(how: Tagging) -> dict[str, str]:
    """Return what the files of TAGS say of where they are from."""
    weights = Folder(how.model).read_bytes("model.safetensors")
    return {
        "timbre.model_id": how.card.model_id,
        "timbre.model_sha256": hashlib.sha256(weights).hexdigest(),
        "timbre.tagging": json.dumps(how.identity),
        "timbre.classes": json.dumps(how.card.vocabulary.to_dict()),
        "timbre.provenance": json.dumps(provenance()),
    }


def _beside(how: Tagging) -> list[str]:
    """Return the tables that are written beside TAGS."""
    return ["windows", "intervals"] * how.keep_windows + ["embeddings"] * how.embeddings


def _n_failed(work: Work, ended: Known) -> int:
    """Return how many tracks of the catalogue have failed; those that are gone do not count."""
    failed = ended.uris[~ended.is_ok]
    return int(np.isin(failed, work.uris).sum()) if work.n_gone else len(failed)


def _run_json(
    config: TagConfig,
    how: Tagging,
    work: Work,
    tally: Tally,
    ended: Known,
    started: datetime,
    *,
    lacking: list[str],
    seconds: float,
) -> dict[str, Any]:
    """Return run.json; every track of the catalogue must have its row by now, and only one."""
    n_missing = int(np.isin(work.uris, ended.uris, invert=True).sum())
    n_too_many = len(ended.uris) - len(np.unique(ended.uris))
    if n_missing or n_too_many or tally.n_tracks != work.left.num_rows:
        raise RuntimeError(
            f"{work.n_tracks} tracks, {n_missing} without a row in TAGS, {n_too_many} rows too "
            f"many; {work.left.num_rows} to do, {tally.n_tracks} done"
        )
    engine = tally.engines.most_common(1)[0][0] if tally.engines else "{}"
    n_failed = _n_failed(work, ended)
    return {
        "identity": how.identity,
        "complete": True,
        "run_id": f"{started:%Y%m%dT%H%M%SZ}",
        "started_at": started.isoformat(timespec="seconds"),
        "catalog": config.catalog,
        "tracks": work.n_tracks,
        "tagged": tally.n_ok,
        "failed": tally.n_failed,
        "skipped": work.n_unchanged + tally.n_same,
        "unchanged": work.n_unchanged,
        "same_content": tally.n_same,
        "touched": tally.n_touched,
        "changed": work.n_changed,
        "retried": work.n_retried,
        "gone": work.n_gone,
        "failed_in_all": n_failed,
        "max_failed": config.max_failed,
        "past_limit": n_failed > config.max_failed * work.n_tracks,
        "lacking": lacking,
        "audio_s": round(tally.audio_s, 3),
        "seconds": round(seconds, 3),
        "stages": {stage: round(spent, 3) for stage, spent in tally.stages.items()},
        "reasons": dict(tally.reasons),
        "labels": {code: ended.labels[code] for code in how.codes},
        "labels_of_run": {code: tally.labels[code] for code in how.codes},
        "labels_in_all": {code: ended.labels[code] for code in how.codes},
        "unlabelled": tally.n_unlabelled,
        "histograms": tally.histograms,
        "memory": {
            "driver_peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10,
            "worker_peak_mib": tally.peak_mib,
        },
        "engine": json.loads(engine),
        "class_names": how.card.vocabulary.names,
        **({} if how.card.source is None else {"model_source": how.card.source}),
        "provenance": provenance(),
    }
