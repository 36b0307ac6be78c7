"""A catalogue and a model in, TAGS out: what is new or changed, and nothing twice.

    list → by part: what is left → [the stages] → by part: copies, last rows, few files, an index

What is done a part at a time is in `pipeline.tagging.part_steps`; this process adds up counts.
After a kill at any moment the same command tags what has no row yet. A run ends with run.json, a
page, and the proof that every track of the catalogue has its row.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import cache
from itertools import chain
from tempfile import TemporaryDirectory
from time import monotonic
from typing import TYPE_CHECKING

from pipeline.configs.tag import TagConfig as TagConfig
from pipeline.evaluation.runs.tally import Tally
from pipeline.inference.inference_config import InferenceConfig
from pipeline.models.starter import model_folders
from pipeline.runs.logs import say
from pipeline.store.catalogue import track_batches
from pipeline.store.folder import Folder
from pipeline.store.left_out import LeftOut
from pipeline.store.out import TAGS, check_out
from pipeline.store.reach import reach_of
from pipeline.store.tags.cutting import cut_into_parts
from pipeline.store.tags.known import Totals
from pipeline.store.tags.parts import n_parts_for
from pipeline.store.tags.tagpart import TagPart
from pipeline.store.tags.tagstore import TagStore
from pipeline.store.tags.work.listing import Listing
from pipeline.tagging.commit import Stages, Writing
from pipeline.tagging.ended_run import check_none_lost, tagging_run
from pipeline.tagging.page.tag_report import write_report
from pipeline.tagging.part_presence import update_presence
from pipeline.tagging.part_steps import Each, Finished, PartSteps, Planned
from pipeline.tagging.tag_claim import check_identity, claim
from pipeline.tagging.tag_inference import inference_of, lineage_of, tables_beside
from pipeline.tagging.tag_plan import TaggingPlan, plan_of
from pipeline.tagging.tag_progress import gathered
from pipeline.tagging.tag_where import is_small
from schemas.tagging_run import TaggingRun

if TYPE_CHECKING:
    from pipeline.models.engines.engines import Engine


def check_tag_out(config: TagConfig) -> None:
    """Refuse an out that holds another kind of thing, or where the music or the model is."""
    check_out(config.out, TAGS, {"--model": model_folders(config.model)}, catalog=config.catalog)


def plan_tagging(config: TagConfig) -> TaggingPlan:
    """Return what `tag_catalog` would do; read no audio, and write nothing."""
    check_tag_out(config)
    inference, store = inference_of(config), TagStore.open(config.out)
    check_identity(store, inference)
    left_out, model_id = LeftOut(), inference.card.model_id
    with TemporaryDirectory() as elsewhere:
        listing = Listing.of(track_batches(config.catalog, left_out), Folder(elsewhere))
        is_cut = not store.to_cut(model_id, store.n_parts(model_id))
        there = store.parts(model_id) if is_cut else [store.whole(model_id)]
        steps = PartSteps(
            *(there, listing),
            retry_failed=config.retry == "failed",
            attributes=inference.attributes,
            writes=False,
        )
    runs = store.runs(model_id)
    plan = plan_of(steps.planned, runs, left_out.counts, inference.attributes)
    return replace(plan, duplicates=listing.n_rows - plan.tracks)


def tag_catalog(config: TagConfig) -> TaggingRun:
    """Tag what is new in a catalogue; return what run.json holds.

    Raises
    ------
    UsageError, SpecMismatch
        For what the config names.
    StoreError
        Where the disk or bucket gives out: the same command goes on.
    """
    began, started = monotonic(), datetime.now(UTC)
    check_tag_out(config)
    inference, store = inference_of(config), TagStore.open(config.out)
    model_id = inference.card.model_id
    check_identity(store, inference)
    left_out = LeftOut()
    batches = track_batches(config.catalog, left_out)
    batches = chain([next(batches)], batches)  # a catalogue without tracks is an error before all
    with store.folder.claimed():
        claim(store, inference)
        listing = Listing.of(batches, store.folder)
        parts = _parts(store, model_id, listing)
        with _each_of(parts, config) as each:
            steps = _steps(config, inference, parts, listing, each)
            planned = steps.planned
            _say_undescribed(planned, inference)
            started = _last_of_all(started, planned.known)
            tally, finished, engine = _tag(config, inference, store, steps, started)
            check_none_lost(planned, tally, finished)
            reach, catalog = reach_of(config.catalog), config.catalog
            presence = update_presence(
                steps, finished, reach, config.prune, catalog=catalog, at=started
            )
        run = tagging_run(
            *(config, inference, planned, tally, finished, presence),
            duplicates=listing.n_rows - planned.n_tracks,
            started=started,
            seconds=monotonic() - began,
        )
        missing = [table for table in tables_beside(inference) if finished.missing_tables[table]]
        run = replace(run, lacking=missing, left_out=left_out.counts)
        store.write_run(run)
        write_report(
            config.out,
            run,
            model_uri=inference.parts[0].model,
            engine=engine,
            n_examples=config.n_examples,
            is_there=listing.has if planned.n_removed else None,
        )
        if planned.n_left:  # what the page took counts, too
            run = _with_overhead(run, tally, began)
            store.write_run(run)
        listing.delete()
        steps.delete()
    return run


def _with_overhead(run: TaggingRun, tally: Tally, began: float) -> TaggingRun:
    """Return a run with what it took beside its work, as it is now."""
    work_s = (tally.done_at or began) - (tally.begun_at or began)
    overhead_s = monotonic() - began - work_s
    return replace(run, work_s=round(work_s, 3), overhead_s=round(overhead_s, 3))


def _say_undescribed(planned: Planned, inference: InferenceConfig) -> None:
    """Say how many tracks are tagged again because they lack attributes."""
    if planned.n_undescribed:
        names = ", ".join(inference.attributes)
        n, them = f"{planned.n_undescribed:,}", "windows, intervals and embeddings"
        text = f"{n} tracks were tagged without attributes ({names}), and are tagged again; their "
        say("attributes", text=f"{text}{them} are those that this run is asked for")


def _parts(store: TagStore, model_id: str, listing: Listing) -> list[TagPart]:
    """Return a model's parts: as many as are to be, with all rows of the folder in them."""
    last = next(store.runs(model_id), None)
    n_rows = max(listing.n_rows, last.tracks if last else 0)
    n_parts = max(store.n_parts(model_id), n_parts_for(n_rows))
    for place in store.to_cut(model_id, n_parts):
        say("parts", text=f"{store.folder.uri_of(place)}: its rows go into parts, {n_parts} in all")
        cut_into_parts(store.folder, place, n_parts)
    return store.parts(model_id, n_parts)


