"""What can be wrong with a video, for how long, and what the demo's server then says."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from http import HTTPStatus


class Fault(StrEnum):
    """What is wrong with a video."""

    NONE = "none"
    UNAUTHORIZED = "unauthorized"
    PAYMENT = "payment"
    FORBIDDEN = "forbidden"
    MISSING = "missing"
    GONE = "gone"
    THROTTLED = "throttled"
    BROKEN = "broken"
    OVERLOADED = "overloaded"
    RESET = "reset"
    """The line is reset before an answer."""
    RESET_MIDWAY = "reset_midway"
    """The line is reset where the file's half is reached."""
    TRUNCATED = "truncated"
    """The headers promise it all, but no byte beyond its half ever comes: the line breaks."""
    STALL = "stall"
    """No answer, for as long as the client waits."""
    NO_RANGES = "no_ranges"
    """200 and the whole, whatever range is asked for."""
    RANGES_REFUSED = "ranges_refused"
    """416 for every range; the whole without one."""
    NOT_AUDIO = "not_audio"
    """200, and a page of HTML."""
    GARBAGE = "garbage"
    """Random bytes under the name and type of an audio file."""
    SHORT = "short"
    """The file's first half, as if it were the whole."""


STATUS_OF = {
    Fault.UNAUTHORIZED: HTTPStatus.UNAUTHORIZED,
    Fault.PAYMENT: HTTPStatus.PAYMENT_REQUIRED,
    Fault.FORBIDDEN: HTTPStatus.FORBIDDEN,
    Fault.MISSING: HTTPStatus.NOT_FOUND,
    Fault.GONE: HTTPStatus.GONE,
    Fault.THROTTLED: HTTPStatus.TOO_MANY_REQUESTS,
    Fault.BROKEN: HTTPStatus.INTERNAL_SERVER_ERROR,
    Fault.OVERLOADED: HTTPStatus.SERVICE_UNAVAILABLE,
}


@dataclass(frozen=True)
class InjectedFault:
    """A fault, and for how long."""

    fault: Fault
    n_failures: int | None = None
    """How many requests meet it; the next ones are answered well. None: all of them."""
    retry_after: str | None = None
    """What the header Retry-After says: seconds, or a date."""
