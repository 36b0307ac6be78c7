"""Tracks in, their windows out: what is done to audio before a model sees it. No torch here.

One row in, one row out: a fault of a track becomes its status and reason. Tracks are rows of `uri,
size_bytes, modified_ns, attempts` and, where the audio is at hand, `bytes`. It runs in a process of
its own (`pipeline.audio.decoding.guard`), which a hostile file may crash.
"""

from __future__ import annotations

import io
import os
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from pathlib import Path
from time import monotonic
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.arrays import Floats
from pipeline.audio.decoding.fingerprint import byte_fingerprint, fingerprint
from pipeline.audio.decoding.guard import TIMEOUT_S, Guard
from pipeline.audio.spectra.logmel import compile_kernel
from pipeline.errors import DecodeError, ItemFault, Reason, UsageError
from pipeline.inference.track_description import Description, Row, computed
from pipeline.inference.track_description import column as column
from pipeline.store.catalogue import is_uri
from pipeline.store.tags.known import KnownContents
from pipeline.store.track import open_track
from schemas.attributes import ATTRIBUTES

SAME = "same"
"""Status of a track whose content is known already: it is not decoded."""
_LEAST_SPEED = 60  # seconds of audio in a second: a decoder that is slower hangs
_READERS = 4  # a bucket's or a server's answers take their time
_AHEAD_BYTES = 256 << 20
"""Of files from a bucket or a server that are read ahead, which are in memory as a whole."""
_UNKNOWN_BYTES = 32 << 20  # where a catalogue doesn't say

_OF_TRACK = (
    ("uri", pa.string()),
    ("fingerprint", pa.string()),
    ("known_as", pa.string()),
    ("size_bytes", pa.int64()),
    ("modified_ns", pa.int64()),
    ("attempts", pa.int32()),
    ("duration_s", pa.float64()),
    ("status", pa.string()),
    ("reason", pa.string()),
    ("detail", pa.string()),
)
_OF_WINDOWS = (
    ("n_windows", pa.int32()),
    ("matrix", pa.large_binary()),
    ("columns", pa.list_(pa.int64())),
    ("starts_s", pa.list_(pa.float64())),
    ("active", pa.list_(pa.bool_())),
)
_TIMES = tuple((key, pa.float64()) for key in ("read_s", "decode_s", "features_s", "attributes_s"))


def described_schema(n_front_ends: int, attributes: Sequence[pa.Field] = ()) -> pa.Schema:
    """DESCRIBED: a track, its windows (a set for each front end) and its attributes."""
    windows = [(column(key, k), kind) for k in range(n_front_ends) for key, kind in _OF_WINDOWS]
    of_sound = [ATTRIBUTES, *attributes] if attributes else []
    return pa.schema([*_OF_TRACK, *windows, *_TIMES, *of_sound])


DESCRIBED = described_schema(1)


def track_of(source: str | os.PathLike[str] | bytes | Floats, sample_rate_hz: int | None) -> Row:
    """Return what `described_rows` takes, of one track: a path or URI, a file's bytes, or samples.

    Samples, `[n_samples]` or `[n_samples, n_channels]`, go through the decoder as all audio does,
    as a wav of 32-bit floats; an array of no such shape, or one without a rate, is a UsageError.
    """
    row: Row = {"uri": "", "size_bytes": None, "modified_ns": None}
    if isinstance(source, np.ndarray):
        source = _as_wav(source, sample_rate_hz)
    if isinstance(source, bytes):
        return row | {"bytes": source, "size_bytes": len(source)}
    return row | {"uri": os.fspath(source)}


def _as_wav(samples: Floats, sample_rate_hz: int | None) -> bytes:
    if sample_rate_hz is None:
        raise UsageError("an array of samples: give its sample_rate_hz, too")
    if not 1 <= samples.ndim <= 2:
        raise UsageError(f"samples of shape {samples.shape}: expected [n_samples] or with channels")
    import soundfile

    file = io.BytesIO()
    soundfile.write(file, samples, sample_rate_hz, format="WAV", subtype="FLOAT")
    return file.getvalue()


