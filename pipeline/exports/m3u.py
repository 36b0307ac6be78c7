"""A playlist for every instrument, the tracks with the highest scores first.

A uri that cannot stand on a line is percent-encoded (`is_on_one_line`).
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import asdict
from urllib.parse import quote

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.errors import UsageError
from pipeline.exports.source import BATCH_ROWS
from pipeline.exports.task import Export, Task
from pipeline.exports.texts import UNSEEN, Row, number, title_of, to_json
from pipeline.exports.tracks.files import index_name
from schemas.export_index import PlaylistEntry

ENTRIES = pa.schema(
    [
        ("code", pa.string()),
        ("score", pa.float64()),
        ("uri", pa.string()),
        ("duration_s", pa.float64()),
    ]
)
"""One row is a track on the playlist of one instrument."""

_OFF_LINE = re.compile(rf"{UNSEEN.pattern}|^[\s#]+|\s+\Z")


def entries(rows: Iterable[Row]) -> pa.Table:
    """Return ENTRIES of rows of TAGS: one for every label of every track that has some."""
    found = [
        {
            "code": code,
            "score": number((row["scores"] or {}).get(code)),
            "uri": row["uri"],
            "duration_s": row["duration_s"],
        }
        for row in rows
        for code in row["labels"] or ()
    ]
    return pa.Table.from_pylist(found, ENTRIES)


def playlist_head(name: str) -> str:
    """Return the beginning of an extended m3u in UTF-8."""
    return f"#EXTM3U\n#EXTENC:UTF-8\n#PLAYLIST:{name}\n"


def playlist_lines(rows: Iterable[Row], folder: str = "") -> str:
    """Return two lines for every row of ENTRIES; -1 is m3u's word for an unknown duration.

    With `folder`, where the playlist lies, paths count from there.
    """
    lines = []
    for row in rows:
        seconds = -1 if row["duration_s"] is None else round(row["duration_s"])
        title = " ".join(UNSEEN.sub(" ", title_of(row["uri"])).split())
        lines.append(f"#EXTINF:{seconds},{title}\n{playlist_uri(row['uri'], folder)}\n")
    return "".join(lines)


def is_on_one_line(uri: str) -> bool:
    """Say whether a player reads a uri as it stands: one line, no comment, no space around it."""
    return not _OFF_LINE.search(uri)


def playlist_uri(uri: str, folder: str = "") -> str:
    r"""Return a uri as it stands, or percent-encoded where it cannot; a path is then a file URI.

    With `folder` a path counts from there, but not one that is a file URI.

    >>> playlist_uri("/music/100%\n.mp3")
    'file:///music/100%25%0A.mp3'
    >>> playlist_uri("/music/Trio/#1.mp3", "/music/lists"), playlist_uri("/m/#1.mp3", "/m")
    ('../Trio/#1.mp3', './#1.mp3')
    """
    if uri.startswith("/") and not is_on_one_line(uri):
        return "file://" + quote(uri.encode("utf-8", "surrogatepass"))
    if uri.startswith("/") and folder:
        path = os.path.relpath(uri, folder)
        return path if is_on_one_line(path) else f"./{path}"
    return _OFF_LINE.sub(lambda found: quote(found[0], safe=""), uri)


def _write(task: Task) -> str:
    folder = _folder_of_playlists(task)
    parts = [ENTRIES.empty_table()]
    for _, _, ok in task.batches():
        parts.append(entries(ok))
        task.counts["tracks have no label and are on no playlist"] += sum(
            not row["labels"] for row in ok
        )
        task.counts[
            "uris cannot stand on a line of a playlist: there they are percent-encoded, "
            "paths as file:// URIs"
        ] += sum(bool(row["labels"]) and not is_on_one_line(row["uri"]) for row in ok)
        if folder:
            task.counts["tracks are on no local disk: the playlists have their whole uris"] += sum(
                bool(row["labels"]) and not row["uri"].startswith("/") for row in ok
            )
    table, codes = pa.concat_tables(parts), task.source.codes
    for code in codes:
        of_code = table.filter(pc.equal(table["code"], code))
        ranked = of_code.sort_by([("score", "descending"), ("uri", "ascending")])
        with task.writing(f"{code}.m3u8") as write:
            write(playlist_head(task.source.origin.name(code)))
            for start in range(0, ranked.num_rows, BATCH_ROWS):
                rows = ranked.slice(start, BATCH_ROWS).to_pylist()
                write(playlist_lines(rows, folder))
    _write_index(task, table)
    return f"{len(codes)} playlists, {table.num_rows:,d} entries; failed tracks are left out"


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
            write(to_json(asdict(PlaylistEntry(code, name, f"{code}.m3u8", n_tracks))) + "\n")


EXPORT = Export("m3u", _write, takes=("relative",))
