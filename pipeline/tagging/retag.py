"""TAGS and other limits in, TAGS with other labels out: from the stored scores, without audio.

    tags/ of one model → labels by new thresholds and gate → the same files in another folder

A file at a time: it is read, its labels are made anew and it is written whole under the same name,
so memory does not grow with the catalogue. A file that was made of the same source is not written
again: after a kill the same command goes on. No Ray is needed.
"""

from __future__ import annotations

import json
import tomllib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipeline.arrays import Hashes
from pipeline.configs.retag import RetagConfig as RetagConfig
from pipeline.errors import SpecMismatch, UsageError
from pipeline.evaluation.labels.calibration import Calibration
from pipeline.evaluation.labels.labelling import Changes, changes, labels_of_tags
from pipeline.evaluation.labels.thresholds import check_share, thresholds_for
from pipeline.models.starter import model_folders
from pipeline.runs.logs import progress_bar, say
from pipeline.store.disk import Walked
from pipeline.store.folder import Folder, read_input
from pipeline.store.out import TAGS, check_out, check_same
from pipeline.store.tags.known import no_hashes
from pipeline.store.tags.tagfiles import hash_of
from pipeline.store.tags.tagstore import IDENTITY_KEY, TagStore
from pipeline.store.tags.track_facts.catalogue_table import CATALOGUE_TABLE
from pipeline.store.tags.track_facts.corrections import copy_corrections
from pipeline.store.tags.track_facts.gone import GONE_TABLE, are_present, gone_tracks
from pipeline.store.uris import split_uri
from pipeline.tagging.ended_run import ended_run
from schemas.tagging_run import TaggingRun

if TYPE_CHECKING:
    from pipeline.models.ensemble import Card

SOURCE_KEY = b"timbre.retagged_from"
_WRITERS = 4
"""Files at once: one waits for the disk or bucket while another is made."""

Identity = dict[str, Any]


def retag(config: RetagConfig) -> TaggingRun:
    """Make the labels of a tagging run anew; return the new folder's run."""
    began, started = monotonic(), datetime.now(UTC)
    check_out(config.out, TAGS, {"--tags": config.tags, "--model": _folders(config.model)})
    store, new = TagStore.open(config.tags), TagStore.open(config.out)
    source, out = store.folder, new.folder
    card = None if config.model is None else _card(config.model)
    before = _last_run(store, config, card)
    model_id = before.model_id
    files = store.walk(model_id)
    if not files:
        raise UsageError(f"{source.uri}: no tags by {model_id} there")
    limits = _limits(config, before.identity, card)
    with out.claimed():
        _claim(new, source, limits, {name for name, _, _ in files})
        gone = no_hashes() if config.include_gone else gone_tracks(source, model_id)
        made = sum(_retagged(source, out, files, limits, gone), Changes.none())
        if len(gone):
            text = f"{len(gone):,} tracks are left out: they are gone from their catalogue"
            say("gone", text=f"{text}; --include-gone takes them")
        for table in (CATALOGUE_TABLE, *([GONE_TABLE] * config.include_gone)):
            for name in table.files(source, model_id):
                out.write_table(name, source.read_table(name), compression="zstd")
        copy_corrections(source, out)
        run = _record(before, source, limits, made, started, seconds=monotonic() - began)
        new.write_run(run)
    return run


def _retagged(
    source: Folder, out: Folder, files: list[Walked], limits: Identity, gone: Hashes
) -> Iterator[Changes]:
    """Make the files anew; yield what changes in each."""
    there = {name for name, _, _ in out.walk("tags")}
    one = partial(_retag_file, source=source, out=out, limits=limits, there=there, gone=gone)
    with (
        ThreadPoolExecutor(_WRITERS) as pool,
        progress_bar(total=len(files), unit=" files", desc="retag") as bar,
    ):
        waiting = [pool.submit(one, file) for file in files]
        try:
            for each in waiting:
                yield each.result()
                bar.update()
        finally:
            pool.shutdown(cancel_futures=True)  # or a fault would wait for all the others


def _retag_file(
    file: Walked, *, source: Folder, out: Folder, limits: Identity, there: set[str], gone: Hashes
) -> Changes:
    """Make one file anew, unless it is there."""
    name, size_bytes, modified_ns = file
    tags, left_out = _present(source.read_table(name), gone)
    if not tags.num_rows:
        out.delete(name)
        return Changes.none()
    try:
        found = labels_of_tags(tags, thresholds=limits["thresholds"], min_confidence=limits["gate"])
    except UsageError as error:
        raise UsageError(f"{source.uri_of(name)}: {error}") from error
    at = tags.schema.get_field_index("labels")
    new = tags.set_column(at, tags.schema.field(at), found)
    made_of = json.dumps(
        {"uri": source.uri_of(name), "size": size_bytes, "time": modified_ns, **left_out}
    )
    said = (out.read_schema(name).metadata or {}) if name in there else {}
    if said.get(SOURCE_KEY) != made_of.encode():
        said = tags.schema.metadata or {}
        identity = json.loads(said.get(IDENTITY_KEY, b"{}")) | limits
        lineage = {IDENTITY_KEY: json.dumps(identity), SOURCE_KEY: made_of}
        new = new.replace_schema_metadata({**said, **lineage})
        out.write_table(name, new, compression="zstd")
    return changes(tags, new)


