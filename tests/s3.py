"""An S3 on loopback: moto's, behind a gate that counts requests, slows them down and fails them."""

from __future__ import annotations

import threading
import time
import urllib.request
from collections.abc import Callable, Iterable
from datetime import timedelta
from typing import Any, Literal
from urllib.parse import quote

from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from moto.s3.models import s3_backends
from werkzeug.serving import WSGIRequestHandler, make_server

BUCKET = "bucket"
ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "test",
    "AWS_SECRET_ACCESS_KEY": "test",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_EC2_METADATA_DISABLED": "true",
}


class _Quiet(WSGIRequestHandler):
    def log(self, *args: Any) -> None:
        """Say nothing."""


class S3Server:
    """A server with one bucket, as a context manager."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, str, str]] = []
        """Method, path and query of every request."""
        self.latency_s = 0.0
        self.fails: Callable[[str, str, str], bool] = lambda method, path, query: False
        """Which requests are refused with status 403."""
        self.loses_answer: Callable[[str, str, str], bool] = lambda method, path, query: False
        """Which requests are done and then answered with status 500, as by a line that breaks."""
        self.conditions: Literal["heeded", "ignored", "unknown"] = "heeded"
        """What becomes of a write with If-Match or If-None-Match; unknown: status 501."""
        self.n_in_flight = 0
        """Requests that are being answered;"""
        self.peak_in_flight = 0
        """so many at most at one moment."""
        self._lock = threading.Lock()
        self._one_condition = threading.Lock()
        self._app = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._gate, True, request_handler=_Quiet)
        self._thread = threading.Thread(target=self._server.serve_forever)

    def __enter__(self) -> S3Server:
        self._server.daemon_threads = False  # type: ignore[attr-defined]  # closing waits for them
        self._thread.start()
        self._backend.create_bucket(BUCKET, "us-east-1")
        return self

    def __exit__(self, *_: object) -> None:
        self._backend.reset()
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    @property
    def host(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self._server.server_port}"

    @property
    def environment(self) -> dict[str, str]:
        """What makes `s3://` mean this server."""
        return {**ENVIRONMENT, "AWS_ENDPOINT_URL": f"http://{self.host}"}

    def uri(self, prefix: str, *, bucket: str = BUCKET) -> str:
        """Return a URI that needs no more of the environment than what conftest sets."""
        options = f"?endpoint_override={self.host}&scheme=http&region=us-east-1"
        return f"s3://{bucket}/{prefix}{options}"

    def keys(self, prefix: str = "") -> list[str]:
        """Return the keys of the objects in the bucket."""
        keys = sorted(self._backend.buckets[BUCKET].keys)
        return [key for key in keys if key.startswith(prefix) and not key.endswith("/")]

    def etags(self, prefix: str) -> dict[str, tuple[str, float]]:
        """Return what changes when an object is written again."""
        found = {key: self._backend.buckets[BUCKET].keys[key] for key in self.keys(prefix)}
        return {key: (found[key].etag, found[key].last_modified.timestamp()) for key in found}

    def fill(self, keys: Iterable[str], data: bytes = b"") -> None:
        """Put objects without a request each."""
        for key in keys:
            self._backend.put_object(BUCKET, key, data)

    def age(self, key: str, seconds: float) -> None:
        """Make an object look as if it had been written so much earlier."""
        self._backend.buckets[BUCKET].keys[key].last_modified -= timedelta(seconds=seconds)

    def read(self, key: str) -> bytes:
        """Return the bytes of an object without a request."""
        return bytes(self._backend.buckets[BUCKET].keys[key].value)

    def check_credentials(self, *, after: str = "0") -> None:
        """Refuse keys that moto has not given out, which are all; `after='inf'` ends that."""
        headers = {"Content-Type": "text/plain"}
        url = f"http://{self.host}/moto-api/reset-auth"
        request = urllib.request.Request(url, data=after.encode(), headers=headers)
        with urllib.request.urlopen(request) as response:
            response.read()

    @property
    def _backend(self) -> Any:
        return s3_backends["123456789012"]["aws"]

    def _gate(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        call = environ["REQUEST_METHOD"], quote(environ["PATH_INFO"]), environ["QUERY_STRING"]
        with self._lock:
            self.requests.append(call)
            self.n_in_flight += 1
            self.peak_in_flight = max(self.peak_in_flight, self.n_in_flight)
        try:
            return self._answer(call, environ, start_response)
        finally:
            with self._lock:
                self.n_in_flight -= 1

    def _answer(
        self,
        call: tuple[str, str, str],
        environ: dict[str, Any],
        start_response: Callable[..., Any],
    ) -> Any:
        time.sleep(self.latency_s)
        if self.fails(*call):
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start_response("403 Forbidden", [("Content-Length", "0")])
            return [b""]
        if self.loses_answer(*call):
            b"".join(self._app(environ, lambda *_: None))
            start_response("500 Internal Server Error", [("Content-Length", "0")])
            return [b""]
        if call[0] != "PUT" or not {"HTTP_IF_MATCH", "HTTP_IF_NONE_MATCH"} & environ.keys():
            return self._app(environ, start_response)
        return self._conditional(environ, start_response)

    def _conditional(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if self.conditions == "unknown":
            environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
            start_response("501 Not Implemented", [("Content-Length", "0")])
            return [b""]
        if self.conditions == "ignored":
            environ.pop("HTTP_IF_MATCH", None)
            environ.pop("HTTP_IF_NONE_MATCH", None)
        with self._one_condition:  # moto looks and then writes, without a lock
            return list(self._app(environ, start_response))