def described_rows(
    tracks: Iterable[Row], description: Description, known: KnownContents
) -> Iterator[Row]:
    """Yield the row of DESCRIBED of each track, whatever its bytes do to the decoder.

    Its windows are those of each front end of the `description`, in their order.

    Tracks whose content is `known` are not decoded. Those from a bucket or a server are read ahead,
    some at a time.
    """
    rows = list(tracks)
    is_remote = any(is_uri(row["uri"]) for row in rows)
    for row, opened in _read_ahead(rows) if is_remote else ((row, _opened(row)) for row in rows):
        yield _described(row, opened, description, known)


Opened = tuple[Any, float] | ItemFault


def _read_ahead(rows: Iterable[Row]) -> Iterator[tuple[Row, Opened]]:
    """Yield rows and what was opened of each; a few that are next are in memory, or one large."""
    waiting: deque[tuple[Row, Future[Opened]]] = deque()
    n_bytes = 0
    with ThreadPoolExecutor(_READERS) as pool:
        for row in rows:
            while waiting and (len(waiting) > _READERS or n_bytes + _size_of(row) > _AHEAD_BYTES):
                first, opened = waiting.popleft()
                n_bytes -= _size_of(first)
                yield first, opened.result()
            waiting.append((row, pool.submit(_opened, row)))
            n_bytes += _size_of(row)
        while waiting:
            first, opened = waiting.popleft()
            yield first, opened.result()


def _size_of(track: Row) -> int:
    size_bytes: int | None = track["size_bytes"]
    return _UNKNOWN_BYTES if size_bytes is None else size_bytes


def _opened(track: Row) -> Opened:
    """Return what to decode, and the seconds that it took to get it; or why not."""
    if track.get("bytes"):
        return track["bytes"], 0.0
    began = monotonic()
    try:
        source = open_track(track["uri"])
    except ItemFault as fault:
        return fault
    return source, monotonic() - began


def _described(track: Row, opened: Opened, description: Description, known: KnownContents) -> Row:
    row: Row = {key: track[key] for key in ("uri", "size_bytes", "modified_ns")}
    row["attempts"] = (track.get("attempts") or 0) + 1
    row |= {"status": "ok", "reason": Reason.OK}
    for k in range(len(description.front_ends)):
        row |= {column("n_windows", k): 0, column("matrix", k): b""}
    try:
        if isinstance(opened, ItemFault):
            raise opened
        source, read_s = opened
        guard = _guard(_timeout_s(description))
        if not track.get("bytes"):
            row |= _fingerprints(source, guard, known)
        row["read_s"] = read_s + row.get("read_s", 0.0)
        if row.get("known_as"):
            return row | {"status": SAME}
        guard.prepare(compile_kernel)
        row |= guard.retried(computed, source, description)
    except ItemFault as fault:
        row |= {"status": "failed", "reason": fault.reason, "detail": fault.detail}
    return row


def _fingerprints(source: Path | bytes, guard: Guard, known: KnownContents) -> Row:
    """Return a track's fingerprint, the one that it is known as, if any, and the seconds it took.

    Rows of an older version are known by the hash of their files' bytes. A file that kills who
    takes it apart is known by its bytes, too: whether it decodes is found out next.
    """
    began = monotonic()
    try:
        own = guard.retried(fingerprint, source)
    except DecodeError as error:
        if error.reason not in (Reason.CRASHED, Reason.TOO_SLOW):
            raise
        own = byte_fingerprint(source)
    known_as = own if own in known else None
    if known_as is None and known.has_byte_hashes:
        older = byte_fingerprint(source)
        known_as = older if older in known else None
    return {"fingerprint": own, "known_as": known_as, "read_s": monotonic() - began}


def _timeout_s(description: Description) -> float:
    longest_s = max((one.max_track_s for one in description.front_ends), default=0.0)
    return max(TIMEOUT_S, longest_s / _LEAST_SPEED)


@cache
def _guard(timeout_s: float) -> Guard:
    """Return this process's guard: it lives as long, and its own process dies with it."""
    return Guard(timeout_s=timeout_s)
