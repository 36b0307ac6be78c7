"""A tagging run's folder in, other people's formats out. No Ray is needed.

What becomes one file is collected on the disk of --out and is there whole or not at all; after a
kill the same command writes what is missing.
"""

from __future__ import annotations

import mmap
import re
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

import pyarrow as pa
import pyarrow.compute as pc

from pipeline.configs.export import ExportConfig as ExportConfig
from pipeline.errors import StoreError
from pipeline.flows.export_source import BATCH_ROWS, ExportSource, Intervals
from pipeline.flows.logs import progress_bar
from pipeline.report import exports
from pipeline.report.exports import ENTRIES, Row, Span, TagSource
from pipeline.store.folder import Folder
from pipeline.store.out import EXPORT, check_out
from pipeline.store.tagstore import TagStore

_WRITERS = 16
"""Threads that write small files: a bucket takes its time for each."""
_HALF_WRITTEN = re.compile(r"\..+\.[0-9a-f]{8}\.tmp")


@dataclass(frozen=True)
class Exported:
    """What an export has written."""

    model_id: str
    n_tracks: int
    n_failed: int
    files: str
    """In words."""
    notes: tuple[str, ...]
    """What is not as one may expect, and of how many tracks."""


def export_tags(config: ExportConfig) -> Exported:
    """Write the tags of one model in another format."""
    check_out(config.out, EXPORT, {"--tags": config.tags})
    source = ExportSource.open(TagStore(Folder(config.tags)), config.model_id)
    out = Folder(config.out)
    with out.claimed():
        for name in filter(_HALF_WRITTEN.fullmatch, out.names("", ".tmp") if out.is_local else ()):
            out.delete(name)  # a killed export's, no file of the user's
        with progress_bar(total=source.n_tracks, unit=" tracks", desc="export") as bar:
            task = Task(source, out, Counter(), bar.update)
            files = FORMATS[config.format](task)
    n_failed = task.counts.pop("failed", 0)
    notes = [f"{n:,d} {what}" for what, n in task.counts.items() if n]
    return Exported(
        source.origin.model_id, source.n_tracks, n_failed, files, (*source.notes, *notes)
    )


@dataclass(frozen=True)
class Task:
    """An export under way."""

    source: ExportSource
    out: Folder
    counts: Counter[str]
    """Of tracks that the summary tells of, by what it says."""
    tick: Callable[[int], object]

    def batches(self) -> Iterator[tuple[str, list[Row], list[Row]]]:
        """Yield the file's name, its rows, and of those the ones that are ok."""
        for name, rows in self.source.batches():
            ok = [row for row in rows if row["status"] == "ok"]
            self.counts["failed"] += len(rows) - len(ok)
            yield name, rows, ok
            self.tick(len(rows))

    @contextmanager
    def writing(self, name: str) -> Iterator[Callable[[str], object]]:
        """Give a function that adds text to a file, which is there when the block has ended well.

        Until then the text is in a file without a name, which no kill leaves behind; from there it
        is written through a map of it, so that it is never in memory as a whole.
        """
        folder = self.out.local_path("") if self.out.is_local else None
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                yield lambda text: file.write(exports.to_bytes(text))
                file.flush()
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
                    self.out.write_bytes(name, cast(bytes, text))
        except OSError as error:
            raise StoreError(
                f"cannot write {self.out.uri_of(name)}: {error.strerror}; free some space or name "
                "another folder, then run the same command again"
            ) from error


def _csv(task: Task) -> str:
    codes, n_rows = task.source.codes, 0
    with task.writing("tags.csv") as write:
        write(exports.csv_header(codes))
        for _, rows, _ in task.batches():
            write(exports.csv_lines(rows, codes))
            n_rows += len(rows)
            n_formulas = sum(exports.is_formula(row["uri"]) for row in rows)
            task.counts[
                "uris begin as a formula does: in the csv they have an apostrophe in front"
            ] += n_formulas
    return f"tags.csv: {n_rows:,d} rows, failed tracks too"


def _jsonl(task: Task) -> str:
    n_rows = 0
    with task.writing("tags.jsonl") as write:
        for _, rows, _ in task.batches():
            write(exports.json_lines(rows))
            n_rows += len(rows)
    return f"tags.jsonl: {n_rows:,d} objects, failed tracks too"


def _jams(task: Task) -> str:
    return _file_each(task, "jams", exports.jams_text)


def _audacity(task: Task) -> str:
    return _file_each(task, "txt", lambda _, spans, origin: exports.audacity_text(spans, origin))


def _file_each(
    task: Task, suffix: str, text_of: Callable[[Row, list[Span], TagSource], str]
) -> str:
    """Write a file for every track that is ok."""
    intervals, n_files = Intervals(task.source), 0
    whole = (
        "tracks have labels without an interval: those span their track"
        if intervals
        else "tracks have labels that span them: the folder keeps no intervals (--keep-windows)"
    )

    def write(row: Row, found: list[Row]) -> None:
        text = text_of(row, exports.spans(row, found), task.source.origin)
        name = f"{exports.file_stem(row['uri'])}.{suffix}"
        task.out.write_bytes(name, exports.to_bytes(text))

    with ThreadPoolExecutor(_WRITERS) as pool:
        for name, _, ok in task.batches():
            found = intervals.of(name, ok)
            list(pool.map(write, ok, found))
            n_files += len(ok)
            task.counts[whole] += sum(
                bool(exports.without_interval(row, of_row))
                for row, of_row in zip(ok, found, strict=True)
            )
    return f"{n_files:,d} files .{suffix}, one a track; failed ones are left out"


def _m3u(task: Task) -> str:
    parts = [ENTRIES.empty_table()]
    for _, _, ok in task.batches():
        parts.append(exports.entries(ok))
        task.counts["tracks have no label and are on no playlist"] += sum(
            not row["labels"] for row in ok
        )
        task.counts[
            "uris cannot stand on a line of a playlist: there they are percent-encoded, "
            "paths as file:// URIs"
        ] += sum(bool(row["labels"]) and not exports.is_on_one_line(row["uri"]) for row in ok)
    entries, codes = pa.concat_tables(parts), task.source.codes
    for code in codes:
        of_code = entries.filter(pc.equal(entries["code"], code))
        ranked = of_code.sort_by([("score", "descending"), ("uri", "ascending")])
        with task.writing(f"{code}.m3u8") as write:
            write(exports.playlist_head(task.source.origin.name(code)))
            for start in range(0, ranked.num_rows, BATCH_ROWS):
                rows = ranked.slice(start, BATCH_ROWS).to_pylist()
                write(exports.playlist_lines(rows))
    return f"{len(codes)} playlists, {entries.num_rows:,d} entries; failed tracks are left out"


FORMATS: dict[str, Callable[[Task], str]] = {
    "csv": _csv,
    "jsonl": _jsonl,
    "jams": _jams,
    "audacity": _audacity,
    "m3u": _m3u,
}
"""How each format is written: a function that does it and says what there is."""
