"""A local folder in, its one writer out: a lock of the kernel's, which ends with its process."""

from __future__ import annotations

import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

from pipeline.errors import UsageError
from pipeline.store.claims.holder import new_claim
from pipeline.store.store_errors import store_errors
from schemas.claim import ClaimRecord

FILE = ".lock"


@contextmanager
def locked(path: Path, uri: str) -> Iterator[None]:
    """Be the one writer of a local folder; UsageError names the other one, which the file tells."""
    with store_errors("write", uri):
        path.mkdir(parents=True, exist_ok=True)
        lock = (path / FILE).open("a+")  # not "w": that would empty what the holder has written
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(f"{uri}: another job is writing there{_holder(lock)}") from error
        with store_errors("write", uri):
            lock.truncate(0)
            lock.write(json.dumps(new_claim().to_dict()))
            lock.flush()
        yield


def _holder(lock: TextIO) -> str:
    """Return who holds a lock; '' where the file does not say it yet."""
    lock.seek(0)
    try:
        return f": {ClaimRecord.from_dict(json.loads(lock.read()))}"
    except (ValueError, TypeError, AttributeError):
        return ""
