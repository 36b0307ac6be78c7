"""A video id in, a readable file out: from YouTube, a URL template, a folder or IRMAS.

Every source opens an id as a file that can seek and counts the bytes it cost; what goes wrong is a
FetchFault with a reason.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import quote

from pipeline.audio.fetching.access import IRMAS as IRMAS
from pipeline.audio.fetching.access import Access
from pipeline.audio.fetching.folder_source import FolderSource as FolderSource
from pipeline.audio.fetching.folder_source import check_no_network, why_no_folder
from pipeline.audio.fetching.irmas_source import irmas_paths
from pipeline.audio.fetching.remote_file import Meter, Network
from pipeline.audio.fetching.sources.base import NamedSource, OwnLabels
from pipeline.audio.fetching.sources.base import Source as Source
from pipeline.errors import UsageError
from pipeline.seams import declared

_PLAIN = Access()
NAMED: tuple[NamedSource, ...] = tuple(declared("pipeline.audio.fetching.sources", "SOURCE"))
"""Sources that `--source` names by a prefix: a file each."""


def open_source(source: str, access: Access = _PLAIN) -> Source:
    """Return the source that `--source` names: YouTube, a URL with `{ytid}`, a folder, IRMAS.

    Or one of `audio.fetching.sources`, by its prefix.
    """
    for kind in NAMED:
        if source.startswith(kind.prefix):
            return kind.open(source.removeprefix(kind.prefix), access)
    if source == "youtube":
        return YoutubeSource(access)
    if "://" in source:
        if "{ytid}" not in source or not source.startswith(("http://", "https://")):
            raise UsageError(f"--source {source!r}: expected an http(s) URL with {{ytid}} in it")
        return TemplateSource(source, access)
    folder = Path(source.removeprefix(IRMAS))
    if not folder.is_dir():
        raise UsageError(
            f"--source {source!r}: {why_no_folder(folder)}; expected 'youtube', a URL with "
            "{ytid} in it, a "
            f"folder, or {', '.join([f'{IRMAS}FOLDER', *(kind.usage for kind in NAMED)])}"
        )
    check_no_network(repr(source), access)
    return IrmasSource(folder) if source.startswith(IRMAS) else FolderSource(folder)


def place_of(source: str) -> tuple[str, str | None]:
    """Return the prefix of a `--source`, and its path; None for YouTube and servers.

    >>> place_of("irmas:data/irmas"), place_of("videos"), place_of("youtube")
    (('irmas:', 'data/irmas'), ('', 'videos'), ('', None))
    """
    for kind in NAMED:
        if source.startswith(kind.prefix):
            return kind.place(source)
    if source == "youtube" or "://" in source:
        return "", None
    prefix = IRMAS if source.startswith(IRMAS) else ""
    return prefix, source.removeprefix(prefix)


def own_labels(source: str) -> OwnLabels | None:
    """Return what a `--source` brings of its own; None where segments CSVs say what is wanted.

    None of IRMAS, too, whose files are compared with each other (`irmas_source`).
    """
    return next((kind.labels for kind in NAMED if source.startswith(kind.prefix)), None)


class IrmasSource(FolderSource):
    """IRMAS's own folder; an id is made of a file's path in it (`irmas_id`)."""

    def _index(self) -> dict[str, Path]:
        return irmas_paths(self.folder)


class TemplateSource:
    """Any HTTP server: a URL with `{ytid}` in it."""

    is_remote = True

    def __init__(self, template: str, access: Access) -> None:
        self._template = template
        self._network = Network(access)

    @contextmanager
    def open(self, ytid: str, meter: Meter) -> Iterator[BinaryIO]:
        """Open the URL of an id."""
        url = self._template.replace("{ytid}", quote(ytid, safe=""))
        ydl = self._network.ydl_for_item()
        with self._network.open_url(ydl, url, {}, meter) as file:
            yield file


class YoutubeSource:
    """YouTube: yt-dlp extracts the audio's URL, and we read it ourselves, at once."""

    is_remote = True

    def __init__(self, access: Access) -> None:
        self._network = Network(access)

    @contextmanager
    def open(self, ytid: str, meter: Meter) -> Iterator[BinaryIO]:
        """Open a video's audio-only stream."""
        ydl = self._network.ydl_for_item()
        with self._network.asking(meter):
            info: dict[str, Any] = ydl.extract_info(
                f"https://www.youtube.com/watch?v={ytid}", download=False
            )
        headers = info.get("http_headers", {})
        with self._network.open_url(ydl, info["url"], headers, meter) as file:
            yield file
