"""A file in, its fingerprint out: what its audio is known by, whatever its name and its tags.

    packets:3f2a...    hash of the packets of its first audio stream, and of how they are decoded
    blake2b:9c01...    hash of all its bytes: of files without packets, and of rows of before

A packet is what the decoder is given: an mp3's frame, a stretch of a wav's samples. Titles, covers,
ID3, APE, Vorbis comments, atoms, chunks and the frames of Xing and LAME are none. So a file that a
player has retagged keeps its fingerprint, and one that lacks a single packet has another.

Nothing is decoded, but FFmpeg takes the file apart: who calls this for files from anywhere does so
in a process that they may crash (`guard`).
"""

from __future__ import annotations

import errno
import hashlib
import io
from pathlib import Path

from pipeline.audio.decoding.container import Container, opened
from pipeline.errors import DecodeError, FetchFault, ItemFault, Reason
from schemas.tags import BYTE_HASH, PACKET_HASH

_DIGEST_BYTES = 16
_STREAMINFO_BYTES = 34
_XIPH_HEADERS = 3
_OUTAGES = {errno.EIO, errno.ESTALE, errno.ETIMEDOUT, errno.ENOTCONN, errno.EHOSTDOWN}
_OUTAGES |= {errno.EHOSTUNREACH, errno.ENETUNREACH, errno.ECONNRESET}


def fingerprint(source: Path | bytes) -> str:
    """Return the fingerprint of a file's packets; of its bytes, where it has no audio.

    Raises
    ------
    ItemFault
        unreadable; of a network's disk that is gone, connection.
    """
    try:
        return packet_fingerprint(source)
    except DecodeError:
        return byte_fingerprint(source)


def packet_fingerprint(source: Path | bytes) -> str:
    """Return the hash of the packets of a file's first audio stream.

    DecodeError, where the file has none or cannot be read.
    """
    digest, n_packets = hashlib.blake2b(digest_size=_DIGEST_BYTES), 0
    with opened(source) as container:
        digest.update(_form(container))
        for packet in container.packets():
            digest.update(packet)
            n_packets += packet.size > 0
    if not n_packets:
        raise DecodeError(Reason.EMPTY, "no packets of audio")
    return f"{PACKET_HASH}{digest.hexdigest()}"


def byte_fingerprint(source: Path | bytes) -> str:
    """Return the hash of a file's bytes; ItemFault, as `fingerprint` raises it."""
    try:
        with io.BytesIO(source) if isinstance(source, bytes) else source.open("rb") as file:
            digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=_DIGEST_BYTES))
    except OSError as error:
        raise read_fault(error) from error
    return f"{BYTE_HASH}{digest.hexdigest()}"


def fingerprint_like(source: Path | bytes, other: str) -> str:
    """Return a file's fingerprint of the kind of another one, with which it is compared."""
    return byte_fingerprint(source) if other.startswith(BYTE_HASH) else fingerprint(source)


def read_fault(error: OSError) -> ItemFault:
    """Return what a disk that cannot be read is of a track: its fault, or that of the network."""
    if error.errno in _OUTAGES:
        return FetchFault(Reason.CONNECTION, str(error))
    return DecodeError(Reason.UNREADABLE, str(error))


def _form(container: Container) -> bytes:
    """Return what besides the packets tells how they sound: codec, rate, channels, its header."""
    form = container.form
    head = f"{form.codec} {form.rate_hz} {form.n_channels} ".encode()
    return head + _without_comments(form.codec, form.header)


def _without_comments(codec: str, header: bytes) -> bytes:
    """Return a codec's header without what an editor of tags may write into it.

    Of FLAC some containers keep all blocks, of which STREAMINFO is the first. Vorbis has three
    packets, of which the second are the comments.

    Sources: xiph.org/flac/format.html; xiph.org/vorbis/doc/Vorbis_I_spec.html, 4.2.
    """
    if codec == "flac":
        return header[:_STREAMINFO_BYTES]
    if codec == "vorbis" and header[:1] == bytes([_XIPH_HEADERS - 1]):
        sizes, at = _laced_sizes(header)
        identification, comments = sizes
        return header[at : at + identification] + header[at + identification + comments :]
    return header


def _laced_sizes(header: bytes) -> tuple[list[int], int]:
    """Return the sizes of all packets but the last of a laced header, and where the first begins.

    A size is a run of bytes of 255 and one that is less, which add up.
    """
    sizes, at = [], 1
    for _ in range(header[0]):
        size = 0
        while header[at : at + 1] == b"\xff":
            size, at = size + 255, at + 1
        sizes.append(size + int.from_bytes(header[at : at + 1]))
        at += 1
    return sizes, at
