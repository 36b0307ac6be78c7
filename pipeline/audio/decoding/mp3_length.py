"""The length that an encoder wrote into the head of an mp3.

An mp3 is frames after frames, and a cut one looks like a short one. Most encoders say in the first
frame how many there are: Xing's and LAME's ("Xing" where the bit rate varies, "Info" where it does
not), Fraunhofer's ("VBRI"). Where none does, nothing can be said.

Sources: gabriel.mp3-tech.org/mp3infotag.html (Xing, Info, LAME); codeproject.com/Articles/8295
(frame headers, VBRI); id3.org/id3v2.4.0-structure.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import BinaryIO

_KBIT_S = {
    1: (32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320),
    2: (8, 16, 24, 32, 40, 48, 56, 64, 80, 96, 112, 128, 144, 160),
}
"""Layer III, by the major version of MPEG and the header's index, which counts from 1."""
_RATES_HZ = (44_100, 48_000, 32_000)  # of MPEG-1; MPEG-2 has half of them, 2.5 a quarter
_DIVISORS = {3: 1, 2: 2, 0: 4}  # by the header's two bits of version; 1 is reserved
_LAYER_III = 1
_MONO = 3
_HAS_FRAMES, _HAS_BYTES, _HAS_TOC, _HAS_QUALITY = 1, 2, 4, 8
_SEARCH_BYTES = 65_536  # as far as FFmpeg looks for a first frame behind the tags
_LONGEST_FRAME_BYTES = 2_048
_GAPLESS = (b"LAME", b"Lavf", b"Lavc")


@dataclass(frozen=True)
class Frame:
    """What the four bytes at the head of a frame of Layer III say."""

    is_mpeg1: bool
    rate_hz: int
    n_channels: int
    n_bytes: int
    """Of the frame, its head included."""

    @property
    def n_samples(self) -> int:
        """How many samples a frame holds for each channel."""
        return 1152 if self.is_mpeg1 else 576

    @property
    def side_info_bytes(self) -> int:
        """Bytes between the head and the data, where a Xing header begins."""
        return (17, 32)[self.n_channels > 1] if self.is_mpeg1 else (9, 17)[self.n_channels > 1]


@dataclass(frozen=True)
class DeclaredLength:
    """How long an mp3 says it is."""

    duration_s: float
    """Without the encoder's delay and padding, where they are stated."""
    first_byte: int
    """Where the first frame begins, behind the tags."""
    n_bytes: int | None
    """From there to the end of the last frame; None where it is not stated."""


def read_length(file: BinaryIO) -> DeclaredLength | None:
    """Return what an mp3's Xing, Info or VBRI header declares; None where it has none.

    Reads the tags' own heads and 64 KiB behind them, and leaves the file where it was.
    """
    was_at = file.tell()
    try:
        at = _behind_tags(file)
        file.seek(at)
        return find_length(_read(file, _SEARCH_BYTES + _LONGEST_FRAME_BYTES), at)
    finally:
        file.seek(was_at)


def find_length(data: bytes, first_byte: int = 0) -> DeclaredLength | None:
    """Return what the first frame in `data` declares, which stands at `first_byte` of its file."""
    at = data.find(b"\xff")
    while 0 <= at < _SEARCH_BYTES:
        frame = parse_frame(data[at : at + 4])
        if frame is not None:
            if found := _xing(data, at, frame, first_byte) or _vbri(data, at, frame, first_byte):
                return found
            if _is_followed(data, at, frame):
                return None  # a first frame of sound
        at = data.find(b"\xff", at + 1)
    return None


