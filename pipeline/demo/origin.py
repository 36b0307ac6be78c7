"""A folder of videos in, an HTTP server on the loopback out: ranges, counters and faults. An edge.

It stands where the real source would: it serves `/{ytid}` and `/{ytid}.webm`, in whole or in the
byte range that is asked for, and misbehaves for chosen ids as the world does.
"""

from __future__ import annotations

import re
import socket
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from enum import StrEnum
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Self
from urllib.parse import unquote, urlsplit

CHUNK_BYTES = 65_536
HTML = b"<!doctype html><title>Sorry</title><p>This page is all there is.</p>\n"
_PATH = re.compile(r"/([A-Za-z0-9_-]{11})(?:\.webm)?")
_RANGE = re.compile(r"bytes=(?:(\d+)-(\d*)|-(\d+))")


class Fault(StrEnum):
    """What is wrong with a video."""

    NONE = "none"
    MISSING = "missing"
    """404."""
    TRUNCATED = "truncated"
    """The headers promise it all, but no byte beyond its half ever comes: the line breaks."""
    NOT_AUDIO = "not_audio"
    """200, and a page of HTML."""


class Origin:
    """The server, as a context manager; it listens from the start of the `with` to its end.

    `folder` holds `{ytid}.webm`, `faults` says which ids misbehave, and every answer is held back
    for `latency_s`. After the `with` no thread and no socket of it is left.
    """

    def __init__(
        self, folder: Path, faults: Mapping[str, Fault] | None = None, *, latency_s: float = 0.0
    ) -> None:
        self.folder = folder
        self.faults = dict(faults or {})
        self.latency_s = latency_s
        self.n_requests: Counter[str] = Counter()
        """Requests by id, counted when they come in."""
        self.n_bytes: Counter[str] = Counter()
        """Bytes of body by id, counted when they go out."""
        self._lock = threading.Lock()

    @property
    def url_template(self) -> str:
        """The address of a video, with `{ytid}` where its id goes."""
        return f"http://127.0.0.1:{self._server.server_address[1]}/{{ytid}}"

    def __enter__(self) -> Self:
        self._server = _Server(self)
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}
        )
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.hang_up()
        self._server.server_close()

    def count(self, ytid: str, *, n_requests: int = 0, n_bytes: int = 0) -> None:
        """Add to the counters of one id."""
        with self._lock:
            self.n_requests[ytid] += n_requests
            self.n_bytes[ytid] += n_bytes


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # closing waits for them
    request_queue_size = 128

    def __init__(self, origin: Origin) -> None:
        self.origin = origin
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", 0), _Handler)

    def process_request(self, request, client_address) -> None:  # type: ignore[no-untyped-def]
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request) -> None:  # type: ignore[no-untyped-def]
        with self._lock:
            self._open.discard(request)
        super().shutdown_request(request)

    def handle_error(self, request, client_address) -> None:  # type: ignore[no-untyped-def]
        if not isinstance(sys.exception(), ConnectionError):  # a client may leave when it likes
            super().handle_error(request, client_address)

    def hang_up(self) -> None:
        """End the connections that clients keep alive, so that their threads end."""
        with self._lock:
            for connection in self._open:
                with suppress(OSError):  # the client has left already
                    connection.shutdown(socket.SHUT_RDWR)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        """Be quiet."""

    def _answer(self) -> None:
        origin = self.server.origin
        match = _PATH.fullmatch(unquote(urlsplit(self.path).path))
        ytid = match[1] if match else ""
        origin.count(ytid, n_requests=1)
        time.sleep(origin.latency_s)
        fault = origin.faults.get(ytid, Fault.NONE)
        path = origin.folder / f"{ytid}.webm"
        if fault is Fault.NOT_AUDIO:
            self._send_page(ytid, HTTPStatus.OK, HTML)
        elif not match or fault is Fault.MISSING or not path.is_file():
            self._send_page(ytid, HTTPStatus.NOT_FOUND, b"no such video\n")
        else:
            with path.open("rb") as file:
                self._send_file(ytid, file, path.stat().st_size, fault)

    def _send_page(self, ytid: str, status: HTTPStatus, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.server.origin.count(ytid, n_bytes=len(body))
            self.wfile.write(body)

    def _send_file(self, ytid: str, file: BinaryIO, size: int, fault: Fault) -> None:
        asked = byte_range(self.headers.get("Range"), size) if self.command == "GET" else None
        if asked is None:
            self._send_head(HTTPStatus.OK, size)
        elif not asked:
            self._send_head(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE, 0, f"bytes */{size}")
        else:
            span = f"bytes {asked.start}-{asked.stop - 1}/{size}"
            self._send_head(HTTPStatus.PARTIAL_CONTENT, len(asked), span)
        if self.command == "GET":
            reach = size // 2 if fault is Fault.TRUNCATED else size
            self._send_bytes(ytid, file, range(size) if asked is None else asked, reach)

    def _send_head(self, status: HTTPStatus, n_bytes: int, content_range: str = "") -> None:
        self.send_response(status)
        self.send_header("Content-Type", "audio/webm")
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(n_bytes))
        if content_range:
            self.send_header("Content-Range", content_range)
        self.end_headers()

    def _send_bytes(self, ytid: str, file: BinaryIO, asked: range, reach: int) -> None:
        """Send what was asked for as far as `reach`, and break the line where that is short."""
        file.seek(asked.start)
        stop = min(asked.stop, reach)
        for at in range(asked.start, stop, CHUNK_BYTES):
            chunk = file.read(min(CHUNK_BYTES, stop - at))
            self.server.origin.count(ytid, n_bytes=len(chunk))
            self.wfile.write(chunk)
        self.close_connection |= asked.stop > reach


def byte_range(header: str | None, size: int) -> range | None:
    """Return the bytes that a Range header asks for: empty where the file has none of them.

    None stands for the whole: no header, several ranges at once, or what is no range at all.

    >>> byte_range("bytes=10-19", 100), byte_range("bytes=-5", 100), byte_range("bytes=100-", 100)
    (range(10, 20), range(95, 100), range(100, 100))
    """
    match = _RANGE.fullmatch(header or "")
    if match is None:
        return None
    first, last, n_last = match.groups()
    if n_last:
        return range(max(0, size - int(n_last)), size)
    if last and int(last) < int(first):
        return None
    return range(int(first), min(size, int(last) + 1) if last else size)
