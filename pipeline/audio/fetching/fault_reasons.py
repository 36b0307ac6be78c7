"""What a download's exception means: yt-dlp's exceptions and YouTube's messages in, a fault out.

One table, read from top to bottom: the first rule that fits decides. The order matters: YouTube
puts a rate limit behind "Video unavailable", and a network error can wrap any later message.
"""

from __future__ import annotations

import http.client
import re
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from yt_dlp.cookies import CookieLoadError
from yt_dlp.networking.exceptions import (
    CertificateVerifyError,
    HTTPError,
    IncompleteRead,
    ProxyError,
    TransportError,
)
from yt_dlp.utils import ContentTooShortError, ExtractorError, GeoRestrictedError

from pipeline.errors import ConfigurationFault, FetchFault, Reason


@dataclass(frozen=True)
class Rule:
    """A reason, and what tells it: an HTTP status, an exception's type, or words of the message."""

    reason: Reason | None
    """None: a fault of this machine's configuration, which stops the run."""
    text: str = ""
    """Regular expression, matched without regard to case in every message of the chain."""
    types: tuple[type[BaseException], ...] = ()
    statuses: range | tuple[int, ...] = ()

    def fits(self, chain: list[BaseException], text: str, status: int | None) -> bool:
        """Say whether this rule tells what the chain of exceptions means."""
        return (
            status in self.statuses
            or any(isinstance(error, self.types) for error in chain)
            or bool(self.text and re.search(self.text, text, re.IGNORECASE))
        )


RULES = (
    Rule(Reason.RATE_LIMITED, "content isn't available, try again later|rate-limited by YouTube"),
    Rule(Reason.BOT_CHECK, "not a bot|requiring a captcha challenge|IP is likely being blocked"),
    Rule(Reason.RATE_LIMITED, statuses=(402, 429)),
    Rule(Reason.FORBIDDEN, statuses=(403,)),
    Rule(Reason.NO_FORMAT, "Requested format is not available|Only images are available"),
    Rule(None, types=(CookieLoadError, ProxyError, CertificateVerifyError)),
    Rule(None, "No supported JavaScript runtime"),
    Rule(
        Reason.TRUNCATED,
        "Incomplete data received|Failed to extract any player response",
        types=(IncompleteRead, http.client.IncompleteRead, ContentTooShortError),
    ),
    Rule(Reason.SERVER_ERROR, statuses=range(500, 600)),
    Rule(Reason.NOT_FOUND, statuses=(404, 410)),
    Rule(Reason.UNAUTHORIZED, statuses=(401,)),
    Rule(Reason.TIMEOUT, r"timed? ?out", types=(TimeoutError,)),
    Rule(Reason.CONNECTION, types=(TransportError, ConnectionError)),
    Rule(Reason.AGE, "confirm your age|age-restricted|inappropriate"),
    Rule(Reason.PRIVATE, "Private video|This video is private"),
    Rule(Reason.MEMBERS, "members-only|Join this channel"),
    Rule(Reason.GEO, "blocked it in your country", types=(GeoRestrictedError,)),
    Rule(
        Reason.REMOVED,
        "removed by the uploader|account .*terminated|removed for violating|copyright",
    ),
    Rule(Reason.DRM, r"\bDRM\b"),
    Rule(Reason.UNCONFIRMED, "Video unavailable|This video is not available|does not exist"),
)

CURE = {
    CookieLoadError: "check --cookies: a Netscape cookies.txt that this user may read",
    ProxyError: "check --proxy, or the http_proxy and https_proxy of the environment",
    CertificateVerifyError: "mend this machine's CA certificates, or its clock",
}
_RUNTIME_CURE = "install a JavaScript runtime: pip install 'yt-dlp[deno]'"


def fault_of(error: BaseException) -> FetchFault | ConfigurationFault:
    """Return what an exception of a download means, with its original message."""
    chain = list(_chain(error))
    messages = [_message(link) for link in chain]
    text = "\n".join(messages).replace("\N{RIGHT SINGLE QUOTATION MARK}", "'")
    answer = next((link for link in chain if isinstance(link, HTTPError)), None)
    status = answer.status if answer else None
    wait_s = _seconds(answer.response.headers.get("Retry-After")) if answer else None
    rule = next((rule for rule in RULES if rule.fits(chain, text, status)), None)
    detail = messages[0]
    if rule is None:
        return FetchFault(Reason.EXTRACTOR, detail, http_status=status)
    if rule.reason is None:
        cures = [cure for type_, cure in CURE.items() if any(isinstance(x, type_) for x in chain)]
        return ConfigurationFault(f"{detail}: {cures[0] if cures else _RUNTIME_CURE}")
    return FetchFault(rule.reason, detail, http_status=status, retry_after_s=wait_s)


def _seconds(retry_after: str | None) -> float | None:
    """Return a Retry-After header, seconds or a date, in seconds from now; None where neither."""
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        then = parsedate_to_datetime(retry_after)
        return max(0.0, (then - datetime.now(UTC)).total_seconds())
    except (TypeError, ValueError):  # not a date, or one without a zone
        return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """Yield the exception and what it wraps: yt-dlp hides the real one in exc_info and cause."""
    seen: set[int] = set()
    queue: list[object] = [error]
    while queue:
        link = queue.pop(0)
        if not isinstance(link, BaseException) or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        exc_info = getattr(link, "exc_info", None) or (None, None, None)
        queue += [exc_info[1], getattr(link, "cause", None), link.__cause__, link.__context__]


def _message(error: BaseException) -> str:
    text = error.orig_msg if isinstance(error, ExtractorError) else str(error)
    return re.sub(r"^ERROR: |\x1b\[[0-9;]*m", "", text) or type(error).__name__
