"""One object of an S3 bucket in, conditional reads and writes of it out: pyarrow.fs has none.

By botocore, with the credentials, the endpoint and the region that pyarrow's client has. What the
store says comes as OSError, in words that `store_errors` knows.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from functools import cached_property
from typing import Any
from urllib.parse import parse_qsl

from pyarrow import fs

_REFUSED = {"PreconditionFailed", "412", "ConditionalRequestConflict", "NoSuchKey"}
"""Codes of an answer, or its status: the condition is not met."""
_UNKNOWN = {"NotImplemented", "501", "InvalidArgument", "InvalidRequest"}
"""Such a request is not known."""
_TIMES = {"connect_timeout": 5, "read_timeout": 10}
"""Seconds; with two retries a request takes three quarters of a minute at most."""


class NoConditions(OSError):
    """The store does not know conditional writes."""


@dataclass(frozen=True)
class Found:
    """An object as it was read."""

    data: bytes
    etag: str
    age_s: float
    """How long ago it was written, by the store's own clock: no two machines' clocks agree."""


class ConditionalObject:
    """One object of a bucket, for a few small requests; threads may share it."""

    def __init__(self, filesystem: fs.S3FileSystem, path: str, options: str) -> None:
        bucket, _, key = path.partition("/")
        self._names = {"Bucket": bucket, "Key": key}
        self._region = filesystem.region
        self._options = dict(parse_qsl(options.removeprefix("?")))

    def read(self) -> Found | None:
        """Return what is there; None where nothing is."""
        with _as_os_error():
            try:
                answer = self._client.get_object(**self._names)
            except self._client.exceptions.NoSuchKey:
                return None
            return Found(answer["Body"].read(), answer["ETag"], _age_s(answer))

    def create(self, data: bytes) -> str | None:
        """Write the object unless one is there; return its ETag, or None where one is."""
        return self._put(data, IfNoneMatch="*")

    def replace(self, data: bytes, etag: str) -> str | None:
        """Write the object if it is still that of an ETag; return its new one, else None."""
        return self._put(data, IfMatch=etag)

    def delete(self) -> None:
        """Delete the object, whosever it is."""
        with _as_os_error():
            self._client.delete_object(**self._names)

    def _put(self, data: bytes, **condition: str) -> str | None:
        from botocore.exceptions import ClientError

        with _as_os_error():
            try:
                return str(self._client.put_object(**self._names, Body=data, **condition)["ETag"])
            except ClientError as error:
                codes = set(_codes(error))
                if codes & _REFUSED:
                    return None
                if codes & _UNKNOWN:
                    raise NoConditions from error
                raise

    @cached_property
    def _client(self) -> Any:
        """Botocore's client, imported here: only jobs that write to a bucket wait for it."""
        from botocore.config import Config
        from botocore.session import Session

        endpoint = self._endpoint()
        config = Config(
            **_TIMES,
            retries={"mode": "standard", "total_max_attempts": 3},
            s3={"addressing_style": "path" if endpoint else "auto"},  # as pyarrow does
            request_checksum_calculation="when_required",  # others than AWS may not know them
            response_checksum_validation="when_required",
        )
        return Session().create_client(
            "s3",
            region_name=self._region,
            endpoint_url=endpoint,
            verify=self._options.get("tls_ca_file_path"),
            config=config,
        )

    def _endpoint(self) -> str | None:
        """Return the URL of the server, as the URI's options or the environment name it."""
        given = self._options.get("endpoint_override")
        if given is None:
            return os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        return given if "://" in given else f"{self._options.get('scheme', 'https')}://{given}"


def _age_s(answer: Any) -> float:
    """Return the age of an object, in seconds, by the clock of the store that answers."""
    told = answer["ResponseMetadata"]["HTTPHeaders"].get("date")
    now = parsedate_to_datetime(told) if told else datetime.now(UTC)
    return float((now - answer["LastModified"]).total_seconds())


@contextmanager
def _as_os_error() -> Iterator[None]:
    from botocore.exceptions import BotoCoreError, ClientError, ConnectionError, HTTPClientError

    try:
        yield
    except ClientError as error:
        code, status = _codes(error)
        code = "no such bucket" if code == "NoSuchBucket" else code
        raise OSError(f"HTTP status {status}: {code}: {error}") from error
    except (ConnectionError, HTTPClientError) as error:
        raise OSError(f"could not connect: {error}") from error
    except BotoCoreError as error:
        raise OSError(str(error)) from error


def _codes(error: Any) -> tuple[str, str]:
    """Return the store's code of an error, and the answer's HTTP status."""
    answer = error.response
    status = str(answer.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
    return str(answer.get("Error", {}).get("Code", "")), status
