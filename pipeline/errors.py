"""Everything that can go wrong, by name.

    TimbreError                 what a user can mend: printed in one line, no traceback
    ├── UsageError              wrong flags or inputs: exit code 2
    │   ├── TableError          a file and a row of it are not what was expected
    │   └── SpecMismatch        two artefacts were made with different specs or classes
    ├── StoreError              a disk or bucket refused: full, forbidden, gone
    ├── SourceUnreachable       the source was down for longer than the caller waits
    ├── ConfigurationFault      this machine or its settings make every item fail: stop the run
    └── ItemFault               what the world did to one item: becomes a row, never stops a run
        ├── FetchFault
        └── DecodeError

A fault of an item carries its `outcome` and `reason`; anything that is not a TimbreError is a bug.
"""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from enum import StrEnum


class Outcome(StrEnum):
    """What became of a segment, in one word."""

    OK = "ok"
    UNAVAILABLE = "unavailable"  # it is gone
    RESTRICTED = "restricted"  # it is there, but not for us: private, age, country, login
    BLOCKED = "blocked"  # we are kept out for now: rate limit, bot check
    NETWORK = "network"  # the line or the server failed: may work later
    REJECTED = "rejected"  # it came, but is not the audio that was asked for
    ERROR = "error"  # the extractor does not understand the page: look into it


class Reason(StrEnum):
    """Why, more exactly. Every reason belongs to one outcome (see `OUTCOME_OF`)."""

    OK = "ok"
    NOT_FOUND = "not_found"
    UNCONFIRMED = "unconfirmed"  # YouTube's bare "Video unavailable": true only if said again
    REMOVED = "removed"
    PRIVATE = "private"
    AGE = "age"
    MEMBERS = "members"
    GEO = "geo"
    DRM = "drm"
    UNAUTHORIZED = "unauthorized"
    RATE_LIMITED = "rate_limited"
    BOT_CHECK = "bot_check"
    FORBIDDEN = "forbidden"
    NO_FORMAT = "no_format"
    SERVER_ERROR = "server_error"
    CONNECTION = "connection"
    TIMEOUT = "timeout"
    TRUNCATED = "truncated"
    NOT_AUDIO = "not_audio"
    EMPTY = "empty"
    TOO_SHORT = "too_short"
    TOO_LONG = "too_long"
    INCOMPLETE = "incomplete"
    UNDECODABLE = "undecodable"
    UNREADABLE = "unreadable"
    CRASHED = "crashed"  # the decoder's process died on it
    TOO_SLOW = "too_slow"  # the decoder did not come back
    TOO_LARGE = "too_large"  # more bytes than are held in memory
    EXTRACTOR = "extractor"


OUTCOME_OF = {
    Reason.OK: Outcome.OK,
    Reason.NOT_FOUND: Outcome.UNAVAILABLE,
    Reason.UNCONFIRMED: Outcome.UNAVAILABLE,
    Reason.REMOVED: Outcome.UNAVAILABLE,
    Reason.PRIVATE: Outcome.RESTRICTED,
    Reason.AGE: Outcome.RESTRICTED,
    Reason.MEMBERS: Outcome.RESTRICTED,
    Reason.GEO: Outcome.RESTRICTED,
    Reason.DRM: Outcome.RESTRICTED,
    Reason.UNAUTHORIZED: Outcome.RESTRICTED,
    Reason.RATE_LIMITED: Outcome.BLOCKED,
    Reason.BOT_CHECK: Outcome.BLOCKED,
    Reason.FORBIDDEN: Outcome.BLOCKED,
    Reason.NO_FORMAT: Outcome.BLOCKED,
    Reason.SERVER_ERROR: Outcome.NETWORK,
    Reason.CONNECTION: Outcome.NETWORK,
    Reason.TIMEOUT: Outcome.NETWORK,
    Reason.TRUNCATED: Outcome.NETWORK,
    Reason.NOT_AUDIO: Outcome.REJECTED,
    Reason.EMPTY: Outcome.REJECTED,
    Reason.TOO_SHORT: Outcome.REJECTED,
    Reason.TOO_LONG: Outcome.REJECTED,
    Reason.INCOMPLETE: Outcome.REJECTED,
    Reason.UNDECODABLE: Outcome.REJECTED,
    Reason.UNREADABLE: Outcome.REJECTED,
    Reason.CRASHED: Outcome.REJECTED,
    Reason.TOO_SLOW: Outcome.REJECTED,
    Reason.TOO_LARGE: Outcome.REJECTED,
    Reason.EXTRACTOR: Outcome.ERROR,
}


class TimbreError(Exception):
    """What a user can mend."""


class UsageError(TimbreError):
    """A flag or an input is not what it must be."""


class TableError(UsageError):
    """One row of one file is not what was expected."""

    def __init__(self, path: str, line: int, found: str, expected: str) -> None:
        super().__init__(f"{path}:{line}: found {found}; expected {expected}")


class SpecMismatch(UsageError):
    """Two artefacts that must agree were made with different specs or classes."""


class StoreError(TimbreError):
    """A disk or bucket refused to read or write."""


class SourceUnreachable(TimbreError):
    """The source was down for longer than the caller waits; nothing that was got is lost."""


class ConfigurationFault(TimbreError):
    """This machine or its settings make every item fail; the message says what to mend."""


class ItemFault(TimbreError):
    """What the world did to one item."""

    def __init__(
        self,
        reason: Reason,
        detail: str,
        *,
        http_status: int | None = None,
        retry_after_s: float | None = None,
    ) -> None:
        super().__init__(f"{reason}: {detail}")
        self.reason = reason
        self.detail = detail
        self.http_status = http_status
        self.retry_after_s = retry_after_s

    @property
    def outcome(self) -> Outcome:
        """The outcome that the reason belongs to."""
        return OUTCOME_OF[self.reason]

    def __reduce__(self) -> tuple[object, ...]:
        """Survive the way through Ray: exceptions with keyword arguments do not by themselves."""
        return _rebuild, (
            type(self),
            self.reason,
            self.detail,
            self.http_status,
            self.retry_after_s,
        )


def _rebuild(
    cls: type[ItemFault],
    reason: Reason,
    detail: str,
    http_status: int | None,
    retry_after_s: float | None,
) -> ItemFault:
    return cls(reason, detail, http_status=http_status, retry_after_s=retry_after_s)


class FetchFault(ItemFault):
    """The source did not hand the item over."""


class DecodeError(ItemFault):
    """The bytes are there, but are not the audio that was asked for."""


def did_you_mean(word: str, known: Iterable[str]) -> str:
    """Return which known word an unknown one may stand for, as a remark; '' where none is near.

    >>> did_you_mean("--modle", ["--model", "--out"]), did_you_mean("--xyz", ["--model"])
    (' (did you mean --model?)', '')
    """
    near = get_close_matches(word, known, n=1)
    return f" (did you mean {near[0]}?)" if near else ""
