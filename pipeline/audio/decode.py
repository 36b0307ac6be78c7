"""Bytes, a path or a readable file in; mono float32 at the asked rate out, whole or a span by seek.

FFmpeg's libraries (PyAV) read every format the catalogues hold. Only the given bytes are opened:
container formats that point elsewhere (playlists, concat scripts) are not on the list of formats.
"""

from __future__ import annotations

import io
import math
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import av
import av.error
import numpy as np
import numpy.typing as npt

from pipeline.audio.ranges import BLOCK_BYTES, RangeFile, has_fragment_index
from pipeline.errors import DecodeError, Reason

Source = str | Path | bytes | BinaryIO

_FORMATS = (
    "wav,w64,rf64,aiff,au,flac,mp3,ogg,aac,ac3,caf,amr,mov,mp4,m4a,3gp,3g2,mj2,matroska,webm,"
    "asf,wv,ape,mpc,mpc8,tta,dsf"
)
_PREROLL_S = 0.1  # codecs with memory (mp3, opus) start wrong without it
_MARGIN, _MARGIN_BYTES = 1.08, 8192  # a second request costs more than what is read in vain
_OPUS_STEP = 120  # samples at 48 kHz: all frames of Opus are multiples of 2.5 ms
_RESAMPLE_SAMPLES = 65_536  # resampling frame by frame costs a third of the time
_STEREO_GAIN = np.float32(np.sqrt(0.5))  # swr mixes 0.707 (L + R); the mean is wanted


def decode(
    source: Source,
    *,
    sample_rate_hz: int,
    start_s: float = 0.0,
    duration_s: float | None = None,
    max_duration_s: float | None = None,
) -> npt.NDArray[np.float32]:
    """Return mono audio, `[n_samples]`, channels averaged.

    Parameters
    ----------
    source
        A path, the bytes of a file, or a binary file that can seek. A fault that its `read` raises
        comes through unchanged.
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
        not_audio, empty, too_long, undecodable or unreadable, with FFmpeg's message.
    """
    try:
        with _open(source) as container:
            return _decode(
                container,
                source if isinstance(source, RangeFile) else None,
                sample_rate_hz=sample_rate_hz,
                start_s=start_s,
                duration_s=duration_s,
                max_duration_s=max_duration_s,
            )
    except av.error.FFmpegError as error:
        raise DecodeError(Reason.UNDECODABLE, error.strerror or str(error)) from error


def _open(source: Source) -> av.container.InputContainer:
    try:
        file = _as_file(source)
        options = {"format_whitelist": _FORMATS} | _index_options(file)
        return av.open(file, "r", metadata_errors="ignore", container_options=options)
    except (av.error.InvalidDataError, av.error.EOFError) as error:
        raise DecodeError(Reason.NOT_AUDIO, error.strerror or str(error)) from error
    except av.error.FFmpegError as error:
        raise DecodeError(Reason.UNDECODABLE, error.strerror or str(error)) from error


def _index_options(file: BinaryIO) -> dict[str, str]:
    """Let FFmpeg look for an index at the end, where it would hop through an MP4's fragments."""
    if not isinstance(file, RangeFile):
        return {}
    head = file.read(BLOCK_BYTES)
    file.seek(0)
    return {} if has_fragment_index(head) else {"use_mfra_for": "pts"}


def _as_file(source: Source) -> BinaryIO:
    if isinstance(source, bytes):
        return _not_empty(io.BytesIO(source))
    if isinstance(source, str | Path):
        path = Path(source)
        try:
            if not path.is_file():
                kind = "not a regular file" if path.exists() else "no such file"
                raise DecodeError(Reason.UNREADABLE, f"{kind}: {path}")
            return _not_empty(path.open("rb"))
        except OSError as error:
            raise DecodeError(Reason.UNREADABLE, str(error)) from error
    return _not_empty(source)


def _not_empty(file: BinaryIO) -> BinaryIO:
    if not file.read(1):
        raise DecodeError(Reason.EMPTY, "the file holds no bytes")
    file.seek(0)
    return file