def parse_frame(head: bytes) -> Frame | None:
    """Return what a frame's head says; None where these four bytes are none of Layer III.

    >>> parse_frame(bytes.fromhex("fffb9064"))
    Frame(is_mpeg1=True, rate_hz=44100, n_channels=2, n_bytes=417)
    """
    if len(head) < 4 or head[0] != 0xFF or head[1] & 0xE0 != 0xE0:
        return None
    version, layer = head[1] >> 3 & 3, head[1] >> 1 & 3
    i_bits, i_rate = head[2] >> 4, head[2] >> 2 & 3
    if version not in _DIVISORS or layer != _LAYER_III or i_bits in (0, 15) or i_rate == 3:
        return None
    is_mpeg1 = version == 3
    rate_hz = _RATES_HZ[i_rate] // _DIVISORS[version]
    bit_rate = 1000 * _KBIT_S[1 if is_mpeg1 else 2][i_bits - 1]
    n_bytes = (144 if is_mpeg1 else 72) * bit_rate // rate_hz + (head[2] >> 1 & 1)
    return Frame(is_mpeg1, rate_hz, 1 if head[3] >> 6 == _MONO else 2, n_bytes)


def _is_followed(data: bytes, at: int, frame: Frame) -> bool:
    """Say whether another frame of the same rate stands where this one ends."""
    following = parse_frame(data[at + frame.n_bytes : at + frame.n_bytes + 4])
    return following is not None and following.rate_hz == frame.rate_hz


def _xing(data: bytes, at: int, frame: Frame, first_byte: int) -> DeclaredLength | None:
    """Return a Xing or Info header's length; some writers leave two bytes for a checksum first."""
    starts = (at + 4 + frame.side_info_bytes + n_checksum for n_checksum in (0, 2))
    start = next((one for one in starts if data[one : one + 4] in (b"Xing", b"Info")), None)
    if start is None:
        return None
    flags, place = _number(data, start + 4), start + 8
    n_frames = n_bytes = 0
    if flags & _HAS_FRAMES:
        n_frames, place = _number(data, place), place + 4
    if flags & _HAS_BYTES:
        n_bytes, place = _number(data, place), place + 4
    place += 100 * bool(flags & _HAS_TOC) + 4 * bool(flags & _HAS_QUALITY)
    n_cut = _n_cut(data[place : place + 24])
    return _length(frame, n_frames, n_bytes, n_cut, first_byte + at)


def _n_cut(encoder: bytes) -> int:
    """Return the samples of delay and padding that an encoder's record behind "Xing" states."""
    if not encoder.startswith(_GAPLESS):
        return 0
    both = int.from_bytes(encoder[21:24], "big")
    return (both >> 12) + (both & 0xFFF)


def _vbri(data: bytes, at: int, frame: Frame, first_byte: int) -> DeclaredLength | None:
    start = at + 36
    if data[start : start + 4] != b"VBRI":
        return None
    n_bytes, n_frames = _number(data, start + 10), _number(data, start + 14)
    return _length(frame, n_frames, n_bytes, 0, first_byte + at)


def _length(
    frame: Frame, n_frames: int, n_bytes: int, n_cut: int, first_byte: int
) -> DeclaredLength | None:
    """Return a length; None where the encoder never came back to fill in the number of frames."""
    if not n_frames:
        return None
    n_samples = max(0, n_frames * frame.n_samples - n_cut)
    return DeclaredLength(n_samples / frame.rate_hz, first_byte, n_bytes or None)


def _behind_tags(file: BinaryIO) -> int:
    """Return where the ID3v2 tags at the head of a file end."""
    at = 0
    while True:
        file.seek(at)
        head = _read(file, 10)
        if len(head) < 10 or head[:3] != b"ID3":
            return at
        size = 0
        for byte in head[6:10]:  # seven bits each
            size = size << 7 | byte & 0x7F
        at += 10 + size + (10 if head[5] & 0x10 else 0)  # a footer


def _read(file: BinaryIO, n_bytes: int) -> bytes:
    """Read `n_bytes`, fewer only at the end: a file over HTTP gives a range at a time."""
    parts = io.BytesIO()
    while part := file.read(n_bytes - parts.tell()):
        parts.write(part)
    return parts.getvalue()


def _number(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")
