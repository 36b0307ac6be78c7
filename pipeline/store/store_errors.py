"""One clear line, with its cure, for what a disk or a bucket says."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

import pyarrow as pa

from pipeline.errors import StoreError, UsageError

_CURES = {
    r"no space left|disk quota exceeded|file too large": (
        "free some space, then run the same command again"
    ),
    r"permission denied|read-only file system|operation not permitted": (
        "make it accessible to this user, or name another folder"
    ),
    r"no_such_bucket|no such bucket": (
        "create the bucket first, name another, or check AWS_ENDPOINT_URL"
    ),
    r"access_denied|invalid_access_key|invalid_client_token|signature|expired_?token|"
    r"http status (401|403)|permission_denied|unauthenticated|forbidden": (
        "check AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or the profile, or the node's role) "
        "and what they may do there"
    ),
    r"network_connection|curlcode|could not resolve|could not connect": (
        "check the network and AWS_ENDPOINT_URL (each node of a cluster has its own), then run "
        "the same command again"
    ),
}
"""What a user can do about it, by what the disk or bucket says."""


@contextmanager
def store_errors(what: str, uri: str) -> Iterator[None]:
    """Turn what a disk or bucket says into a StoreError of one clear line.

    A file in the place of a folder is a UsageError: no disk is to blame.
    """
    try:
        yield
    except NotADirectoryError as error:
        raise UsageError(f"{uri}: that is a file, or lies below one; name a folder") from error
    except (OSError, pa.ArrowInvalid) as error:
        said = " ".join(str(error).split())
        cures = [cure for words, cure in _CURES.items() if re.search(words, said, re.IGNORECASE)]
        hint = f"; {cures[0]}" if cures else ""
        raise StoreError(f"cannot {what} {uri}: {said}{hint}") from error
