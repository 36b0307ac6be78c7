"""The filesystem that opens a URI, and the path there.

A client of S3 is kept for a bucket: each new one looks for the bucket's region and asks for
credentials, and a catalogue opens a folder for every track.
"""

from __future__ import annotations

import os
from functools import lru_cache
from urllib.parse import quote

import pyarrow as pa
from pyarrow import fs

from pipeline.errors import UsageError
from pipeline.store.store_errors import store_errors

_CLIENTS = 16


def opened(address: str, options: str) -> tuple[fs.FileSystem, str]:
    """Return the filesystem of a URI and the path in it; `options` stand at the URI's end."""
    scheme, _, rest = address.partition("://")
    host, slash, path = rest.partition("/")
    if "@" in host:
        raise UsageError(
            f"{scheme}://***@{host.rpartition('@')[2]}: no secrets in a URI, as it is written into "
            "tables and reports; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or a profile"
        )
    uri = address + options
    with store_errors("open", uri):
        try:
            if scheme == "s3" and host:
                return _bucket(host, options, os.getpid(), _environment()), f"{host}{slash}{path}"
            path = quote(path, safe="/%" if scheme == "file" else "/")  # file URIs come escaped
            filesystem, root = fs.FileSystem.from_uri(f"{scheme}://{host}{slash}{path}{options}")
        except (pa.ArrowInvalid, pa.ArrowNotImplementedError) as error:
            raise UsageError(f"{uri}: not a path or URI that can be opened: {error}") from error
    if not root:
        raise UsageError(f"{uri}: expected a bucket, as in {scheme}://bucket/folder")
    return filesystem, root


@lru_cache(_CLIENTS)
def _bucket(
    host: str, options: str, pid: int, environment: tuple[tuple[str, str], ...]
) -> fs.FileSystem:
    """Return a client of a bucket; one of this process, as its threads do not come along in a fork.

    The environment says where S3 is and with which key, when a client is made.
    """
    return fs.FileSystem.from_uri(f"s3://{host}/{options}")[0]


def _environment() -> tuple[tuple[str, str], ...]:
    return tuple(sorted(item for item in os.environ.items() if item[0].startswith("AWS_")))
