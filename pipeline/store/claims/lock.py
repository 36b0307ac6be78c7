"""A local folder in, its one writer out: a lock of the kernel's, which ends with its process."""

from __future__ import annotations

import errno
import fcntl
import json
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from io import FileIO
from pathlib import Path

from pipeline.errors import UsageError
from pipeline.store.claims.holder import new_claim
from pipeline.store.claims.keeper import warn_once
from pipeline.store.store_errors import store_errors
from schemas.claim import ClaimRecord

FILE = ".lock"
_NO_LOCKS = {errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK, errno.EINVAL}
_MOST_BYTES = 1 << 16  # of a claim


@contextmanager
def locked(path: Path, uri: str) -> Iterator[None]:
    """Be the one writer of a local folder; UsageError names the other one, which the file tells.

    On a file system that knows no locks a warning says so, and nothing keeps another job out.
    """
    with store_errors("write", uri):
        path.mkdir(parents=True, exist_ok=True)
        lock = (path / FILE).open("a+b", buffering=0)  # "w" would empty what the holder has written
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise UsageError(f"{uri}: another job is writing there{_holder(lock)}") from error
        except OSError as error:  # of some network and cluster file systems
            if error.errno not in _NO_LOCKS:
                raise
            warn_once(uri, f"its file system has no locks ({error.strerror})")
        with suppress(OSError):  # on a full disk: the lock holds all the same
            lock.truncate(0)
            lock.write(json.dumps(new_claim().to_dict()).encode())
        yield


def _holder(lock: FileIO) -> str:
    """Return who holds a lock; '' where the file does not say it yet."""
    lock.seek(0)
    try:
        return f": {ClaimRecord.from_dict(json.loads(lock.read(_MOST_BYTES)))}"
    except (ValueError, TypeError, AttributeError):
        return ""
