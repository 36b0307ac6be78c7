"""A URL in, a file that can seek out: read in bounded HTTP ranges, so ten seconds cost ten seconds.

FFmpeg reads the container's head and index through it, seeks, and reads the segment. Where the
server refuses ranges the whole body is read once and served from memory.
"""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from typing import Any

from pipeline.errors import FetchFault, Reason

BLOCK_BYTES = 64 * 1024
MAX_WHOLE_BYTES = 1 << 30
_CONTENT_RANGE = re.compile(r"bytes (\d+)-(\d+)/(\d+)")

Get = Callable[[int, int], tuple[int, dict[str, str], bytes]]
"""(first byte, last byte) -> (status, headers in lower case, body); raises what the line raises."""


class RangeFile(io.RawIOBase):
    """A read-only file over a server that may or may not serve ranges."""

    def __init__(self, get: Get) -> None:
        self._get = get
        self._position = 0
        self._blocks: dict[int, bytes] = {}
        self._whole: bytes | None = None
        self.size = self._open()

    def _open(self) -> int:
        status, headers, body = self._get(0, BLOCK_BYTES - 1)
        if status == 206:
            self._blocks[0] = body
            return self._total_of(headers)
        if len(body) > MAX_WHOLE_BYTES:
            raise FetchFault(Reason.TOO_LONG, f"{len(body)} bytes without ranges")
        self._whole = body
        return len(body)

    def _total_of(self, headers: dict[str, str]) -> int:
        match = _CONTENT_RANGE.fullmatch(headers.get("content-range", ""))
        if match is None:
            raise FetchFault(Reason.SERVER_ERROR, "a partial answer without its Content-Range")
        return int(match[3])

    def _block(self, index: int) -> bytes:
        if index not in self._blocks:
            first = index * BLOCK_BYTES
            last = min(first + BLOCK_BYTES, self.size) - 1
            status, _, body = self._get(first, last)
            if status != 206 or len(body) != last - first + 1:
                raise FetchFault(
                    Reason.TRUNCATED, f"asked for bytes {first}-{last}, got {len(body)} bytes"
                )
            self._blocks[index] = body
        return self._blocks[index]

    def readinto(self, buffer: Any) -> int:
        """Fill `buffer` from the current position; 0 at the end."""
        view = memoryview(buffer)
        if self._position >= self.size or not len(view):
            return 0
        if self._whole is not None:
            part = self._whole[self._position : self._position + len(view)]
        else:
            index, offset = divmod(self._position, BLOCK_BYTES)
            part = self._block(index)[offset : offset + len(view)]
        view[: len(part)] = part
        self._position += len(part)
        return len(part)

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move the position; costs nothing."""
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self.size}[whence]
        self._position = max(0, base + offset)
        return self._position

    def tell(self) -> int:
        """Return the position."""
        return self._position

    def readable(self) -> bool:
        """Return True."""
        return True

    def seekable(self) -> bool:
        """Return True."""
        return True
