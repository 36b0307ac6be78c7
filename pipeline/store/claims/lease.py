"""A folder in a bucket in, its one writer out: an object `.lease` that its holder writes again.

A bucket has no lock, but it can refuse a write: `If-None-Match: *` writes only where nothing is,
`If-Match: ETAG` only over what was read. So of two jobs that want a lease one gets it, and a holder
whose lease was taken over learns it when it next renews. A lease that is not renewed expires: a job
that was killed keeps nobody out for longer than that.

This module needs no thread; `keeper` renews a lease while a job runs.
"""

from __future__ import annotations

import json
import threading
import time
from contextlib import suppress
from dataclasses import dataclass, replace

from pipeline.errors import StoreError, UsageError
from pipeline.store.claims.holder import is_dead, new_claim
from pipeline.store.claims.objects import ConditionalObject, NoConditions
from pipeline.store.store_errors import store_errors
from schemas.claim import ClaimRecord

FILE = ".lease"
_NO_ETAG = f'"{"0" * 32}"'
_TRIES = 3
_AGAIN_S = 0.2


@dataclass(frozen=True)
class LeaseTimes:
    """How a lease is kept, in seconds. What a holder says in its lease counts for all others."""

    renew_s: float = 15.0
    """From one renewal to the next: 240 small writes an hour, 0.12 cents at AWS."""
    stop_s: float = 90.0
    """A holder that has not renewed for so long writes no more: five renewals in a row may fail, as
    in a short outage of the store."""
    expire_s: float = 120.0
    """Others may take the lease over after so long: half a minute later, for the holder's writes
    that are under way."""


TIMES = LeaseTimes()


@dataclass(frozen=True)
class _Seen:
    """A lease as it lies in the bucket; `claim` is None where it is not one that can be read."""

    claim: ClaimRecord | None
    etag: str
    age_s: float

    def left_s(self, times: LeaseTimes) -> float:
        """Return in how many seconds the lease is free, if nothing happens."""
        if self.claim is not None and (self.claim.is_ended or is_dead(self.claim)):
            return 0.0
        told = self.claim.expires_after_s if self.claim else None
        return max((told or times.expire_s) - self.age_s, 0.0)


class Lease:
    """A job's lease of one folder; its methods may be called by several threads."""

    def __init__(self, place: ConditionalObject, uri: str, times: LeaseTimes = TIMES) -> None:
        self.times = times
        self.lost: StoreError | None = None
        """Why the job may write no more; None while it may."""
        self._place, self._uri = place, uri
        self._claim = new_claim(expires_after_s=times.expire_s)
        self._etag = ""
        self._renewed_s = 0.0
        self._lock = threading.Lock()

    def take(self) -> bool:
        """Become the holder; UsageError names another one, False: the store knows no conditions."""
        with store_errors("write", self._uri):
            try:
                self._renewed_s, self._etag = _now_s(), self._taken()
                is_kept_apart = self._is_kept_apart()
            except NoConditions:
                is_kept_apart = False
            if not is_kept_apart:
                with suppress(OSError):
                    self._place.delete()
            return is_kept_apart

    def check(self) -> None:
        """Raise StoreError where the job may write no more; for every write, before it."""
        if self.lost is None and _now_s() - self._renewed_s > self.times.stop_s:
            with store_errors("write", self._uri):
                self.renew()  # after a long pause: it may still be ours
        if self.lost is not None:
            raise self.lost

    def renew(self) -> None:
        """Write the lease again, or find that it is lost; OSError where the store does not answer.

        After `stop_s` without an answer it is lost, too.
        """
        with self._lock:
            began_s = _now_s()
            self._claim = replace(self._claim, n_renewals=self._claim.n_renewals + 1)
            try:
                etag = self._put(self._etag)
            except OSError as error:
                if (silent_s := _now_s() - self._renewed_s) > self.times.stop_s:
                    self._lose(f"the store could not be asked for {silent_s:.0f} s: {error}")
                raise
            if etag is None:
                self._lose(self._successor())
            else:
                self._etag, self._renewed_s = etag, began_s

    def release(self) -> None:
        """Say in the lease that the folder is free; where that fails it expires.

        It is not deleted: not all stores can delete on a condition, and it may be another's by now.
        """
        with self._lock, suppress(OSError, NoConditions):
            if self.lost is None:
                self._place.replace(_bytes(replace(self._claim, is_ended=True)), self._etag)

    def _taken(self) -> str:
        """Return the ETag of the lease, written by us where none was valid."""
        for _ in range(_TRIES):
            etag = self._place.create(_bytes(self._claim))
            if etag is not None:
                return etag
            seen = self._seen()
            if seen is None:  # two began at once, and neither is there yet
                time.sleep(_AGAIN_S)
                continue
            if seen.claim == self._claim:  # its answer was lost on the way, and it was sent again
                return seen.etag
            if seen.left_s(self.times):
                raise UsageError(_refusal(self._uri, seen, self.times))
            etag = self._put(seen.etag)
            if etag is not None:
                return etag
        raise UsageError(f"{self._uri}: other jobs begin there at the same time; try again")

    def _is_kept_apart(self) -> bool:
        """Say whether the store heeds conditions: some write whatever a condition says."""
        data = _bytes(self._claim)
        return self._place.create(data) is None and self._place.replace(data, _NO_ETAG) is None

    def _put(self, etag: str) -> str | None:
        """Write the claim over an ETag; return the new one, or None where that is no more there."""
        for _ in range(_TRIES):
            new = self._place.replace(_bytes(self._claim), etag)
            if new is not None:
                return new
            seen = self._seen()
            if seen is None or seen.claim is None or seen.claim.run_id != self._claim.run_id:
                return None
            if seen.claim == self._claim:  # the answer was lost, and the request sent again
                return seen.etag
            etag = seen.etag  # of a renewal whose answer was lost
        raise OSError("the store is busy with other writes of the lease")

    def _successor(self) -> str:
        """Return who has the lease now that it is lost."""
        seen = self._seen()
        return (
            "the lease was deleted" if seen is None else f"the folder was taken over: {_who(seen)}"
        )

    def _lose(self, why: str) -> None:
        self.lost = StoreError(
            f"cannot write {self._uri}: this job lost its lease, and writes no more: {why}; when "
            "nobody writes there, run the same command again"
        )

    def _seen(self) -> _Seen | None:
        """Return the lease that is there; None where none is."""
        found = self._place.read()
        if found is None:
            return None
        claim = None
        with suppress(ValueError, TypeError, AttributeError):
            claim = ClaimRecord.from_dict(json.loads(found.data))
        return _Seen(claim, found.etag, found.age_s)


def _refusal(uri: str, seen: _Seen, times: LeaseTimes) -> str:
    return (
        f"{uri}: another job is writing there: {_who(seen)}; it last said so {seen.age_s:.0f} s "
        f"ago (if it was killed, the folder is free in {seen.left_s(times):.0f} s)"
    )


def _who(seen: _Seen) -> str:
    return str(seen.claim or "a job whose lease this program cannot read")


def _bytes(claim: ClaimRecord) -> bytes:
    return json.dumps(claim.to_dict(), indent=2).encode() + b"\n"


def _now_s() -> float:
    """Return a clock that goes on while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)
