"""A folder in a bucket in, a job that holds its lease while it runs: a thread renews it.

A job that has lost its lease is stopped at once, whatever it does: its workers write, too, and they
end with it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from threading import Event, Thread

from pyarrow import fs

from pipeline.store.claims.lease import FILE, Lease
from pipeline.store.claims.main_thread import raised_in_main
from pipeline.store.claims.objects import ConditionalObject

_ENDS_S = 5.0
_log = logging.getLogger(__name__)


@contextmanager
def leased(
    filesystem: fs.FileSystem, path: str, options: str, uri: str
) -> Iterator[Callable[[], None]]:
    """Be the one writer of a folder in a bucket; UsageError names the other one.

    Gives what every write asks first: StoreError where the lease is lost. A store without
    conditional writes gets a warning, and no lease.
    """
    if not isinstance(filesystem, fs.S3FileSystem):
        warn_once(f"{uri.partition('://')[0]}://", "only S3 and what speaks like it has leases")
        yield _always
        return
    lease = Lease(ConditionalObject(filesystem, f"{path}/{FILE}", options), uri)
    if not lease.take():
        warn_once(path.partition("/")[0], "the store knows no conditional writes")
        yield _always
        return
    with kept(lease):
        yield lease.check


@contextmanager
def kept(lease: Lease) -> Iterator[None]:
    """Renew a lease that was taken while the block runs; StoreError in it where it is lost."""
    over = Event()
    with raised_in_main(lambda: lease.lost) as stop_main:
        thread = Thread(target=_renew, args=(lease, over, stop_main), name="lease", daemon=True)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join(_ENDS_S)  # longer where the store does not answer: then it expires
            if not thread.is_alive():
                lease.release()
    if lease.lost is not None:
        raise lease.lost


def _renew(lease: Lease, over: Event, stop_main: Callable[[Event], None]) -> None:
    while not over.wait(lease.times.renew_s):
        with suppress(OSError):  # the next try may come through; `renew` counts the seconds
            lease.renew()
        if lease.lost is not None:
            stop_main(over)
            return


def _always() -> None:
    """Let every write go on."""


@lru_cache
def warn_once(place: str, why: str) -> None:
    """Warn that nothing keeps two jobs apart; the cache says it once a process and place."""
    _log.warning("warning: %s: %s, so nothing keeps two jobs out of one --out there", place, why)
