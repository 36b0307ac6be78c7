"""How long an open file's header says it is: a file with less is `incomplete`.

Samples that were decoded are held against it, never packets or time stamps. Where a length is only
FFmpeg's guess from the bit rate (aac, ogg, an mp3 without a header of its own) nothing is said.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import BinaryIO

import av

from pipeline.audio.decoding.mp3_length import read_length

_SHORT_S, _SHORT_SHARE = 1.0, 0.02
"""A header may be this much off the truth."""
_SHORT_MP3_S = 0.25
"""Some encoders count their header as a frame, or flush one or two more than they count."""
_SCRATCHED_SHARE = 0.1
"""Where no bytes are missing: frames that do not decode are left out up to a tenth of a file."""
_EXACT_DURATIONS = ("w64", "flac", "aiff", "caf", "mov,", "tta", "ape", "wv")
_HEAD_BYTES = 4096
_UNKNOWN_BYTES = (range(0x7FFF_0000, 0x8000_0001), range(0xF000_0000, 1 << 32))
"""Who writes a wav to a pipe puts the largest number, signed (SoX) or not, or nearly."""


@dataclass(frozen=True)
class Declared:
    """How long a file says it is, and by how much it may be shorter."""

    duration_s: float
    tolerance_s: float

    def lacks(self, got_s: float) -> bool:
        """Say whether so many seconds of sound are too few."""
        return self.duration_s - got_s > self.tolerance_s


def declared_length(
    container: av.container.InputContainer, stream: av.audio.stream.AudioStream, file: BinaryIO
) -> Declared | None:
    """Return how long a file says it is; None where it does not say.

    Reads the head of a wav or mp3, and leaves the file where it was.
    """
    name = container.format.name
    if name == "mp3":
        return _of_mp3(file, container.size)
    duration_s: float | None = None
    if name == "wav":
        duration_s = _wav_s(file)
    elif name.startswith("matroska"):
        duration_s = (container.duration or 0) / av.time_base if len(container.streams) == 1 else 0
    elif name.startswith(_EXACT_DURATIONS) and stream.duration is not None:
        duration_s = float(stream.duration * (stream.time_base or 0))
    if not duration_s:
        return None
    return Declared(duration_s, max(_SHORT_S, _SHORT_SHARE * duration_s))


def _of_mp3(file: BinaryIO, n_bytes: int) -> Declared | None:
    found = read_length(file)
    if found is None:
        return None
    is_cut = found.n_bytes is None or n_bytes - found.first_byte < found.n_bytes
    share = _SHORT_SHARE if is_cut else _SCRATCHED_SHARE
    return Declared(found.duration_s, max(_SHORT_MP3_S, share * found.duration_s))


def _wav_s(file: BinaryIO) -> float | None:
    """Return how long a wav's header says it is: FFmpeg believes the size of the file instead."""
    was_at = file.tell()
    file.seek(0)
    head = file.read(_HEAD_BYTES)
    file.seek(was_at)
    if not (head[:4] == b"RIFF" and head[8:12] == b"WAVE"):
        return None
    at, bytes_per_s = 12, 0
    while at + 8 <= len(head):
        name, n_bytes = head[at : at + 4], int.from_bytes(head[at + 4 : at + 8], "little")
        if name == b"fmt ":
            bytes_per_s = int.from_bytes(head[at + 16 : at + 20], "little")
        if name == b"data":
            is_known = bytes_per_s and not any(n_bytes in most for most in _UNKNOWN_BYTES)
            return n_bytes / bytes_per_s if is_known else None
        at += 8 + n_bytes + n_bytes % 2
    return None
