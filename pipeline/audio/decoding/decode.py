"""Bytes, a path or a readable file in; mono float32 at the asked rate out, whole or a span by seek.

What FFmpeg's libraries refuse, its command line is asked for (`pipeline.audio.decoding.ffmpeg`).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path

import av.error
import numpy as np

from pipeline.arrays import Float32
from pipeline.audio.decoding.container import (
    PREROLL_S,
    AudioInput,
    Container,
    TimedFrame,
    is_url,
    opened,
)
from pipeline.audio.decoding.ffmpeg import LOUDEST, decode_by_command, is_audible
from pipeline.audio.decoding.resample import mono_blocks
from pipeline.errors import DecodeError, Reason


def decode(
    source: AudioInput,
    *,
    sample_rate_hz: int,
    start_s: float = 0.0,
    duration_s: float | None = None,
    max_duration_s: float | None = None,
) -> Float32:
    """Return mono audio, `[n_samples]`, channels averaged.

    Parameters
    ----------
    source
        A path, an http(s) URL (read in ranges, and so only as far as the span asks), the bytes of a
        file, or a binary file that can seek. A fault that its `read` raises comes through
        unchanged, as a URL's FetchFault does.
    sample_rate_hz
        Rate of the result.
    start_s, duration_s
        The span, by seek; to the end where `duration_s` is None. Where the file ends sooner the
        result is shorter.
    max_duration_s
        Give up on files that go on for longer than this.

    Raises
    ------
    DecodeError
        not_audio, empty, too_long, incomplete, undecodable or unreadable, with FFmpeg's message.
    """
    blocks = list(
        decode_blocks(
            source,
            sample_rate_hz=sample_rate_hz,
            start_s=start_s,
            duration_s=duration_s,
            max_duration_s=max_duration_s,
        )
    )
    return np.concatenate(blocks) if blocks else np.zeros(0, np.float32)


def decode_blocks(
    source: AudioInput,
    *,
    sample_rate_hz: int,
    start_s: float = 0.0,
    duration_s: float | None = None,
    max_duration_s: float | None = None,
) -> Iterator[Float32]:
    """Yield what `decode` returns, a second or two at a time: for files too long for the memory.

    What only FFmpeg's command line decodes comes as one block. Raises what `decode` raises,
    wherever it is met.
    """
    has_begun = False
    try:
        for block in _by_libraries(source, sample_rate_hz, start_s, duration_s, max_duration_s):
            has_begun = True
            yield block
    except DecodeError as error:
        refused = isinstance(error.__cause__, av.error.FFmpegError) and not has_begun
        if not refused or not isinstance(source, str | Path | bytes) or is_url(source):
            raise
        whole = decode_by_command(
            source, sample_rate_hz=sample_rate_hz, max_duration_s=max_duration_s
        )
        if whole is None:
            raise
        if max_duration_s is not None:
            _check_length(len(whole), max_duration_s, sample_rate_hz)
        first = round(start_s * sample_rate_hz)
        last = None if duration_s is None else first + round(duration_s * sample_rate_hz)
        yield whole[first:last]


def _by_libraries(
    source: AudioInput,
    sample_rate_hz: int,
    start_s: float,
    duration_s: float | None,
    max_duration_s: float | None,
) -> Iterator[Float32]:
    with opened(source) as container:
        container.seek(start_s - PREROLL_S, None if duration_s is None else PREROLL_S + duration_s)
        end_s = None if duration_s is None else start_s + duration_s
        frames = container.frames(start_s, end_s)
        first = next(frames, None)
        if first is None:
            if start_s > 0:
                return
            raise DecodeError(Reason.EMPTY, "the file holds no audio samples")
        n_skip = _to_same_phase(first, sample_rate_hz)
        mono = mono_blocks(chain([first], frames), sample_rate_hz, n_skip=n_skip)
        first_s = first.time_s + n_skip / first.frame.sample_rate
        skip = round(start_s * sample_rate_hz) - round(first_s * sample_rate_hz)
        limit = None if duration_s is None else round(duration_s * sample_rate_hz)
        n_samples = 0
        for block in _cut(mono, skip, limit):
            if not is_audible(block):
                said = f"samples that are not numbers (NaN or Inf), or beyond {LOUDEST:.0e}"
                raise DecodeError(Reason.UNDECODABLE, said)
            n_samples += len(block)
            if max_duration_s is not None:
                _check_length(n_samples, max_duration_s, sample_rate_hz)
            yield block
        if duration_s is None:
            _check_complete(container, start_s + n_samples / sample_rate_hz)


def _check_length(n_samples: int, max_duration_s: float, sample_rate_hz: int) -> None:
    if n_samples > max_duration_s * sample_rate_hz:
        raise DecodeError(Reason.TOO_LONG, f"longer than {max_duration_s:.0f} s")


def _check_complete(container: Container, got_s: float) -> None:
    declared = container.declared
    if declared is not None and declared.lacks(got_s):
        said = f"{got_s:.1f} s of the {declared.duration_s:.1f} s that its header declares"
        raise DecodeError(Reason.INCOMPLETE, said)


def _cut(blocks: Iterable[Float32], skip: int, limit: int | None) -> Iterator[Float32]:
    """Leave out the first `skip` samples (add zeros where negative), and all after `limit`."""
    if skip < 0:
        blocks, skip = chain([np.zeros(-skip, np.float32)], blocks), 0
    left = limit
    for block in blocks:
        kept, skip = block[skip:], max(0, skip - len(block))
        if left is not None:
            kept = kept[:left]
            left -= len(kept)
        if len(kept):
            yield kept
        if left == 0:
            return


def _to_same_phase(first: TimedFrame, rate_out_hz: int) -> int:
    """Return how many samples to drop, so that a span is resampled at a full decode's instants."""
    rate_in_hz = first.frame.sample_rate
    period = rate_in_hz // math.gcd(rate_in_hz, rate_out_hz)
    n_skip = -round(first.time_s * rate_in_hz) % period
    return n_skip if n_skip < PREROLL_S / 4 * rate_in_hz else 0
