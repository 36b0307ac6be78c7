"""The server of the page: on loopback, for whoever has its token; only tracks of the tags go out.

A request names a track by its number in the table, never by a path, so nothing outside the
catalogue can be asked for. What takes a while (DuckDB, decoders) runs in threads.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Awaitable, Callable
from contextlib import ExitStack, suppress
from functools import partial
from importlib import resources
from time import perf_counter
from typing import Any, TypeVar

import numpy as np
from aiohttp import web

from pipeline.browsing.browser import Browser
from pipeline.browsing.sound import media_type, opened, why_not
from pipeline.errors import ItemFault, StoreError, TimbreError, UsageError

T = TypeVar("T")
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

COOKIE = "timbre"
_CHUNK_BYTES = 1 << 18
_MOST_ROWS = 1000
_LARGEST_POST_BYTES = 1 << 16
_HOSTS = ("127.0.0.1", "localhost", "[::1]")
_TYPES = {".html": "text/html", ".css": "text/css", ".js": "text/javascript"}
_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' "
    "data:; media-src 'self'; connect-src 'self'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": _POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


def new_token() -> str:
    """Return a secret that stands in the page's address."""
    return secrets.token_urlsafe(24)


class App:
    """The routes of the page of one `Browser`."""

    def __init__(self, browser: Browser, token: str) -> None:
        self._browser, self._token = browser, token

    def made(self) -> web.Application:
        """Return the application that aiohttp runs, with all routes."""
        app = web.Application(middlewares=[self._guarded], client_max_size=_LARGEST_POST_BYTES)
        app.on_response_prepare.append(_with_headers)
        app.router.add_get("/", self._index)
        app.router.add_get("/page/{name}", self._file)
        app.router.add_get("/audio", self._audio)
        app.router.add_get("/api/logmel", self._logmel)
        for name in ("about", "find", "track", "windows", "queue", "map", "precision"):
            app.router.add_get(f"/api/{name}", partial(self._answer, getattr(self, f"_{name}")))
        app.router.add_post("/api/correct", self._correct)
        app.router.add_post("/api/undo", self._undo)
        return app

    @web.middleware
    async def _guarded(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        """Answer those who have the token, and say in a line what is wrong with a request."""
        if request.host.rpartition(":")[0] not in _HOSTS:  # a page whose name leads here
            return _refused(403, "this host is not served")
        given = request.query.get("token") or request.cookies.get(COOKIE, "")
        if not hmac.compare_digest(given.encode(), self._token.encode()):
            return _refused(403, "the address lacks its token: open the one that the job printed")
        try:
            return await handler(request)
        except (ItemFault, StoreError, OSError) as error:
            return _refused(404, why_not(error))
        except TimbreError as error:
            return _refused(400, str(error))

    async def _index(self, request: web.Request) -> web.StreamResponse:
        """Give the page; from the address with the token on to one without it, by a cookie."""
        if "token" in request.query:
            moved = web.Response(status=303, headers={"Location": "/"})
            moved.set_cookie(COOKIE, self._token, httponly=True, samesite="Strict")
            return moved
        return _page_file("index.html")

    async def _file(self, request: web.Request) -> web.StreamResponse:
        return _page_file(request.match_info["name"])

    async def _answer(
        self, make: Callable[[web.Request], Any], request: web.Request
    ) -> web.StreamResponse:
        """Answer a question by json."""
        began = perf_counter()
        found = await asyncio.to_thread(make, request)
        ms = (perf_counter() - began) * 1e3
        return web.json_response({**found, "ms": ms})

    def _about(self, _: web.Request) -> dict[str, Any]:
        return self._browser.about()

    def _find(self, request: web.Request) -> dict[str, Any]:
        query = request.query
        limit = min(_MOST_ROWS, _number(request, "limit", int) or 100)
        return self._browser.find(
            query.get("q", ""),
            order=query.get("order", ""),
            like=_number(request, "like", int),
            span=_span(_number(request, "from", float), _number(request, "to", float)),
            offset=max(0, _number(request, "offset", int) or 0),
            limit=limit,
        )

    def _track(self, request: web.Request) -> dict[str, Any]:
        return self._browser.track(self._n(request))

    def _windows(self, request: web.Request) -> dict[str, Any]:
        return self._browser.windows_now(self._n(request))

    def _queue(self, request: web.Request) -> dict[str, Any]:
        return self._browser.queue(request.query.get("kind", ""), request.query.get("code", ""))

    def _map(self, _: web.Request) -> dict[str, Any]:
        return self._browser.map()

    def _precision(self, _: web.Request) -> dict[str, Any]:
        return self._browser.precision()

    def _n(self, request: web.Request) -> int:
        """Return the number of the track that a request names."""
        n = _number(request, "n", int)
        if n is None or not 0 <= n < self._browser.n_tracks:
            raise UsageError(f"n={n}: no such track")
        return n

    async def _logmel(self, request: web.Request) -> web.StreamResponse:
        matrix: np.ndarray = await asyncio.to_thread(self._browser.picture, self._n(request))
        shape = {"X-Shape": ",".join(map(str, matrix.shape))}
        return web.Response(
            body=matrix.tobytes(), headers=shape, content_type="application/octet-stream"
        )

    async def _audio(self, request: web.Request) -> web.StreamResponse:
        """Stream a track, or a part of it, from wherever it is."""
        n = self._n(request)
        if request.query.get("as") == "opus":
            data = await asyncio.to_thread(self._browser.as_opus, n)
            return await _ranged(request, _of_bytes(data), len(data), "audio/ogg")
        uri = self._browser.uri(n)
        with ExitStack() as stack:
            file, size = await asyncio.to_thread(lambda: stack.enter_context(opened(uri)))

            def read(start: int, n_bytes: int) -> bytes:
                file.seek(start)
                return file.read(n_bytes)

            return await _ranged(request, read, size, media_type(uri) or "application/octet-stream")

    async def _correct(self, request: web.Request) -> web.StreamResponse:
        given = await _json(request)
        n = given.get("n")
        if not isinstance(n, int) or not 0 <= n < self._browser.n_tracks:
            raise UsageError(f"n={n}: no such track")
        span = _span(given.get("start_s"), given.get("end_s"))
        said = await asyncio.to_thread(
            self._browser.correct, n, str(given.get("code")), str(given.get("verdict")), span
        )
        return web.json_response(said)

    async def _undo(self, request: web.Request) -> web.StreamResponse:
        await _json(request)
        return web.json_response(await asyncio.to_thread(self._browser.undo))


async def _json(request: web.Request) -> dict[str, Any]:
    """Return what was posted; only as json, which no form of another site can send."""
    if request.content_type != "application/json":
        raise UsageError("expected application/json")
    try:
        given = await request.json()
    except ValueError as error:
        raise UsageError(f"not JSON: {error}") from error
    if not isinstance(given, dict):
        raise UsageError("expected an object")
    return given


async def _ranged(
    request: web.Request, read: Callable[[int, int], bytes], size: int, kind: str
) -> web.StreamResponse:
    """Stream the bytes that a request asks for."""
    try:
        asked = request.http_range
        start, stop, _ = asked.indices(size)
    except ValueError:
        start, stop, asked = size, size, slice(0, 0)
    is_part = "Range" in request.headers
    headers = {"Accept-Ranges": "bytes", "Content-Type": kind, "Content-Length": str(stop - start)}
    if is_part and start >= stop:
        return web.Response(status=416, headers={"Content-Range": f"bytes */{size}"})
    if is_part:
        headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    response = web.StreamResponse(status=206 if is_part else 200, headers=headers)
    with suppress(ConnectionResetError):  # a player that has enough, or goes elsewhere, hangs up
        await response.prepare(request)
        while start < stop:
            try:
                data = await asyncio.to_thread(read, start, min(_CHUNK_BYTES, stop - start))
            except (OSError, TimbreError):
                break  # no second answer can be given now: as where the file has become shorter
            if not data:
                break  # the file has become shorter: the client sees too few bytes
            await response.write(data)
            start += len(data)
        await response.write_eof()
    return response


def _of_bytes(data: bytes) -> Callable[[int, int], bytes]:
    return lambda start, n_bytes: data[start : start + n_bytes]


def _number(request: web.Request, name: str, kind: Callable[[str], T]) -> T | None:
    """Return a number of a request's address; None where it has none."""
    text = request.query.get(name)
    if not text:
        return None
    try:
        return kind(text)
    except ValueError as error:
        raise UsageError(f"{name}={text!r}: expected a number") from error


def _span(start: Any, end: Any) -> tuple[float, float] | None:
    if start is None or end is None:
        return None
    try:
        return float(start), float(end)
    except (TypeError, ValueError) as error:
        raise UsageError(f"a span from {start!r} to {end!r}: expected two times in s") from error


def _page_file(name: str) -> web.Response:
    """Return a file of the page."""
    file = resources.files("pipeline.browsing") / "page" / name
    suffix = name[name.rfind(".") :]
    if suffix not in _TYPES or "/" in name or not file.is_file():
        return _refused(404, "no such file")
    return web.Response(text=file.read_text(encoding="utf-8"), content_type=_TYPES[suffix])


def _refused(status: int, text: str) -> web.Response:
    return web.json_response({"error": text}, status=status)


async def _with_headers(_: web.Request, response: web.StreamResponse) -> None:
    response.headers.update(_HEADERS)
