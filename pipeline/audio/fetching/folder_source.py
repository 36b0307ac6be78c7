"""A folder of audio files as a source: an id in, a local file out."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from pipeline.audio.decoding.formats import AUDIO_SUFFIXES
from pipeline.audio.fetching.access import Access
from pipeline.audio.fetching.remote_file import Meter
from pipeline.errors import FetchFault, Reason, UsageError
from pipeline.selection.irmas import irmas_id


@dataclass
class FolderSource:
    """Files named `{ytid}.*` in one folder, whatever their format.

    Of several the one with a suffix of audio is meant, not the picture or the text beside it.
    """

    folder: Path
    is_remote = False
    _paths: dict[str, Path] = field(init=False)

    def __post_init__(self) -> None:
        self._paths = self._index()

    def _index(self) -> dict[str, Path]:
        paths = sorted(path for path in self.folder.iterdir() if path.is_file())
        paths.sort(key=lambda path: path.suffix.lower() in AUDIO_SUFFIXES)
        return {path.stem: path for path in paths}

    def names(self) -> dict[str, str]:
        """Return the name of every id's file."""
        return {ytid: path.name for ytid, path in self._paths.items()}

    @contextmanager
    def open(self, ytid: str, meter: Meter) -> Iterator[BinaryIO]:
        """Open the file of an id."""
        if ytid not in self._paths:
            raise FetchFault(Reason.NOT_FOUND, f"no file {ytid}.* in {self.folder}")
        try:
            file = self._paths[ytid].open("rb")
        except OSError as error:
            raise FetchFault(Reason.UNREADABLE, str(error)) from error
        meter.bytes_fetched = meter.bytes_whole = self._paths[ytid].stat().st_size
        with file:
            yield file


class TreeSource(FolderSource):
    """The audio files below a folder, however deep; an id is made of a file's path in it."""

    def paths(self) -> Iterator[Path]:
        """Yield the audio files of the folder."""
        for path in self.folder.rglob("*"):
            if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file():
                yield path

    def _index(self) -> dict[str, Path]:
        return {id_in_tree(path, self.folder): path for path in self.paths()}


def id_in_tree(path: Path, folder: Path) -> str:
    """Return the id of a file below a folder, by its path there."""
    return irmas_id(Path(os.path.relpath(path, folder)).as_posix())


def check_folder(source: str, folder: Path, access: Access, *, needs: Sequence[str]) -> None:
    """Raise UsageError unless a folder is there, with what it `needs` in it, and no network asked.

    `source` is what follows `--source`; `needs` are relative paths, as in the set's own download.
    """
    if not folder.is_dir():
        inside = f" with {needs[0]} in it" if needs else " of the data set"
        raise UsageError(f"--source {source}: {why_no_folder(folder)}; name the folder{inside}")
    if missing := [name for name in needs if not (folder / name).exists()]:
        raise UsageError(
            f"--source {source}: no {missing[0]} there; name the folder as it was downloaded and "
            f"unpacked, with {', '.join(needs)} in it"
        )
    check_no_network(source, access)


def why_no_folder(path: Path) -> str:
    """Return what is wrong with a path that should be a folder."""
    return "that is a file" if path.exists() else "no such folder"


def check_no_network(source: str, access: Access) -> None:
    """Raise UsageError where something is said of the network, which a folder does not need."""
    if not access.is_plain:
        raise UsageError(
            f"--source {source} is a folder: --cookies, --proxy and --source-address have no use"
        )
