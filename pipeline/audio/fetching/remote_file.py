"""A URL in, a file that can seek out, or a FetchFault with a reason.

Network access is yt-dlp's own, embedded: its proxies, cookies and typed errors serve plain URLs as
well.
"""

from __future__ import annotations

import logging
import shutil
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http.cookiejar import Cookie
from importlib import import_module
from typing import Any, BinaryIO, cast

import yt_dlp
from yt_dlp.networking import Request, Response
from yt_dlp.networking.exceptions import ProxyError
from yt_dlp.utils import YoutubeDLError

from pipeline.audio.decoding.ffmpeg import ffmpeg_exe
from pipeline.audio.fetching.access import Access, read_cookies
from pipeline.audio.fetching.fault_reasons import CURE, fault_of
from pipeline.audio.fetching.ranges import MAX_WHOLE_BYTES, RangeFile
from pipeline.errors import ConfigurationFault, FetchFault, Reason

AUDIO_FORMAT = "ba[protocol^=http]/ba/18"
RENEW_AFTER_ITEMS = 2000
"""A YoutubeDL keeps pages, players and connections; a new one costs 50 ms."""
_READ_BYTES = 1 << 20
_SILENT = logging.Logger("yt-dlp", logging.CRITICAL + 1)
"""Drops yt-dlp's messages: they go into the ledger, not to the terminal."""


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
        """Add the seconds that are spent in this block."""
        began = time.monotonic()
        try:
            yield
        finally:
            self.fetch_s += time.monotonic() - began


class Network:
    """One YoutubeDL a thread: it is not safe to share, and costs 50 ms to build."""

    def __init__(self, access: Access) -> None:
        access.check_here()
        self._access = access
        self._cookies = read_cookies(access.cookies) if access.cookies is not None else ()
        self._local = threading.local()

    def ydl_for_item(self) -> yt_dlp.YoutubeDL:
        """Return this thread's YoutubeDL; a new one now and then, for its state grows."""
        local = self._local
        if getattr(local, "n_left", 0) < 1:
            old: yt_dlp.YoutubeDL | None = getattr(local, "ydl", None)
            local.ydl = self._build(self._cookies if old is None else tuple(old.cookiejar))
            local.n_left = RENEW_AFTER_ITEMS
            if old is not None:
                old.close()
        local.n_left -= 1
        return local.ydl

    def _build(self, cookies: tuple[Cookie, ...]) -> yt_dlp.YoutubeDL:
        ydl = yt_dlp.YoutubeDL(_options(self._access))
        for cookie in cookies:
            ydl.cookiejar.set_cookie(cookie)
        return ydl

    @contextmanager
    def asking(self, meter: Meter) -> Iterator[None]:
        """Count the time of a request; what it raises comes out as a fault, without secrets."""
        try:
            with meter.running():
                yield
        except (YoutubeDLError, OSError) as error:
            fault = fault_of(error)
            if isinstance(fault, FetchFault) and fault.http_status == 407:
                fault = ConfigurationFault(f"{fault.detail}: {CURE[ProxyError]}")
            if not self._access.password:
                raise fault from error
            fault.args = (self._access.redacted(str(fault)),)
            if isinstance(fault, FetchFault):
                fault.detail = self._access.redacted(fault.detail)
            raise fault from None  # what is behind it may hold the password, too

    @contextmanager
    def open_url(
        self,
        ydl: yt_dlp.YoutubeDL,
        url: str,
        headers: dict[str, str],
        meter: Meter,
        check: Callable[[str], None] = lambda url: None,
    ) -> Iterator[BinaryIO]:
        """Open a URL, in ranges where the server has them; `check` raises where one leads astray.

        It is given the URL that an answer is from, before the answer is read.
        """

        def get(first: int, last: int | None) -> tuple[int, dict[str, str], bytes]:
            span = {} if last is None else {"Range": f"bytes={first}-{last}"}
            with (
                self.asking(meter),
                ydl.urlopen(Request(url, headers={**headers, **span})) as response,
            ):
                check(response.url)
                most = MAX_WHOLE_BYTES
                if response.status == 206 and last is not None:
                    most = last - first + 1
                body = _read(response, most, meter)
            answered = {name.lower(): value for name, value in response.headers.items()}
            return response.status, answered, body

        with RangeFile(get) as ranges:
            meter.bytes_whole = ranges.size
            yield cast(BinaryIO, ranges)


def _read(response: Response, most_bytes: int, meter: Meter) -> bytes:
    """Return an answer's body; what is longer than it may be is not read to its end."""
    parts: list[bytes] = []
    n_bytes = 0
    while part := response.read(_READ_BYTES):
        parts.append(part)
        n_bytes += len(part)
        meter.bytes_fetched += len(part)
        if n_bytes > most_bytes:
            raise FetchFault(Reason.TOO_LONG, f"the body goes on after {most_bytes} bytes")
    return b"".join(parts)


def ask(url: str, access: Access) -> int:
    """Return the status that a server answers with, an error's too; raises what the line says."""
    network = Network(access)
    try:
        with network.asking(Meter()), network.ydl_for_item().urlopen(Request(url)) as response:
            status: int = response.status
            return status
    except FetchFault as fault:
        if fault.http_status is None:
            raise
        return fault.http_status


@contextmanager
def url_file(url: str, check: Callable[[str], None] = lambda url: None) -> Iterator[BinaryIO]:
    """Open an http(s) URL as a file that can seek, read in ranges where the server has them.

    `check` is given the URL, and then the one that each answer is from; it raises where one is not
    to be read.
    """
    check(url)
    network = Network(Access())
    ydl = network.ydl_for_item()
    try:
        with network.open_url(ydl, url, {}, Meter(), check) as file:
            yield file
    finally:
        ydl.close()


def deno_exe() -> str | None:
    """Return the path of the `deno` wheel's binary, wherever pip put it; else the PATH's."""
    try:
        return str(import_module("deno").find_deno_bin())
    except (ImportError, FileNotFoundError):
        return shutil.which("deno")


def _options(access: Access) -> dict[str, Any]:
    return {
        "format": AUDIO_FORMAT,
        "extractor_args": {"youtube": {"skip": ["hls", "dash", "translated_subs"]}},
        "noplaylist": True,
        "ignoreerrors": False,
        "socket_timeout": access.socket_timeout_s,
        "proxy": access.proxy,
        "source_address": access.source_address,
        "js_runtimes": {"deno": {"path": deno_exe()}},
        "ffmpeg_location": ffmpeg_exe(),
        "logger": _SILENT,
        "color": "never",
    }
