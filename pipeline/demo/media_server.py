"""A folder of videos in, an HTTP server on the loopback out: ranges, counters and faults. An edge.

It stands where the real source would: it serves `/{ytid}` and `/{ytid}.{suffix}`, in whole or in
the byte range that is asked for, misbehaves for chosen ids as the world does, and can be unplugged.
"""

from __future__ import annotations

import io
import re
import socket
import struct
import sys
import threading
import time
from collections import Counter
from collections.abc import Mapping
from contextlib import suppress
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from random import Random
from typing import BinaryIO, Self
from urllib.parse import unquote, urlsplit

from pipeline.demo.injected_faults import STATUS_OF, Fault, InjectedFault
from pipeline.demo.traffic import Traffic

__all__ = ["Fault", "InjectedFault", "MediaServer", "byte_range"]

CHUNK_BYTES = 65_536
HTML = b"<!doctype html><title>Sorry</title><p>This page is all there is.</p>\n"
NOISE = Random(0).randbytes(300_000)
_PATH = re.compile(r"/([A-Za-z0-9_-]{11})(\.[a-z0-9]{1,5})?")
_RANGE = re.compile(r"bytes=(?:(\d+)-(\d*)|-(\d+))")
_TYPES = {".m4a": "audio/mp4", ".mp3": "audio/mpeg"}


class MediaServer:
    """The server, as a context manager; it listens from the start of the `with` to its end.

    `folder` holds `{ytid}.webm` or files of other suffixes, `faults` says which ids misbehave, and
    every answer is held back for `latency_s`. After the `with` no thread and no socket of it is
    left.
    """

    def __init__(
        self,
        folder: Path,
        faults: Mapping[str, Fault | InjectedFault] | None = None,
        *,
        latency_s: float = 0.0,
    ) -> None:
        self.folder = folder
        self.faults = dict(faults or {})
        self.latency_s = latency_s
        self.traffic = Traffic()
        self.n_requests, self.n_bytes = self.traffic.n_requests, self.traffic.n_bytes
        self.port = 0  # any that is free
        self._n_failed: Counter[str] = Counter()
        self._server: _Server | None = None
        self._lock = threading.Lock()

    @property
    def url_template(self) -> str:
        """The address of a video, with `{ytid}` where its id goes."""
        return f"http://127.0.0.1:{self.port}/{{ytid}}"

    def __enter__(self) -> Self:
        self.plug()
        return self

    def __exit__(self, *_: object) -> None:
        self.unplug()

    def plug(self) -> None:
        """Listen: at any port the first time, at the same one again later."""
        self._server = _Server(self)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}
        )
        self._thread.start()

    def unplug(self) -> None:
        """Refuse connections from now on, and cut those that are open."""
        if self._server is not None:
            self._server.shutdown()
            self._thread.join()
            self._server.hang_up()
            self._server.server_close()
            self._server = None

    def injected(self, ytid: str, client_port: int = 0) -> InjectedFault:
        """Return what a request for an id meets now."""
        injected = self.faults.get(ytid, Fault.NONE)
        if isinstance(injected, Fault):
            return InjectedFault(injected)
        with self._lock:
            self._n_failed[ytid] += 1
            is_over = injected.n_failures is not None and self._n_failed[ytid] > injected.n_failures
        return InjectedFault(Fault.NONE) if is_over else injected

    def path_of(self, ytid: str, suffix: str | None) -> Path | None:
        """Return the file of an id; one of any suffix where none is named, WebM first."""
        path = self.folder / f"{ytid}{suffix or '.webm'}"
        if path.is_file():
            return path
        others = () if suffix else sorted(self.folder.glob(f"{ytid}.*"))
        return next((path for path in others if path.is_file()), None)


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # closing waits for them
    request_queue_size = 128

    def __init__(self, origin: MediaServer) -> None:
        self.origin = origin
        self._open: set[socket.socket] = set()
        self._lock = threading.Lock()
        super().__init__(("127.0.0.1", origin.port), _Handler)

    def process_request(self, request, client_address) -> None:  # type: ignore[no-untyped-def]
        with self._lock:
            self._open.add(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request) -> None:  # type: ignore[no-untyped-def]
        with self._lock:
            self._open.discard(request)
        if request.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, 8) == _RESET:
            self.close_request(request)  # a shutdown would end it in good order
        else:
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


