"""Which segments of a ledger a later run tries again. PURE."""

from __future__ import annotations

from datetime import datetime, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pyarrow as pa

from pipeline.errors import Outcome, Reason


class Retry(StrEnum):
    """What of earlier runs is tried again."""

    NONE = "none"
    TRANSIENT = "transient"
    """What the line or the server failed at, and, a day later, what is only said to be gone."""
    BLOCKED = "blocked"
    """That, and what we were kept from."""
    ALL = "all"
    """Everything that was not got."""


_RETRIED = {
    Retry.NONE: (),
    Retry.TRANSIENT: (Outcome.NETWORK,),
    Retry.BLOCKED: (Outcome.NETWORK, Outcome.BLOCKED),
    Retry.ALL: tuple(outcome for outcome in Outcome if outcome is not Outcome.OK),
}
_CONFIRM_AFTER = timedelta(days=1)


def is_due(ledger: pa.Table, retry: Retry, *, now: datetime) -> pa.ChunkedArray:
    """Return which rows of a ledger `retry` takes again, `[n_rows]`; `ledger` has latest rows."""
    import pyarrow as pa  # here, as the names of `Retry` are for --help, too
    import pyarrow.compute as pc

    due = pc.is_in(ledger["outcome"], value_set=pa.array(_RETRIED[retry], pa.string()))
    if retry is Retry.NONE:
        return due
    is_old = pc.less(ledger["ended_at"], pa.scalar(now - _CONFIRM_AFTER, pa.timestamp("ms", "UTC")))
    return pc.or_(due, pc.and_(pc.equal(ledger["reason"], Reason.UNCONFIRMED), is_old))
