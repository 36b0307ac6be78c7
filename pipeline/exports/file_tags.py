"""Instruments and attributes in the audio files' own metadata: in copies, or --in-place."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from pathlib import Path

from pipeline.errors import UsageError
from pipeline.exports.metadata.audio_tags import AudioTags, Values, kind_of
from pipeline.exports.metadata.edit import write_tags
from pipeline.exports.metadata.journal import NAME, Journal
from pipeline.exports.metadata.unfit import Unfit, check_content, check_may_change, file_of
from pipeline.exports.metadata.values import values_of
from pipeline.exports.task import Export, Task
from pipeline.exports.texts import Row, file_stem
from pipeline.exports.tracks.files import index_name, known_files
from pipeline.exports.tracks.places import Places
from pipeline.store.store_errors import store_errors
from schemas.export_index import IndexEntry
from schemas.file_tags import TagChange

_WRITERS = 4  # a copy is as long as its audio: the disk is what takes the time


def _write(task: Task) -> str:
    _check(task)
    return _write_in_place(task) if task.config.in_place else _write_copies(task)


def _check(task: Task) -> None:
    config = task.config
    if config.in_place != config.yes_change_my_files:
        raise UsageError(
            "--in-place changes your own audio files: give --yes-change-my-files as well, or "
            "neither of the two for copies below --out"
        )
    if not task.out.is_local:
        raise UsageError(f"--out {config.out}: --format file-tags needs a folder on a local disk")


def _write_in_place(task: Task) -> str:
    """Change the files one by one: two tracks may be one file by their links."""
    journal = Journal(task.out.local_path(NAME))
    done: Counter[str] = Counter()
    with store_errors("change", "an audio file"):
        for _, _, ok in task.batches():
            for row in ok:
                done[_counted(task, partial(_change, task, journal), row)] += 1
    n_files, n_same = done["written"], done["same"]
    undo = f"; to take it back: jobs.export --undo {journal.path}" if journal.path.exists() else ""
    return f"{n_files:,d} audio files changed in their place, {n_same:,d} needed no change{undo}"


def _change(task: Task, journal: Journal, row: Row) -> str:
    path = file_of(row)
    values = values_of(row, task.source.origin)
    if _has(path, values):
        return "same"
    check_content(row, path)
    check_may_change(path)

    def note(before: AudioTags) -> None:
        journal.add(TagChange(str(path), before.has_tags, before.read(values), values))

    write_tags(path, path, values, before_replace=note)
    return "written"


def _write_copies(task: Task) -> str:
    """Write copies in the catalogue's folders; what is there and not ours stays as it is."""
    places = Places(task.source.origin.catalog)
    index = index_name(task.config.format)
    known = known_files(task.out, index)
    done: Counter[str] = Counter()

    def write(row: Row) -> tuple[str, IndexEntry]:
        name = places.of(row["uri"]) or f"{file_stem(row['uri'])}{Path(row['uri']).suffix}"
        copy = partial(_copy, task, task.out.local_path(name), is_known=name in known)
        return _counted(task, copy, row), IndexEntry(row["uri"], name)

    with (
        store_errors("write copies below", task.config.out),
        task.writing(index) as add,
        ThreadPoolExecutor(_WRITERS) as pool,
    ):
        for _, _, ok in task.batches():
            for outcome, entry in pool.map(write, ok):
                done[outcome] += 1
                if outcome in ("written", "same"):
                    add(json.dumps(asdict(entry)) + "\n")
    return (
        f"{done['written'] + done['same']:,d} copies with tags in the catalogue's folders "
        f"({done['same']:,d} were there); {index} has each track's"
    )


def _copy(task: Task, target: Path, row: Row, *, is_known: bool) -> str:
    source = file_of(row)
    values = values_of(row, task.source.origin)
    if target.exists():
        is_same = target.stat().st_mtime_ns == source.stat().st_mtime_ns and _has(target, values)
        if is_same:
            return "same"
        if not is_known:
            raise Unfit("have a file in --out that this export has not written")
    check_content(row, source)
    write_tags(source, target, values)
    return "written"


def _has(path: Path, values: Values) -> bool:
    return AudioTags(path, kind_of(path)).read(values) == values


def _counted(task: Task, write: Callable[[Row], str], row: Row) -> str:
    """Return what became of a track; one that is left out is counted by why."""
    try:
        return write(row)
    except Unfit as error:
        task.counts[f"tracks {error}: left out"] += 1
        return "left out"


EXPORT = Export("file-tags", _write, takes=("in_place", "yes_change_my_files"), writes_audio=True)
