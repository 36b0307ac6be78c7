"""Tracks in, their windows out: what is done to audio before a model hears it. No torch here.

One row in, one row out: a fault of a track becomes its status and reason. Tracks are rows of `uri,
size_bytes, modified_ns` and, where the audio is at hand, `bytes`. It runs in a process of its own
(`pipeline.audio.guard`), which a hostile file may crash.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pyarrow as pa

from pipeline.audio.decode import decode
from pipeline.audio.guard import Guard
from pipeline.audio.inputs import Input
from pipeline.audio.windows import WindowSpec, cut_windows, window_starts
from pipeline.errors import DecodeError, ItemFault, Reason
from pipeline.store.catalogue import open_track

MAX_TRACK_S = 2 * 3600.0
"""Longer tracks are rows with reason too_long: a track is held in memory as a whole."""

Row = dict[str, Any]

DESCRIBED = pa.schema(
    [
        ("uri", pa.string()),
        ("fingerprint", pa.string()),
        ("size_bytes", pa.int64()),
        ("modified_ns", pa.int64()),
        ("duration_s", pa.float64()),
        ("status", pa.string()),
        ("reason", pa.string()),
        ("detail", pa.string()),
        ("n_windows", pa.int32()),
        ("windows", pa.large_binary()),
    ]
)


def described(track: Row, heard: Input, windows: WindowSpec) -> Row:
    """Return the row of DESCRIBED of a track, whatever its bytes do to the decoder."""
    row: Row = {key: track[key] for key in ("uri", "size_bytes", "modified_ns")}
    row |= {"status": "ok", "reason": Reason.OK, "n_windows": 0, "windows": b""}
    try:
        source, row["fingerprint"] = (
            (track["bytes"], None) if track.get("bytes") else open_track(track["uri"])
        )
        row |= _guard()(_windows_of, source, heard, windows)
    except ItemFault as fault:
        row |= {"status": "failed", "reason": fault.reason, "detail": fault.detail}
    return row


@cache
def _guard() -> Guard:
    """Return this process's guard: it lives as long, and its own process dies with it."""
    return Guard()


def _windows_of(source: Any, heard: Input, windows: WindowSpec) -> Row:
    samples = decode(source, sample_rate_hz=heard.sample_rate_hz, max_duration_s=MAX_TRACK_S)
    if not len(samples):
        raise DecodeError(Reason.EMPTY, "no audio samples")
    matrix = heard.matrix(samples)
    starts = window_starts(matrix.shape[1], windows, heard)
    cut = cut_windows(matrix, starts, windows.n_frames(heard), silence=heard.silence)
    duration_s = len(samples) / heard.sample_rate_hz
    return {"duration_s": duration_s, "n_windows": len(cut), "windows": cut.tobytes()}
