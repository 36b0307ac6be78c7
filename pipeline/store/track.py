"""A track's uri in, its path or bytes out: what the decoder takes.

Whatever keeps a track from being read is an ItemFault, as it becomes a row.
"""

from __future__ import annotations

import ipaddress
import os
import socket
from pathlib import Path
from typing import BinaryIO, cast
from urllib.parse import urlsplit

from pipeline.audio.decoding.fingerprint import read_fault
from pipeline.audio.fetching.ranges import RangeFile
from pipeline.errors import DecodeError, FetchFault, ItemFault, Reason, StoreError, UsageError
from pipeline.store.catalogue import is_uri
from pipeline.store.folder import Folder
from pipeline.store.uris import split_uri

MAX_REMOTE_BYTES = 1 << 30
"""A remote track is held in memory as a whole; a local one is read where it is."""


def open_track(uri: str) -> Path | bytes:
    """Return a track for the decoder: the path of a local one, the bytes of another.

    Raises
    ------
    ItemFault
        unreadable, too_large, or what the line says: not_found, connection, timeout, ...; of a
        bucket that refuses, and of a disk or a folder that is gone, connection.
    """
    try:
        refuse_local_uri(uri)
        if is_uri(uri):
            return _read_url(uri) if uri.startswith(("http://", "https://")) else _read(uri)
        path = Path(uri).absolute()  # the decoder's process may have been started elsewhere
        if not path.is_file():
            raise _no_file(path)
        return path
    except OSError as error:
        raise read_fault(error) from error
    except (ValueError, StoreError, UsageError) as error:
        if _may_pass(error):
            raise FetchFault(Reason.CONNECTION, str(error)) from error
        raise DecodeError(Reason.UNREADABLE, str(error)) from error


def _no_file(path: Path) -> ItemFault:
    """Return what a path without a file is: a fault that may pass where its whole folder is gone.

    The folder where a disk is mounted stays behind when the disk goes, and is empty.
    """
    if path.exists():
        return DecodeError(Reason.UNREADABLE, "not a regular file")
    if not path.parent.is_dir() or _is_empty(path.parent):
        text = f"no such file, and its folder {path.parent} is gone or empty"
        return FetchFault(Reason.CONNECTION, text)
    return DecodeError(Reason.UNREADABLE, "no such file")


def _is_empty(folder: Path) -> bool:
    with os.scandir(folder) as entries:  # not all names are read, as `iterdir` does
        return next(entries, None) is None


def refuse_local_uri(uri: str) -> None:
    """Raise FetchFault for a URI by which pyarrow would open a file of this machine."""
    if uri.lower().startswith(("file:", "local:")):
        raise FetchFault(
            Reason.FORBIDDEN, "file: and local: URIs are not read: name a path instead"
        )


def _may_pass(error: Exception) -> bool:
    """Say whether a bucket refused: a key that expired is no track's fault."""
    cause = error.__cause__
    is_refusal = isinstance(cause, OSError) and not isinstance(cause, FileNotFoundError)
    return isinstance(error, StoreError) and is_refusal


def _read(uri: str) -> bytes:
    folder, name = split_uri(uri)
    source = Folder(folder)
    _check_size(source.stat(name)[0])
    return source.read_bytes(name)


def _read_url(url: str) -> bytes:
    from pipeline.audio.fetching.remote_file import url_file  # here, as yt-dlp takes its time

    with url_file(url, check=check_host) as file:
        ranges = cast(RangeFile, file)
        _check_size(ranges.size)
        ranges.expect(ranges.size)
        return _all_of(file)


def _all_of(file: BinaryIO) -> bytes:
    return b"".join(iter(lambda: file.read(1 << 20), b""))


def _check_size(n_bytes: int) -> None:
    if n_bytes > MAX_REMOTE_BYTES:
        raise DecodeError(
            Reason.TOO_LARGE,
            f"{n_bytes} bytes: a track that is not on a local disk may have {MAX_REMOTE_BYTES}",
        )


def check_host(url: str) -> None:
    """Refuse addresses where a cloud keeps its machines' secrets: a catalogue may be anybody's.

    So may a server, which leads on to wherever it likes.
    """
    host = urlsplit(url).hostname or ""
    try:
        found = {str(info[4][0]) for info in socket.getaddrinfo(host, None)}
    except OSError as error:
        raise FetchFault(Reason.CONNECTION, f"{host}: {error}") from error
    if any(is_forbidden(address) for address in found):
        raise FetchFault(Reason.FORBIDDEN, f"{host} is a link-local address: not read")


def is_forbidden(address: str) -> bool:
    """Say whether an address is link-local, or the one where AWS serves metadata over IPv6.

    >>> is_forbidden("169.254.169.254"), is_forbidden("fd00:ec2::254"), is_forbidden("10.0.0.1")
    (True, True, False)
    """
    ip = ipaddress.ip_address(address.partition("%")[0])
    mapped = getattr(ip, "ipv4_mapped", None) or ip
    return mapped.is_link_local or mapped == ipaddress.ip_address("fd00:ec2::254")
