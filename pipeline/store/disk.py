"""This machine's disks: files are there whole or not at all, folders are listed as they are met."""

from __future__ import annotations

import errno
import os
import stat
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import BinaryIO

TEMPORARY = ".tmp"
_NOWHERE = {errno.ENOENT, errno.ENOTDIR, errno.ELOOP}  # deleted meanwhile, or a link to nowhere
_OF_DISKS = {"lost+found"}
"""Folders of the file system itself, at the root of a disk: nobody but root may look into them."""
Walked = tuple[str, int, int | None]
"""A file below a folder: name, size in bytes, modification time in ns."""


def walk_local(
    path: str, prefix: str, seen: set[tuple[int, int]] | None = None
) -> Iterator[Walked]:
    """Yield the files below a path, each real folder once: links may lead round in a circle."""
    seen = set() if seen is None else seen
    try:
        here = os.stat(path)  # noqa: PTH116
        if (here.st_dev, here.st_ino) in seen:
            return
        entries = os.scandir(path)
    except FileNotFoundError:
        return
    seen.add((here.st_dev, here.st_ino))
    folders = []
    with entries:
        for entry in entries:
            name = prefix + entry.name
            if (info := _stat(entry)) is None:
                continue
            if stat.S_ISDIR(info.st_mode) and entry.name not in _OF_DISKS:
                folders.append((entry.is_symlink(), entry.path, f"{name}/"))
            elif stat.S_ISREG(info.st_mode):
                yield name, info.st_size, info.st_mtime_ns
    for _, below, name in sorted(folders):  # links last: files keep the names of their own folders
        yield from walk_local(below, name, seen)


def _stat(entry: os.DirEntry[str]) -> os.stat_result | None:
    """Return what an entry is; None for one that is not there any more, or leads nowhere."""
    try:
        return entry.stat()
    except OSError as error:
        if error.errno in _NOWHERE:
            return None
        raise


@contextmanager
def renamed(path: Path) -> Iterator[BinaryIO]:
    """Give a temporary file that takes the place of `path` once the block has ended well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}{TEMPORARY}")
    try:
        with temporary.open("wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
        sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def sync_folder(path: Path) -> None:
    """Have the disk keep a folder's names, so that what is written next is not kept without them.

    A LEDGER that outlives a power cut must find its CLIPS. Not every network disk can do it.
    """
    folder = os.open(path, os.O_RDONLY)
    try:
        with suppress(OSError):
            os.fsync(folder)
    finally:
        os.close(folder)