def _steps(
    config: TagConfig,
    inference: InferenceConfig,
    parts: list[TagPart],
    listing: Listing,
    each: Each,
) -> PartSteps:
    """Return the steps that a tagging does a part at a time."""
    return PartSteps(
        parts,
        listing,
        retry_failed=config.retry == "failed",
        tables=tables_beside(inference),
        attributes=inference.attributes,
        each=each,
    )


def _each_of(parts: list[TagPart], config: TagConfig) -> AbstractContextManager[Each]:
    """Return what does a step of all parts: tasks, where there are several and a cluster."""
    if len(parts) == 1 or "RAY_ADDRESS" not in os.environ:
        return nullcontext(map)
    from pipeline.flows.tagging.part_tasks import each_on_ray

    return each_on_ray(max_wait_s=config.max_wait_s)


def _tag(
    config: TagConfig,
    inference: InferenceConfig,
    store: TagStore,
    steps: PartSteps,
    started: datetime,
) -> tuple[Tally, Finished, Callable[[], Engine] | None]:
    """Tag what is left; return what became of it, what TAGS hold then, and `_stages`' engine."""
    if not steps.planned.n_left:
        return Tally(), steps.before, None
    date, lineage = f"{started:%Y-%m-%d}", lineage_of(inference)
    writing = Writing(store, date, lineage, n_parts=len(steps.parts), not_before=started)
    stages, waits, engine = _stages(config, inference, writing, steps)
    with stages as run_stages:
        done = run_stages(steps.left)
        tally, same = gathered(done, n_tracks=steps.planned.n_left, waits=waits)
    say("finishing", text="joining the files of tags, and writing run.json and the page")
    schema = inference.tags_schema.with_metadata(dict(lineage))
    tally.n_renamed_in_place, finished = steps.finish(same, date=date, schema=schema)
    return tally, finished, engine


def _stages(
    config: TagConfig, inference: InferenceConfig, writing: Writing, steps: PartSteps
) -> tuple[AbstractContextManager[Stages], str, Callable[[], Engine] | None]:
    """Return the stages, in this process or on Ray, and what they wait for at their start.

    The third is what gives the first model's engine, where this process tags: the page wants it,
    too. Each is imported where it is needed: Ray takes a second, and torch two.
    """
    if is_small(steps.planned.sizes, gpu=inference.gpu, workers=config.workers):
        from pipeline.inference.tagger import TrackTagger
        from pipeline.tagging.in_process import stages_in_process

        tagger = cache(lambda: TrackTagger(inference))
        stages = stages_in_process(inference, writing, steps.knowing, tagger)
        waits = "loading the model, and decoding the first tracks"
        return stages, waits, lambda: tagger().engines[0]
    from pipeline.flows.tagging.tag_stages import stages_on_ray

    on_ray = stages_on_ray(
        inference, writing, steps.knowing, n_actors=config.workers, max_wait_s=config.max_wait_s
    )
    return on_ray, "waiting for the model's processes to start, and for the first tracks", None


def _last_of_all(started: datetime, known: Totals) -> datetime:
    """Return when a run begins: after all rows that are there, or they would win over its own.

    A clock that was ahead in one run and is right in the next would lose the next run's rows.
    """
    if known.latest is None:
        return started
    return max(started, known.latest + timedelta(seconds=1))  # runs are named by the second