def _decode(
    container: av.container.InputContainer,
    ranges: RangeFile | None,
    *,
    sample_rate_hz: int,
    start_s: float,
    duration_s: float | None,
    max_duration_s: float | None,
) -> npt.NDArray[np.float32]:
    if not container.streams.audio:
        raise DecodeError(Reason.NOT_AUDIO, "the file holds no audio stream")
    stream = container.streams.audio[0]
    tick_s = float(stream.time_base or 0) or 1 / stream.rate
    origin_s = _origin_s(stream, tick_s)
    span_s = None if duration_s is None else _PREROLL_S + duration_s
    _seek(container, stream, tick_s, ranges, start_s - _PREROLL_S + origin_s, span_s)
    end_s = None if duration_s is None else start_s + duration_s
    frames = _frames(container, stream, origin_s=origin_s, start_s=start_s, end_s=end_s)
    first = next(frames, None)
    if first is None:
        if start_s > 0:
            return np.zeros(0, np.float32)
        raise DecodeError(Reason.EMPTY, "the file holds no audio samples")
    first_s, frame = first
    limit = None if max_duration_s is None else round(max_duration_s * sample_rate_hz)
    n_ahead = _to_same_phase(round(first_s * frame.sample_rate), frame.sample_rate, sample_rate_hz)
    samples = _resample(_chain(frame, frames), sample_rate_hz, n_ahead=n_ahead, limit=limit)
    first_s += n_ahead / frame.sample_rate
    if stream.codec_context.layout.nb_channels == 2:
        samples *= _STEREO_GAIN
    if not np.isfinite(samples).all():
        raise DecodeError(Reason.UNDECODABLE, "samples that are not numbers (NaN or Inf)")
    skip = round(start_s * sample_rate_hz) - round(first_s * sample_rate_hz)
    samples = samples[skip:] if skip >= 0 else np.pad(samples, (-skip, 0))
    return samples if duration_s is None else samples[: round(duration_s * sample_rate_hz)]


def _seek(
    container: av.container.InputContainer,
    stream: av.AudioStream,
    tick_s: float,
    ranges: RangeFile | None,
    from_s: float,
    span_s: float | None,
) -> None:
    """Go to `from_s`, if it is not at the start; tell a file over HTTP what is read next."""
    if ranges is not None and span_s is not None:  # the seek itself reads cues or a fragment
        ranges.expect(_n_bytes(container, stream, tick_s, span_s))
    if from_s > 0:
        container.seek(int(from_s / tick_s), stream=stream)
    if ranges is not None and span_s is not None:
        at, at_s = _landing(stream, tick_s, from_s)
        ranges.expect(_n_bytes(container, stream, tick_s, span_s + from_s - at_s), at=at)


def _landing(stream: av.AudioStream, tick_s: float, from_s: float) -> tuple[int | None, float]:
    """Return the place in the file, where known, and the time at which reading goes on."""
    if from_s <= 0:
        return (stream.index_entries[0].pos if len(stream.index_entries) else 0), from_s
    index = stream.index_entries.search_timestamp(int(from_s / tick_s))
    if index < 0:
        return None, from_s
    entry = stream.index_entries[index]
    return entry.pos, entry.timestamp * tick_s


def _n_bytes(
    container: av.container.InputContainer, stream: av.AudioStream, tick_s: float, span_s: float
) -> int:
    """Return about how many bytes of the file last for `span_s`: a little more, at its mean rate.

    The mean is the index's: a fragmented MP4 gives its first fragment's duration as its own.
    """
    entries = stream.index_entries
    n_bytes, total_s = container.size, (container.duration or 0) / av.time_base
    if len(entries) > 1 and entries[-1].timestamp > entries[0].timestamp:
        n_bytes = entries[-1].pos - entries[0].pos
        total_s = (entries[-1].timestamp - entries[0].timestamp) * tick_s
    return round(_MARGIN * n_bytes / total_s * span_s) + _MARGIN_BYTES if total_s > 0 else 0