def _present(tags: pa.Table, gone: Hashes) -> tuple[pa.Table, dict[str, str]]:
    """Return the rows of tracks that are not gone, and by what one knows which were left out."""
    are = are_present(tags["uri"], gone)
    if are.all():
        return tags, {}
    left_out = tags["uri"].filter(pa.array(~are)).to_pylist()
    return tags.filter(pa.array(are)), {"without": hash_of(left_out)}


def _last_run(store: TagStore, config: RetagConfig, card: Card | None) -> TaggingRun:
    """Return the run whose labels are to be made anew: the last one, or the last of a model."""
    last = next(store.runs(), None)
    if last is None:
        raise UsageError(
            f"{config.tags}: no run.json there; make tags with python -m jobs.tag_catalog"
        )
    there = last.model_id
    wanted = there if card is None else card.model_id
    run = next(store.runs(wanted), None)
    if run is None:
        raise SpecMismatch(f"{config.model} is {wanted}; the tags in {config.tags} are by {there}")
    if not run.complete:
        raise UsageError(f"{config.tags}: the run there has not ended; tag to its end")
    return run


def _folders(model: str | None) -> list[str]:
    return [] if model is None else model_folders(model)


def _card(model: str) -> Card:
    from pipeline.models.ensemble import load_any  # here, as torch takes its time

    return load_any(model)


def _limits(config: RetagConfig, before: Identity, card: Card | None) -> Identity:
    """Return the identity of the new labels: what made the scores, and the new limits."""
    limits = {code: float(value) for code, value in before["thresholds"].items()}
    codes = list(limits)
    if config.threshold is not None:
        limits = dict.fromkeys(codes, float(config.threshold))
    elif card is not None:
        if any("calibration" in member for member in before.get("members", ())):
            raise UsageError(
                f"{config.tags}: its scores are the mean of probabilities, of which {config.model} "
                "has no thresholds; give --thresholds FILE or --threshold X"
            )
        values = thresholds_for(card.thresholds, before["aggregation"], codes)
        if before.get("calibration"):  # the scores there are probabilities
            values = Calibration.from_dict(before["calibration"], codes).thresholds(values)
        limits = dict(zip(codes, values.tolist(), strict=True))
    elif config.thresholds is not None:
        limits |= read_thresholds(config.thresholds, codes)
    min_confidence = (
        before.get("gate", 0.0) if config.min_confidence is None else config.min_confidence
    )
    return before | {"thresholds": limits, "gate": float(min_confidence)}


def read_thresholds(uri: str, codes: list[str]) -> dict[str, float]:
    """Return the thresholds of a .json or .toml file: by code, or so below `thresholds`."""
    text = read_input(uri)
    try:
        is_toml = split_uri(uri)[1].endswith(".toml")
        read = tomllib.loads(text.decode()) if is_toml else json.loads(text)
    except ValueError as error:
        raise UsageError(f"{uri}: neither json nor, as .toml, toml: {error}") from error
    values = read.get("thresholds", read) if isinstance(read, Mapping) else read
    if not isinstance(values, Mapping) or not values:
        raise UsageError(f'{uri}: found no thresholds; expected {{"{codes[0]}": 0.5, ...}}')
    for code, value in values.items():
        if code not in codes:
            raise UsageError(f"{uri}: found class {code!r}; expected some of {', '.join(codes)}")
        check_share(f"{uri}: {code}", value)
    return {code: float(value) for code, value in values.items()}


def _claim(new: TagStore, source: Folder, limits: Identity, names: set[str]) -> None:
    """Refuse to mix labels of several makings; delete what the source has no longer."""
    before = new.last_run()
    there = [name for name, _, _ in new.folder.walk("tags")]  # what a kill left half-written, too
    if before or there:
        before = before or TaggingRun()
        check_same(
            new.folder.uri,
            "holds tags",
            {"identity": before.identity, "retagged_from": before.retagged_from},
            {"identity": limits, "retagged_from": source.uri},
        )
    new.begin_run(limits, retagged_from=source.uri)
    for name in set(there) - names:
        new.folder.delete(name)


def _record(
    before: TaggingRun,
    source: Folder,
    limits: Identity,
    made: Changes,
    started: datetime,
    *,
    seconds: float,
) -> TaggingRun:
    """Return the run: all tracks are those of the source, and what has changed is their labels."""
    codes = list(limits["thresholds"])
    run = ended_run(
        limits,
        catalog=before.catalog,
        class_names=before.class_names or {code: code for code in codes},
        started=started,
        seconds=seconds,
    )
    return replace(
        run,
        model=before.model,
        tracks=made.n_rows,
        skipped=made.n_rows,
        unchanged=made.n_rows,
        failed_in_all=made.n_failed,
        labels_in_all={code: made.now[code] for code in codes},
        unlabelled=made.n_unlabelled,
        retagged_from=source.uri,
        labels_added={code: made.added[code] for code in codes},
        labels_removed={code: made.removed[code] for code in codes},
        relabelled=made.n_changed,
        attributes=before.attributes,
    )