_RESET = struct.pack("ii", 1, 0)  # linger for 0 s: closing sends a reset


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: object) -> None:
        """Write no line for a request."""

    def _answer(self) -> None:
        origin = self.server.origin
        match = _PATH.fullmatch(unquote(urlsplit(self.path).path))
        ytid, suffix = match.groups() if match else ("", None)
        with origin.traffic.request(ytid):
            time.sleep(origin.latency_s)
            path = origin.path_of(ytid, suffix) if match else None
            self._misbehave(ytid, path, origin.injected(ytid, self.client_address[1]))

    def _misbehave(self, ytid: str, path: Path | None, injected: InjectedFault) -> None:
        fault = injected.fault
        if fault in STATUS_OF:
            self._send_page(ytid, STATUS_OF[fault], retry_after=injected.retry_after)
        elif fault is Fault.RESET:
            self._reset()
        elif fault is Fault.STALL:
            self.rfile.read(1)  # returns when the client has gone, or the server hangs up
            self.close_connection = True
        elif fault is Fault.NOT_AUDIO:
            self._send_page(ytid, HTTPStatus.OK, HTML)
        elif fault is Fault.GARBAGE:
            self._send_file(ytid, io.BytesIO(NOISE), ".webm", len(NOISE), fault)
        elif path is None:
            self._send_page(ytid, HTTPStatus.NOT_FOUND)
        else:
            size = path.stat().st_size // (2 if fault is Fault.SHORT else 1)
            with path.open("rb") as file:
                self._send_file(ytid, file, path.suffix, size, fault)

    def _reset(self) -> None:
        self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
        self.close_connection = True

    def _send_page(
        self,
        ytid: str,
        status: HTTPStatus,
        body: bytes = b"no video here\n",
        retry_after: str | None = None,
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        if retry_after is not None:
            self.send_header("Retry-After", retry_after)
        self.end_headers()
        if self.command != "HEAD":
            self.server.origin.traffic.sent(ytid, len(body))
            self.wfile.write(body)

    def _send_file(self, ytid: str, file: BinaryIO, suffix: str, size: int, fault: Fault) -> None:
        header = self.headers.get("Range") if self.command == "GET" else None
        asked = None if fault is Fault.NO_RANGES else byte_range(header, size)
        if header and fault is Fault.RANGES_REFUSED:
            asked = range(0)
        if asked is None:
            self._send_head(HTTPStatus.OK, suffix, size)
        elif not asked:
            status = HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE
            self._send_head(status, suffix, 0, f"bytes */{size}")
        else:
            span = f"bytes {asked.start}-{asked.stop - 1}/{size}"
            self._send_head(HTTPStatus.PARTIAL_CONTENT, suffix, len(asked), span)
        if self.command == "GET":
            self._send_bytes(ytid, file, range(size) if asked is None else asked, size, fault)

    def _send_head(
        self, status: HTTPStatus, suffix: str, n_bytes: int, content_range: str = ""
    ) -> None:
        self.send_response(status)
        self.send_header("Content-Type", _TYPES.get(suffix, f"audio/{suffix[1:]}"))
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Content-Length", str(n_bytes))
        if content_range:
            self.send_header("Content-Range", content_range)
        self.end_headers()

    def _send_bytes(self, ytid: str, file: BinaryIO, asked: range, size: int, fault: Fault) -> None:
        """Send what was asked for; break the line at the file's half where that is the fault."""
        reach = size // 2 if fault in (Fault.TRUNCATED, Fault.RESET_MIDWAY) else size
        file.seek(asked.start)
        stop = min(asked.stop, reach)
        for at in range(asked.start, stop, CHUNK_BYTES):
            chunk = file.read(min(CHUNK_BYTES, stop - at))
            self.server.origin.traffic.sent(ytid, len(chunk))
            self.wfile.write(chunk)
        self.close_connection |= asked.stop > reach
        if fault is Fault.RESET_MIDWAY and asked.stop > reach:
            self._reset()


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
