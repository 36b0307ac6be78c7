"""What every format is, and what it writes with: the tracks of a folder, and files of text.

What becomes one file is collected on the disk of --out and is there whole or not at all; after a
kill the same command writes what is missing.
"""

from __future__ import annotations

import mmap
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import cast

from pipeline.errors import StoreError
from pipeline.exports import texts
from pipeline.exports.source import ExportSource, Intervals
from pipeline.exports.texts import Row, Span, TagSource
from pipeline.store.folder import Folder

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
                yield lambda text: file.write(texts.to_bytes(text))
                file.flush()
                with mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as text:
                    self.out.write_bytes(name, cast(bytes, text))
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


def file_each(task: Task, suffix: str, text_of: Callable[[Row, list[Span], TagSource], str]) -> str:
    """Write a file for every track that is ok."""
    intervals, n_files = Intervals(task.source), 0
    whole = (
        "tracks have labels without an interval: those span their track"
        if intervals
        else "tracks have labels that span them: the folder keeps no intervals (--keep-windows)"
    )

    def write(row: Row, found: list[Row]) -> None:
        text = text_of(row, texts.spans(row, found), task.source.origin)
        name = f"{texts.file_stem(row['uri'])}.{suffix}"
        task.out.write_bytes(name, texts.to_bytes(text))

    with ThreadPoolExecutor(_WRITERS) as pool:
        for name, _, ok in task.batches():
            found = intervals.of(name, ok)
            list(pool.map(write, ok, found))
            n_files += len(ok)
            task.counts[whole] += sum(
                bool(texts.without_interval(row, of_row))
                for row, of_row in zip(ok, found, strict=True)
            )
    return f"{n_files:,d} files .{suffix}, one per track; failed ones are left out"
