"""A playlist for every instrument, the tracks with the highest scores first."""

from __future__ import annotations

from dataclasses import asdict

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UsageError
from pipeline.exports import texts
from pipeline.exports.source import BATCH_ROWS
from pipeline.exports.task import Export, Task
from pipeline.exports.texts import ENTRIES
from pipeline.exports.tracks.files import index_name
from schemas.export_index import PlaylistEntry


def _write(task: Task) -> str:
    folder = _folder_of_playlists(task)
    parts = [ENTRIES.empty_table()]
    for _, _, ok in task.batches():
        parts.append(texts.entries(ok))
        task.counts["tracks have no label and are on no playlist"] += sum(
            not row["labels"] for row in ok
        )
        task.counts[
            "uris cannot stand on a line of a playlist: there they are percent-encoded, "
            "paths as file:// URIs"
        ] += sum(bool(row["labels"]) and not texts.is_on_one_line(row["uri"]) for row in ok)
        if folder:
            task.counts["tracks are on no local disk: the playlists have their whole uris"] += sum(
                bool(row["labels"]) and not row["uri"].startswith("/") for row in ok
            )
    entries, codes = pa.concat_tables(parts), task.source.codes
    for code in codes:
        of_code = entries.filter(pc.equal(entries["code"], code))
        ranked = of_code.sort_by([("score", "descending"), ("uri", "ascending")])
        with task.writing(f"{code}.m3u8") as write:
            write(texts.playlist_head(task.source.origin.name(code)))
            for start in range(0, ranked.num_rows, BATCH_ROWS):
                rows = ranked.slice(start, BATCH_ROWS).to_pylist()
                write(texts.playlist_lines(rows, folder))
    _write_index(task, entries)
    return f"{len(codes)} playlists, {entries.num_rows:,d} entries; failed tracks are left out"


def _folder_of_playlists(task: Task) -> str:
    """Return the folder that paths count from with --relative; nothing without."""
    if not task.config.relative:
        return ""
    if not task.out.is_local:
        raise UsageError(f"--relative: --out {task.config.out} is not on a local disk")
    return str(task.out.local_path("").resolve())


def _write_index(task: Task, entries: pa.Table) -> None:
    """Write which playlist is of which instrument, and how many tracks it has."""
    with task.writing(index_name("m3u")) as write:
        for code in task.source.codes:
            n_tracks = pc.sum(pc.equal(entries["code"], code)).as_py() or 0
            name = task.source.origin.name(code)
            write(texts.to_json(asdict(PlaylistEntry(code, name, f"{code}.m3u8", n_tracks))) + "\n")


EXPORT = Export("m3u", _write, takes=("relative",))
