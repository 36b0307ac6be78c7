"""How the source is reached: cookies, a proxy, an address. Checked here; no secret comes out again.

yt-dlp would write a cookie file back, and print the lines of one that it cannot read. So it never
sees the file: the cookies are read once a worker, checked, and set in memory. Nothing of them is
left on a disk, not even when the worker is killed.
"""

from __future__ import annotations

import io
import ipaddress
import socket
from dataclasses import dataclass
from http.cookiejar import NETSCAPE_MAGIC_RGX, Cookie  # type: ignore[attr-defined]
from pathlib import Path
from typing import Annotated
from urllib.parse import unquote, urlsplit

from pipeline.errors import UsageError
from pipeline.flags import HIDDEN, Flag

IRMAS = "irmas:"
"""Begins a source that is IRMAS's own folder (`irmas_source`)."""
SOURCE = "where the audio comes from"
"""Title of the flags of a source, for --help."""
PROXY_SCHEMES = ("http", "https", "socks4", "socks4a", "socks5", "socks5h")
COOKIE_FORM = (
    "a Netscape cookies.txt: a first line '# Netscape HTTP Cookie File', then one line per cookie "
    "of 7 fields with tabs between them: domain, TRUE where it begins with a dot, path, TRUE or "
    "FALSE, expiry in s, name, value"
)
_HTTP_ONLY = "#HttpOnly_"
_HIDDEN = "***"


@dataclass(frozen=True, repr=False)
class Access:
    """How the network is reached. Travels to workers as it is: a path, never a cookie."""

    cookies: Annotated[str | None, Flag("FILE"), SOURCE] = None
    """A Netscape cookies.txt, which every machine with a worker has; every worker takes a copy."""
    proxy: Annotated[str | None, Flag("URL"), SOURCE] = None
    """http(s):// or socks5:// proxy for the source; the environment's http_proxy and https_proxy if
    not given."""
    source_address: Annotated[str | None, Flag("IP"), SOURCE] = None
    """This machine's address to ask from; the system's choice if not given."""
    socket_timeout_s: Annotated[float, HIDDEN] = 20.0
    """Give up a connection that is silent for longer."""

    def __post_init__(self) -> None:
        if self.cookies is not None and not self.cookies.startswith("~"):  # a home is each node's
            object.__setattr__(self, "cookies", str(Path(self.cookies).absolute()))
        if self.proxy is not None:
            _check_proxy(self.proxy)
        if self.source_address is not None:
            _check_address(self.source_address)
        if not 0 < self.socket_timeout_s < float("inf"):
            raise UsageError(f"socket timeout {self.socket_timeout_s} s: expected more than 0")

    def __repr__(self) -> str:
        """Show everything but the proxy's password."""
        proxy = self.proxy and self.redacted(self.proxy)
        return (
            f"Access(cookies={self.cookies!r}, proxy={proxy!r}, "
            f"source_address={self.source_address!r}, socket_timeout_s={self.socket_timeout_s})"
        )

    @property
    def is_plain(self) -> bool:
        """Whether neither cookies, nor a proxy, nor an address is asked for."""
        return self.cookies is None and self.proxy is None and self.source_address is None

    @property
    def password(self) -> str | None:
        """The proxy's password, as the URL has it."""
        return urlsplit(self.proxy or "").password

    def redacted(self, text: str) -> str:
        """Return a text without the proxy's password, as it stands in the URL or decoded."""
        for form in (self.password, unquote(self.password)) if self.password else ():
            text = text.replace(form, _HIDDEN)
        return text

    def check_here(self) -> None:
        """Raise UsageError where the address to ask from is not one of this machine."""
        if self.source_address is None:
            return
        is_v6 = ipaddress.ip_address(self.source_address).version == 6
        with socket.socket(socket.AF_INET6 if is_v6 else socket.AF_INET) as probe:
            try:
                probe.bind((self.source_address, 0))
            except OSError as error:
                raise UsageError(
                    f"--source-address {self.source_address}: {error.strerror}; expected an "
                    "address of this machine"
                ) from error


def read_cookies(path: str) -> tuple[Cookie, ...]:
    """Return the cookies of a Netscape cookies.txt; error messages hold no line of it."""
    try:
        text = Path(path).expanduser().read_text("utf-8-sig")
    except OSError as error:
        raise UsageError(f"--cookies {path}: {error.strerror}; expected {COOKIE_FORM}") from error
    except UnicodeDecodeError:
        raise UsageError(f"--cookies {path}: not text; expected {COOKIE_FORM}") from None
    first, *lines = text.split("\n")
    if not NETSCAPE_MAGIC_RGX.match(first):
        found = "JSON" if first.lstrip()[:1] in tuple("[{") else "another first line"
        raise UsageError(f"--cookies {path}: found {found}; expected {COOKIE_FORM}")
    from yt_dlp.cookies import YoutubeDLCookieJar  # as late as can be: yt-dlp takes its time

    jar = YoutubeDLCookieJar(io.StringIO("\n".join([first, *_cookie_lines(lines, path), ""])))
    jar.load()  # knows session cookies and #HttpOnly_
    return tuple(jar)


def _cookie_lines(lines: list[str], path: str) -> list[str]:
    """Return the lines that hold a cookie; what is no cookie, and no comment, is an error."""
    kept = []
    for number, line in enumerate(lines, 2):
        bare = line.removeprefix(_HTTP_ONLY)
        if not bare.strip() or bare.lstrip().startswith("#"):
            continue
        if wrong := _what_is_wrong(bare.split("\t")):
            raise UsageError(f"--cookies {path}:{number}: {wrong}; expected {COOKIE_FORM}")
        kept.append(line)
    return kept


def _what_is_wrong(fields: list[str]) -> str | None:
    if len(fields) != 7:
        return f"{len(fields)} field{'s' * (len(fields) != 1)}"
    domain, has_subdomains, _, _, expires = fields[:5]
    if (has_subdomains == "TRUE") != domain.startswith("."):
        return f"{domain!r} where the second field is {has_subdomains!r}"
    if expires and not expires.replace(".", "", 1).isdecimal():
        return "an expiry that is not a number"
    return None


def _check_proxy(proxy: str) -> None:
    """Raise UsageError that shows nothing of the URL: a wrong one has its password anywhere."""
    try:
        parts = urlsplit(proxy)
        is_good = (
            parts.scheme in PROXY_SCHEMES
            and bool(parts.hostname)
            and parts.port != 0
            and parts.path in ("", "/")
            and not (parts.query or parts.fragment)
        )
    except ValueError:
        is_good = False
    if not is_good:
        raise UsageError(
            "--proxy: not the URL of a proxy; expected http://host:port or "
            "http://name:password@host:port, with / ? # @ in the password as %2F %3F %23 %40, and "
            f"one of {', '.join(PROXY_SCHEMES)}"
        ) from None


def _check_address(address: str) -> None:
    try:
        ipaddress.ip_address(address)
    except ValueError:
        raise UsageError(
            f"--source-address {address!r}: expected an IP address of this machine"
        ) from None
