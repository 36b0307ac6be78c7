"""What every format is, and what it writes with: the tracks of a folder, and files of text.

What becomes one file is collected on the disk of --out and is there whole or not at all; after a
kill the same command writes what is missing.
"""

from __future__ import annotations

import json
import mmap
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from typing import IO, cast

from pipeline.configs.export import ExportConfig
from pipeline.errors import StoreError
from pipeline.exports import texts
from pipeline.exports.source import ExportSource, Intervals
from pipeline.exports.texts import Row, Span, TagSource
from pipeline.exports.tracks.files import TrackFiles
from pipeline.store.folder import Folder
from schemas.export_index import IndexEntry

_WRITERS = 16
"""Threads that write small files: a bucket takes its time for each."""


@dataclass(frozen=True)
class Task:
    """An export under way: what is read, and where it is written."""

    source: ExportSource
    out: Folder
    counts: Counter[str]
    """Of tracks that the summary tells of, by what it says."""
    tick: Callable[[int], object]
    config: ExportConfig
    """As what it was asked for."""

    def batches(self) -> Iterator[tuple[str, list[Row], list[Row]]]:
        """Yield the file's name, its rows, and of those the ones that are ok."""
        for name, rows in self.source.batches():
            ok = [row for row in rows if row["status"] == "ok"]
            self.counts["failed"] += len(rows) - len(ok)
            yield name, rows, ok
            self.tick(len(rows))

    @contextmanager
    def writing(self, name: str) -> Iterator[Callable[[str], object]]:
        """Give a function that adds text to a file, which is there once the block has ended."""
        with self.writing_bytes(name) as file:
            yield lambda text: file.write(texts.to_bytes(text))

    @contextmanager
    def writing_bytes(self, name: str) -> Iterator[IO[bytes]]:
        """Give a file to write to, which is there when the block has ended well.

        Until then its bytes are in a file without a name, which no kill leaves behind; from there
        it is written through a map of it, so that it is never in memory as a whole.
        """
        folder = self.out.local_path("") if self.out.is_local else None
        try:
            with tempfile.TemporaryFile(dir=folder) as file:
                yield file
                file.flush()
                if not file.seek(0, 2):  # nothing cannot be mapped
                    self.out.write_bytes(name, b"")
                    return
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as mapped:
                    self.out.write_bytes(name, cast(bytes, mapped))
        except OSError as error:
            raise StoreError(
                f"cannot write {self.out.uri_of(name)}: {error.strerror}; free some space or name "
                "another folder, then run the same command again"
            ) from error


@dataclass(frozen=True)
class Export:
    """One format: its name, and what writes it."""

    name: str
    """Name of the format, which is that of its file: what `jobs.export --format` takes."""
    write: Callable[[Task], str]
    """Writes the files, and says which there are."""
    takes: tuple[str, ...] = ()
    """Fields of `ExportConfig` that it knows, beside those that all formats know."""
    writes_audio: bool = False
    """Whether it writes audio files to --out, which then may not lie in the catalogue."""


def file_each(task: Task, suffix: str, text_of: Callable[[Row, list[Span], TagSource], str]) -> str:
    """Write a file for every track that is ok, and an index of them."""
    intervals = Intervals(task.source)
    whole = (
        "tracks have labels without an interval: those span their track"
        if intervals
        else "tracks have labels that span them: the folder keeps no intervals (--keep-windows)"
    )
    files = TrackFiles(task.out, task.source.origin.catalog, suffix, task.config)

    def write(row: Row, found: list[Row]) -> IndexEntry | None:
        text = text_of(row, texts.spans(row, found), task.source.origin)
        return files.write(row["uri"], texts.to_bytes(text))

    with task.writing(files.index) as add, ThreadPoolExecutor(_WRITERS) as pool:
        for name, _, ok in task.batches():
            found = intervals.of(name, ok)
            add(
                "".join(json.dumps(asdict(one)) + "\n" for one in pool.map(write, ok, found) if one)
            )
            task.counts[whole] += sum(
                bool(texts.without_interval(row, of_row))
                for row, of_row in zip(ok, found, strict=True)
            )
    task.counts.update(files.left_out)
    where = "beside the audio" if task.config.beside else "in the catalogue's folders"
    return (
        f"{files.n_written:,d} files .{suffix}, one per track; failed ones are left out\n"
        f"  they lie {where}: {files.index} has each track's"
    )
