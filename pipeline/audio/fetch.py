"""A video id in, a readable file out: from YouTube, a URL template or a folder.

Every source opens an id as a file that can seek and counts the bytes it cost; what goes wrong is a
FetchFault with a reason. Network access is yt-dlp's own, embedded: its proxies, cookies and typed
errors serve plain URLs as well.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO, Protocol, cast
from urllib.parse import quote

import yt_dlp
from yt_dlp.networking import Request
from yt_dlp.utils import YoutubeDLError

from pipeline.audio.faults import fault_of
from pipeline.audio.ffmpeg import ffmpeg_exe
from pipeline.audio.ranges import RangeFile
from pipeline.errors import FetchFault, Reason, UsageError

SOCKET_TIMEOUT_S = 20.0
AUDIO_FORMAT = "ba[protocol^=http]/ba/18"


@dataclass
class Meter:
    """What one item costs; it counts on where opening or reading fails."""

    bytes_fetched: int = 0
    """Bytes read from the source so far."""
    bytes_whole: int | None = None
    """Size of the whole file; None until it is known."""
    fetch_s: float = 0.0
    """Seconds spent waiting for the source so far."""

    @contextmanager
    def running(self) -> Iterator[None]:
        """Count the time inside."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.fetch_s += time.monotonic() - began


@dataclass(frozen=True)
class Access:
    """How the network is reached."""

    cookies: str | None = None
    """A Netscape cookies.txt."""
    proxy: str | None = None
    """URL of a proxy."""
    source_address: str | None = None
    """This machine's address to ask from."""
    socket_timeout_s: float = SOCKET_TIMEOUT_S


class Source(Protocol):
    """Where the audio comes from."""

    is_remote: bool
    """Whether there is a line that can fail: a folder has none."""

    @contextmanager
    def open(self, ytid: str, meter: Meter) -> Iterator[BinaryIO]:
        """Open one item for the decoder, as a file that can seek, and count what it costs.

        Raises FetchFault, or ConfigurationFault where nothing can work.
        """
        ...


def open_source(source: str, access: Access = Access()) -> Source:
    """Return the source that `--source` names: 'youtube', a URL with `{ytid}`, or a folder."""
    if source == "youtube":
        return YoutubeSource(access)
    if "://" in source:
        if "{ytid}" not in source or not source.startswith(("http://", "https://")):
            raise UsageError(f"--source {source!r}: expected an http(s) URL with {{ytid}} in it")
        return TemplateSource(source, access)
    if not Path(source).is_dir():
        raise UsageError(
            f"--source {source!r}: expected 'youtube', a URL with {{ytid}} in it, or a folder"
        )
    return FolderSource(Path(source))


@dataclass
class FolderSource:
    """Files named `{ytid}.*` in one folder, whatever their format."""

    folder: Path
    is_remote = False
    _paths: dict[str, Path] = field(init=False)

    def __post_init__(self) -> None:
        self._paths = {path.stem: path for path in sorted(self.folder.iterdir()) if path.is_file()}

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


class _Network:
    """One YoutubeDL a thread: it is not safe to share, and costs 50 ms to build."""

    def __init__(self, access: Access) -> None:
        self._access = access
        self._local = threading.local()

    @property
    def ydl(self) -> yt_dlp.YoutubeDL:
        if not hasattr(self._local, "ydl"):
            self._local.ydl = yt_dlp.YoutubeDL(_options(self._access))
        return self._local.ydl

    @contextmanager
    def open_url(self, url: str, headers: dict[str, str], meter: Meter) -> Iterator[BinaryIO]:
        """Open a URL, in ranges where the server has them."""

        def get(first: int, last: int) -> tuple[int, dict[str, str], bytes]:
            request = Request(url, headers={**headers, "Range": f"bytes={first}-{last}"})
            try:
                with meter.running(), self.ydl.urlopen(request) as response:
                    body = response.read()
            except (YoutubeDLError, OSError) as error:
                raise fault_of(error) from error
            meter.bytes_fetched += len(body)
            answered = {name.lower(): value for name, value in response.headers.items()}
            return response.status, answered, body

        with RangeFile(get) as ranges:
            meter.bytes_whole = ranges.size
            yield cast(BinaryIO, ranges)


class TemplateSource:
    """Any HTTP server: a URL with `{ytid}` in it."""

    is_remote = True

    def __init__(self, template: str, access: Access) -> None:
        self._template = template
        self._network = _Network(access)

    @contextmanager
    def open(self, ytid: str, meter: Meter) -> Iterator[BinaryIO]:
        """Open the URL of an id."""
        url = self._template.replace("{ytid}", quote(ytid, safe=""))
        with self._network.open_url(url, {}, meter) as file:
            yield file


class YoutubeSource:
    """YouTube: yt-dlp extracts the audio's URL, and we read it ourselves, at once."""

    is_remote = True

    def __init__(self, access: Access) -> None:
        self._network = _Network(access)

    @contextmanager
    def open(self, ytid: str, meter: Meter) -> Iterator[BinaryIO]:
        """Open a video's audio-only stream."""
        try:
            with meter.running():
                info: dict[str, Any] = self._network.ydl.extract_info(
                    f"https://www.youtube.com/watch?v={ytid}", download=False
                )
        except YoutubeDLError as error:
            raise fault_of(error) from error
        with self._network.open_url(info["url"], info.get("http_headers", {}), meter) as file:
            yield file


class _Silent:
    """yt-dlp's messages go into the ledger, not to the terminal."""

    def debug(self, message: str) -> None: ...

    def info(self, message: str) -> None: ...

    def warning(self, message: str) -> None: ...

    def error(self, message: str) -> None: ...


def _options(access: Access) -> dict[str, Any]:
    return {
        "format": AUDIO_FORMAT,
        "extractor_args": {"youtube": {"skip": ["hls", "dash", "translated_subs"]}},
        "noplaylist": True,
        "ignoreerrors": False,
        "socket_timeout": access.socket_timeout_s,
        "cookiefile": access.cookies,
        "proxy": access.proxy,
        "source_address": access.source_address,
        "ffmpeg_location": ffmpeg_exe(),
        "logger": _Silent(),
        "color": "never",
    }