def _origin_s(stream: av.AudioStream, tick_s: float) -> float:
    """Return the time stamp of the first sample, in s.

    WebM keeps whole milliseconds, so Opus' 6.5 ms of encoder delay stand there as 7: where the
    codec's own delay is within a tick of the time stamp, it is the exact one.
    """
    stamp_s = (stream.start_time or 0) * tick_s
    delay_s = stream.codec_context.delay / stream.rate
    return delay_s if abs(stamp_s - delay_s) < tick_s else stamp_s


def _exact_s(time_s: float, stream: av.AudioStream) -> float:
    """Return the time of a frame without WebM's rounding to whole milliseconds.

    What Opus decodes to begins where the encoder's delay ends; from there on all its frames begin
    at multiples of 2.5 ms.
    """
    codec, tick_s = stream.codec_context, float(stream.time_base or 0)
    if codec.name not in ("opus", "libopus") or time_s <= 0 or tick_s < 1e-3:
        return time_s
    n_steps = round((time_s * codec.sample_rate + codec.delay) / _OPUS_STEP)
    return (n_steps * _OPUS_STEP - codec.delay) / codec.sample_rate


TimedFrame = tuple[float, av.AudioFrame]


def _frames(
    container: av.container.InputContainer,
    stream: av.AudioStream,
    *,
    origin_s: float,
    start_s: float,
    end_s: float | None,
) -> Iterator[TimedFrame]:
    """Yield (time, frame) of the frames that touch the span, the pre-roll's last part included."""
    time_s = 0.0
    for frame in container.decode(stream):
        if frame.pts is not None:
            is_first = frame.pts == stream.start_time
            time_s = 0.0 if is_first else float(frame.pts * (frame.time_base or 0)) - origin_s
            time_s = _exact_s(time_s, stream)
        if end_s is not None and time_s > end_s + 0.02:
            return
        if time_s + frame.samples / frame.sample_rate > start_s - _PREROLL_S / 2:
            yield time_s, frame
        time_s += frame.samples / frame.sample_rate


def _chain(first: av.AudioFrame, rest: Iterator[TimedFrame]) -> Iterator[av.AudioFrame]:
    yield first
    for _, frame in rest:
        yield frame


def _to_same_phase(first_sample: int, rate_in_hz: int, rate_out_hz: int) -> int:
    """Return how many samples to drop, so that a span is resampled at a full decode's instants."""
    period = rate_in_hz // math.gcd(rate_in_hz, rate_out_hz)
    n_ahead = -first_sample % period
    return n_ahead if n_ahead < _PREROLL_S / 4 * rate_in_hz else 0


def _resample(
    frames: Iterator[av.AudioFrame], sample_rate_hz: int, *, n_ahead: int, limit: int | None
) -> npt.NDArray[np.float32]:
    """Return the frames as mono at the asked rate, without their first `n_ahead` samples."""
    resampler = av.AudioResampler("flt", "mono", sample_rate_hz)
    fifo = av.AudioFifo()
    parts: list[npt.NDArray[np.float32]] = []
    n_samples = 0
    for frame in frames:
        frame.pts = None
        fifo.write(frame)
        if n_ahead and fifo.samples > n_ahead:
            fifo.read(n_ahead)
            n_ahead = 0
        if fifo.samples >= _RESAMPLE_SAMPLES:
            parts += [out.to_ndarray()[0] for out in resampler.resample(fifo.read(partial=True))]
            n_samples = sum(map(len, parts))
        if limit is not None and n_samples > limit:
            raise DecodeError(Reason.TOO_LONG, f"longer than {limit / sample_rate_hz:.0f} s")
    if fifo.samples:
        parts += [out.to_ndarray()[0] for out in resampler.resample(fifo.read(partial=True))]
    parts += [out.to_ndarray()[0] for out in resampler.resample(None)]
    return np.concatenate(parts) if parts else np.zeros(0, np.float32)
