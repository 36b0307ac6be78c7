"""One test a rule: the real exception, as yt-dlp raises it, and what it means."""

import pickle
import sys
import time
from email.utils import formatdate

import pytest
from yt_dlp.cookies import CookieLoadError
from yt_dlp.networking import Response
from yt_dlp.networking.exceptions import (
    CertificateVerifyError,
    HTTPError,
    IncompleteRead,
    ProxyError,
    SSLError,
    TransportError,
)
from yt_dlp.utils import (
    ContentTooShortError,
    DownloadError,
    ExtractorError,
    GeoRestrictedError,
)

from pipeline.audio.fetching.fault_reasons import fault_of
from pipeline.errors import ConfigurationFault, Outcome, Reason


def http(status: int, headers: dict[str, str] | None = None) -> HTTPError:
    return HTTPError(Response(None, "http://x/", headers or {}, status))


def embedded(error: Exception) -> DownloadError:
    """Wrap as an embedded YoutubeDL does: the real one in exc_info."""
    try:
        raise error
    except Exception:
        return DownloadError(f"ERROR: [youtube] id: {error}", sys.exc_info())


def youtube(text: str) -> DownloadError:
    return embedded(ExtractorError(text, expected=True, video_id="id"))


CASES = [
    (
        youtube("This content isn\N{RIGHT SINGLE QUOTATION MARK}t available, try again later."),
        Reason.RATE_LIMITED,
    ),
    (youtube("Video unavailable. You've been rate-limited by YouTube"), Reason.RATE_LIMITED),
    (
        youtube("Sign in to confirm you\N{RIGHT SINGLE QUOTATION MARK}re not a bot."),
        Reason.BOT_CHECK,
    ),
    (youtube("YouTube is requiring a captcha challenge before playback"), Reason.BOT_CHECK),
    (
        youtube("All player responses are invalid. Your IP is likely being blocked"),
        Reason.BOT_CHECK,
    ),
    (embedded(http(429)), Reason.RATE_LIMITED),
    (http(402), Reason.RATE_LIMITED),
    (http(403), Reason.FORBIDDEN),
    (youtube("Requested format is not available."), Reason.NO_FORMAT),
    (youtube("Only images are available for download."), Reason.NO_FORMAT),
    (IncompleteRead(10, 90), Reason.TRUNCATED),
    (embedded(ContentTooShortError(10, 100)), Reason.TRUNCATED),
    (youtube("Failed to extract any player response"), Reason.TRUNCATED),
    (http(500), Reason.SERVER_ERROR),
    (embedded(http(503)), Reason.SERVER_ERROR),
    (http(404), Reason.NOT_FOUND),
    (http(410), Reason.NOT_FOUND),
    (http(401), Reason.UNAUTHORIZED),
    (TransportError("timed out"), Reason.TIMEOUT),
    (TransportError("Connection reset by peer"), Reason.CONNECTION),
    (embedded(SSLError("EOF occurred in violation of protocol")), Reason.CONNECTION),
    (ConnectionResetError("reset"), Reason.CONNECTION),
    (youtube("Sign in to confirm your age. This video may be inappropriate"), Reason.AGE),
    (youtube("Private video. Sign in if you've been granted access"), Reason.PRIVATE),
    (youtube("Join this channel to get access to members-only content"), Reason.MEMBERS),
    (embedded(GeoRestrictedError("not from your location")), Reason.GEO),
    (
        youtube("The uploader has not made this video available: blocked it in your country"),
        Reason.GEO,
    ),
    (youtube("Video unavailable. This video has been removed by the uploader"), Reason.REMOVED),
    (youtube("the YouTube account associated with this video has been terminated"), Reason.REMOVED),
    (youtube("no longer available due to a copyright claim by X"), Reason.REMOVED),
    (youtube("This video is DRM protected"), Reason.DRM),
    (youtube("Video unavailable"), Reason.UNCONFIRMED),
    (youtube("This video is not available"), Reason.UNCONFIRMED),
    (youtube("The channel does not exist"), Reason.UNCONFIRMED),
    (embedded(ExtractorError("Unable to extract yt initial data")), Reason.EXTRACTOR),
]


@pytest.mark.parametrize(("error", "reason"), CASES, ids=lambda x: str(x)[:40])
def test_what_an_exception_means(error, reason):
    fault = fault_of(error)
    assert not isinstance(fault, ConfigurationFault)
    assert fault.reason == reason
    assert fault.detail
    assert "\x1b" not in fault.detail


def test_the_status_is_kept_through_the_wrapping():
    assert fault_of(embedded(http(429))).http_status == 429
    assert fault_of(embedded(http(429))).outcome == Outcome.BLOCKED


@pytest.mark.parametrize("is_date", [False, True])
def test_retry_after_is_kept_as_seconds(is_date):
    header = formatdate(time.time() + 90, usegmt=True) if is_date else "90"
    fault = fault_of(embedded(http(429, {"Retry-After": header})))
    assert 80 <= fault.retry_after_s <= 91
    assert pickle.loads(pickle.dumps(fault)).retry_after_s == fault.retry_after_s


@pytest.mark.parametrize("header", ["soon", "-3", "Wed, 21 Oct"])
def test_a_retry_after_that_says_nothing_is_none(header):
    assert fault_of(http(503, {"Retry-After": header})).retry_after_s is None


@pytest.mark.parametrize(
    ("error", "cure"),
    [
        (embedded(CookieLoadError("cannot load")), "--cookies"),
        (embedded(ProxyError("refused")), "--proxy"),
        (CertificateVerifyError("self-signed"), "CA certificates"),
        (youtube("No supported JavaScript runtime could be found"), "deno"),
    ],
)
def test_a_fault_of_the_configuration_stops_the_run_with_its_cure(error, cure):
    fault = fault_of(error)
    assert isinstance(fault, ConfigurationFault)
    assert cure in str(fault)
