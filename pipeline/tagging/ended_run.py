"""What a tagging or a retagging did in, the run.json of its end out."""

from __future__ import annotations

import json
import resource
from dataclasses import replace
from datetime import datetime
from typing import Any

from pipeline.configs.tag import TagConfig
from pipeline.evaluation.runs.tally import Tally
from pipeline.inference.inference_config import InferenceConfig
from pipeline.models.ensemble import EnsembleCard
from pipeline.runs.provenance import provenance
from pipeline.tagging.part_presence import PresenceResult
from pipeline.tagging.part_steps import Finished, Planned
from schemas.tagging_run import TaggingRun, run_id_of


def ended_run(
    identity: dict[str, Any],
    *,
    catalog: str,
    class_names: dict[str, str],
    started: datetime,
    seconds: float,
) -> TaggingRun:
    """Return what every run says at its end; what it did is for the caller to add."""
    return TaggingRun(
        identity=identity,
        complete=True,
        run_id=run_id_of(started),
        started_at=started.isoformat(timespec="seconds"),
        catalog=catalog,
        seconds=round(seconds, 3),
        memory={"driver_peak_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10},
        class_names=class_names,
        provenance=provenance(),
    )


def tagging_run(
    config: TagConfig,
    inference: InferenceConfig,
    planned: Planned,
    tally: Tally,
    finished: Finished,
    presence: PresenceResult,
    *,
    duplicates: int,
    started: datetime,
    seconds: float,
) -> TaggingRun:
    """Return what a tagging did, by the work it had and by what TAGS hold now."""
    engine = tally.engines.most_common(1)[0][0] if tally.engines else "{}"
    card, n_failed = inference.card, finished.n_failed
    run = ended_run(
        inference.identity,
        catalog=config.catalog,
        class_names=card.vocabulary.names,
        started=started,
        seconds=seconds,
    )
    return replace(
        run,
        model=inference.model,
        tracks=planned.n_tracks,
        duplicates=duplicates,
        tagged=tally.n_ok,
        failed=tally.n_failed,
        skipped=planned.n_unchanged + tally.n_same,
        unchanged=planned.n_unchanged,
        same_content=tally.n_same,
        touched=tally.n_renamed_in_place,
        taken_over=tally.n_taken_over,
        changed=planned.n_changed,
        retried=planned.n_retried,
        undescribed=planned.n_undescribed,
        attributes=list(inference.attributes),
        gone=planned.n_removed,
        marked_gone=presence.n_gone,
        returned=presence.n_returned,
        pruned=presence.n_pruned,
        failed_in_all=n_failed,
        max_failed=config.max_failed,
        past_limit=n_failed > config.max_failed * planned.n_tracks,
        audio_s=round(tally.audio_s, 3),
        stages={stage: round(spent, 3) for stage, spent in tally.stages.items()},
        reasons=dict(tally.reasons),
        labels_of_run={code: tally.labels[code] for code in inference.codes},
        labels_in_all={code: presence.totals.labels[code] for code in inference.codes},
        unlabelled=tally.n_unlabelled,
        histograms=tally.histograms,
        memory={**run.memory, "worker_peak_mib": tally.peak_mib},
        engine=json.loads(engine),
        model_source=None if isinstance(card, EnsembleCard) else card.source,
    )


def check_none_lost(planned: Planned, tally: Tally, finished: Finished) -> None:
    """Raise RuntimeError unless every track has one row, and all that was to do is done."""
    if finished.n_missing or finished.n_too_many or tally.n_tracks != planned.n_left:
        raise RuntimeError(
            f"{planned.n_tracks} tracks, {finished.n_missing} without a row in TAGS, "
            f"{finished.n_too_many} rows too many; {planned.n_left} to do, {tally.n_tracks} done"
        )
