"""A URL in, a file that can seek out: read in bounded HTTP ranges, so ten seconds cost ten seconds.

FFmpeg reads the container's head and index through it, seeks, and reads the segment. A request
costs more than the bytes of a few blocks, so whoever knows what is read next says so (`expect`),
and it comes in one range. Where the server refuses ranges the whole body is read once and served
from memory.

    file      │head│········│index│···········│ 10 s of audio │···········│
    requests   1st           2nd               3rd: as many bytes as were `expect`ed

What has come is kept as parts, sorted by where they start; a read is served from the part that
holds its first byte, and only what no part holds is asked for.
"""

from __future__ import annotations

import io
import re
import struct
from bisect import bisect_right, insort
from collections.abc import Callable, Iterator
from typing import Any

from pipeline.errors import FetchFault, Reason

BLOCK_BYTES = 32 * 1024
"""The head of a file, and the least that is asked for: FFmpeg itself reads 32 KiB at a time."""
FIRST_FRAMES_BYTES = 4096
"""FFmpeg looks at the first frames behind an index."""
MAX_RANGE_BYTES = 8 << 20
"""YouTube slows down ranges of more than 10 MB."""
MAX_WHOLE_BYTES = 1 << 30
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")
_NOT_SATISFIABLE = 416

Get = Callable[[int, int | None], tuple[int, dict[str, str], bytes]]
"""(first byte, last byte) -> (status, headers in lower case, body); raises what the line raises.

(0, None) asks for the whole, without a Range header.
"""


class RangeFile(io.RawIOBase):
    """A read-only file over a server that may or may not serve ranges."""

    def __init__(self, get: Get) -> None:
        self._get = get
        self._position = 0
        self._parts: dict[int, bytes] = {}
        self._starts: list[int] = []
        self._expected = 0
        self.size = self._open()

    def expect(self, n_bytes: int, *, at: int | None = None) -> None:
        """Say that about `n_bytes` are read on end: from `at`, or from where a seek leads next."""
        held = 0 if at is None else len(self._held(at))
        self._expected = n_bytes - held

    def _open(self) -> int:
        try:
            status, headers, body = self._get(0, BLOCK_BYTES - 1)
        except FetchFault as fault:
            if fault.http_status != _NOT_SATISFIABLE:
                raise
            status, headers, body = self._get(0, None)
        if status != 206:
            return self._keep_whole(body)
        self._keep(0, body)
        first, size = _span_of(headers)
        if first != 0:
            raise FetchFault(Reason.SERVER_ERROR, f"asked for byte 0, got byte {first}")
        self._expected = index_bytes(body, size)
        return size

    def _keep_whole(self, body: bytes) -> int:
        if len(body) > MAX_WHOLE_BYTES:
            raise FetchFault(Reason.TOO_LONG, f"{len(body)} bytes without ranges")
        self._parts, self._starts = {}, []
        self._keep(0, body)
        return len(body)

    def _keep(self, start: int, body: bytes) -> None:
        self._parts[start] = body
        insort(self._starts, start)

    def _held(self, position: int) -> memoryview:
        """Return the bytes at hand from `position` on."""
        index = bisect_right(self._starts, position) - 1
        if index < 0:
            return memoryview(b"")
        start = self._starts[index]
        return memoryview(self._parts[start])[position - start :]

    def _fetch(self, position: int) -> None:
        """Get the bytes at `position` and those that are read with them.

        That is what was expected, or a quarter of all that came before: a reader who hops through
        a file without an index needs few requests, and no more than a quarter in vain.
        """
        n_bytes = max(BLOCK_BYTES, self._expected, sum(map(len, self._parts.values())) // 4)
        n_bytes = min(n_bytes, MAX_RANGE_BYTES)
        index = bisect_right(self._starts, position)
        before = self._starts[index - 1]
        stop = self._starts[index] if index < len(self._starts) else self.size
        last = min(position + n_bytes, stop) - 1
        # who reads the last bytes goes on to read the index before them
        first = max(before + len(self._parts[before]), min(position, self.size - BLOCK_BYTES))
        status, headers, body = self._get(first, last)
        if status == 200:  # another server of theirs, perhaps: it sends the whole
            self.size = self._keep_whole(body)
            return
        if _span_of(headers) != (first, self.size) or first + len(body) <= position:
            raise FetchFault(
                Reason.TRUNCATED,
                f"asked for bytes {first}-{last} of {self.size}, got {len(body)} bytes as "
                f"{headers.get('content-range')!r}",
            )
        self._expected -= len(body)
        self._keep(first, body)

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` from the current position, in part where a range ends; 0 at the end."""
        view = memoryview(buffer)
        if self._position >= self.size or not len(view):
            return 0
        if not len(self._held(self._position)):
            self._fetch(self._position)
        part = self._held(self._position)[: len(view)]
        view[: len(part)] = part
        self._position += len(part)
        return len(part)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the position; costs nothing."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        """Return the position of the next byte to read."""
        return self._position

    def readable(self) -> bool:
        """Return True: the file can be read."""
        return True

    def seekable(self) -> bool:
        """Return True: every byte can be reached."""
        return True


def _span_of(headers: dict[str, str]) -> tuple[int, int]:
    """Return the first byte of a partial answer, and the size of the whole."""
    match = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
    if match is None:
        raise FetchFault(Reason.SERVER_ERROR, "a partial answer without its Content-Range")
    return int(match[1]), int(match[3])


def index_bytes(head: bytes, size: int) -> int:
    """Return how many bytes an MP4's index needs behind the head, or behind the media; else 0.

    The head of an MP4 names its boxes: the `moov` itself, or the `mdat` that the `moov` follows.
    """
    for kind, _, end in _boxes(head):
        if kind == b"moov":
            return min(end + FIRST_FRAMES_BYTES, size) - len(head)
        if kind == b"mdat":
            return max(0, size - end)
    return 0


def has_fragment_index(head: bytes) -> bool:
    """Say whether a `sidx` lists several fragments; one that stands before each lists only it."""
    for kind, at, _ in _boxes(head):
        if kind == b"sidx" and len(head) >= at + 40:
            n_fragments_at = at + (30 if head[at + 8] == 0 else 38)  # by the box's version
            return int.from_bytes(head[n_fragments_at : n_fragments_at + 2]) > 1
    return False


def _boxes(head: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Yield kind, first byte and end of an MP4's boxes that begin in its head."""
    at = 0
    while at + 16 <= len(head):
        n_bytes, kind, n_bytes_long = struct.unpack_from(">I4sQ", head, at)
        end = at + (n_bytes_long if n_bytes == 1 else n_bytes)
        yield kind, at, end
        if end <= at:
            return
        at = end
