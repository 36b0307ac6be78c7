"""The text of a URI: its folder, its name, the options at its end. PURE."""

from __future__ import annotations

import re

_OPTIONS = re.compile(r"\?\w+=[^?]*$")


def uri_in(folder: str, name: str) -> str:
    """Return the URI of a file in a folder, both by their text.

    >>> uri_in("s3://bucket/a?scheme=http", "b.wav")
    's3://bucket/a/b.wav?scheme=http'
    """
    address, options = without_options(folder)
    return f"{address.rstrip('/')}/{name}{options}"


def split_uri(uri: str) -> tuple[str, str]:
    """Return the folder of a file's URI or path, as `Folder` takes it, and the file's name in it.

    >>> split_uri("s3://bucket/a/b.wav?scheme=http")
    ('s3://bucket/a?scheme=http', 'b.wav')
    >>> split_uri("b.wav")
    ('.', 'b.wav')
    """
    address, options = without_options(uri)
    folder, slash, name = address.rpartition("/")
    return (folder or slash or ".") + options, name


def without_options(uri: str) -> tuple[str, str]:
    """Return a URI without the options at its end, and these with their question mark."""
    found = _OPTIONS.search(uri) if "://" in uri else None
    return (uri[: found.start()], found.group()) if found else (uri, "")
