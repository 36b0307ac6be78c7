"""A file in, its timed audio frames out: FFmpeg's libraries (PyAV) read what the catalogues hold.

What a codec needs beyond FFmpeg (mp2, mp3, opus, ...), such as a run-up before a seek, is here.

Only the given bytes are opened: formats that point elsewhere (playlists, concat scripts) are not on
the list of formats. What a header claims is checked before memory is spent on it.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import av
import av.error
import numpy as np

from pipeline.audio.decoding.declared_length import Declared, declared_length
from pipeline.audio.decoding.formats import FORMATS
from pipeline.audio.fetching.ranges import BLOCK_BYTES, RangeFile, has_fragment_index
from pipeline.errors import DecodeError, Reason

AudioInput = str | Path | bytes | BinaryIO

PREROLL_S = 0.25
"""Codecs with memory start wrong without it: 0.1 s is enough for Opus with cues and for mp3 from 56
kbit/s up, not for what mp3 of 32 keeps in its reservoir, nor for webm without cues."""

_REACH_S = 0.05  # soxr's filter looks 12 ms ahead at 8 kHz, and 46 ms at 2 kHz

RATES_HZ = range(2_000, 768_001)
"""One second at 1 Hz would be 44,100 samples for each byte of the file."""
MOST_CHANNELS = 64
_MOST_BROKEN = 0.1  # of the packets: beyond it a file is not audio with a fault, but a fault
_MARGIN, _MARGIN_BYTES = 1.08, 8192  # a second request costs more than what is read in vain
_OPUS_STEP = 120  # samples at 48 kHz: all frames of Opus are multiples of 2.5 ms


@dataclass(frozen=True)
class StreamForm:
    """What a decoder has to know of a stream before its first packet."""

    codec: str
    """FFmpeg's name of the format, as `mp3`, whichever decoder it is read by."""
    rate_hz: int
    n_channels: int
    header: bytes
    """What the container keeps for the decoder (FFmpeg's extradata); often nothing."""


@dataclass(frozen=True)
class TimedFrame:
    """A decoded frame, and where its first sample stands in the file."""

    time_s: float
    frame: av.AudioFrame


class Container:
    """An open file, at its first audio stream."""

    def __init__(self, container: av.container.InputContainer, file: BinaryIO) -> None:
        if not container.streams.audio:
            raise DecodeError(Reason.NOT_AUDIO, "the file holds no audio stream")
        self._container, self._file = container, file
        self._ranges = file if isinstance(file, RangeFile) else None
        self._stream = container.streams.audio[0]
        if self._stream.codec_context is None:
            raise DecodeError(Reason.UNDECODABLE, "a codec that FFmpeg does not know")
        rate_hz = self._stream.rate or 0
        check_form(rate_hz, self._stream.channels)
        self._tick_s = float(self._stream.time_base or 0) or 1 / rate_hz
        self._origin_s = self._find_origin_s()

    @property
    def form(self) -> StreamForm:
        """How the stream's packets are to be decoded."""
        context = self._stream.codec_context
        return StreamForm(
            context.codec.canonical_name,
            self._stream.rate,
            self._stream.channels,
            bytes(context.extradata or b""),
        )

    @property
    def declared(self) -> Declared | None:
        """How long the file says it is; None where it does not say."""
        return declared_length(self._container, self._stream, self._file)

    def seek(self, from_s: float, span_s: float | None) -> None:
        """Go to `from_s`, if it is not at the start; tell a file over HTTP what is read next."""
        from_s += self._origin_s
        if self._ranges is not None and span_s is not None:  # the seek itself reads cues
            self._ranges.expect(self._n_bytes(span_s))
        if from_s > 0:
            self._container.seek(int(from_s / self._tick_s), stream=self._stream)
        if self._ranges is not None and span_s is not None:
            at, at_s = self._landing(from_s)
            self._ranges.expect(self._n_bytes(span_s + from_s - at_s), at=at)

    def frames(self, start_s: float, end_s: float | None) -> Iterator[TimedFrame]:
        """Yield the frames that touch the span, the pre-roll's last part included."""
        time_s = 0.0
        for frame in self._without_padding(self._decoded()):
            if frame.pts is not None:
                is_first = frame.pts == self._stream.start_time
                stamp_s = float(frame.pts * (frame.time_base or 0)) - self._origin_s
                time_s = 0.0 if is_first else self._exact_s(stamp_s)
            if end_s is not None and time_s > end_s + _REACH_S:
                return
            if time_s + frame.samples / frame.sample_rate > start_s - PREROLL_S / 2:
                yield TimedFrame(time_s, frame)
            time_s += frame.samples / frame.sample_rate

    def _without_padding(self, frames: Iterator[av.AudioFrame]) -> Iterator[av.AudioFrame]:
        """Cut what an MP4's encoder has put behind the end: the last frame says it is shorter."""
        if not self._container.format.name.startswith("mov,"):
            yield from frames
            return
        last: av.AudioFrame | None = None
        for frame in frames:
            if last is not None:
                yield last
            last = frame
        if last is not None:
            yield _shortened(last, round((last.duration or 0) * self._tick_s * last.sample_rate))

    def _decoded(self) -> Iterator[av.AudioFrame]:
        """Yield all frames; packets that do not decode are left out, as FFmpeg's own tools do.

        Tags behind the last frame and a scratch in the middle are common; a file of which more
        than a tenth does not decode is refused.
        """
        n_packets = n_broken = n_frames = 0
        last: av.error.FFmpegError | None = None
        for packet in self.packets():
            n_packets += 1
            try:
                for frame in packet.decode():
                    n_frames += 1
                    yield frame
            except (av.error.InvalidDataError, av.error.EOFError) as error:
                n_broken, last = n_broken + 1, error
        if last is None or n_broken <= max(1.0, _MOST_BROKEN * n_packets):
            return
        if not n_frames:
            raise last
        said = f"{n_broken:,} of {n_packets:,} packets do not decode: {last.strerror}"
        raise DecodeError(Reason.UNDECODABLE, said)

    def packets(self) -> Iterator[Any]:
        """Yield the stream's packets; what is no packet at the end of a file ends it."""
        n_packets = 0
        try:
            for packet in self._container.demux(self._stream):
                n_packets += packet.size > 0
                yield packet
        except av.error.InvalidDataError:
            if not n_packets:
                raise

    def _landing(self, from_s: float) -> tuple[int | None, float]:
        """Return the place in the file, where known, and the time at which reading goes on."""
        entries = self._stream.index_entries
        if from_s <= 0:
            return (entries[0].pos if len(entries) else 0), from_s
        index = entries.search_timestamp(int(from_s / self._tick_s))
        if index < 0:
            return None, from_s
        return entries[index].pos, entries[index].timestamp * self._tick_s

    def _n_bytes(self, span_s: float) -> int:
        """Return about how many bytes last for `span_s`: a little more, at the file's mean rate.

        The mean is the index's: a fragmented MP4 gives its first fragment's duration as its own.
        """
        entries = self._stream.index_entries
        n_bytes, total_s = self._container.size, (self._container.duration or 0) / av.time_base
        if len(entries) > 1 and entries[-1].timestamp > entries[0].timestamp:
            n_bytes = entries[-1].pos - entries[0].pos
            total_s = (entries[-1].timestamp - entries[0].timestamp) * self._tick_s
        return round(_MARGIN * n_bytes / total_s * span_s) + _MARGIN_BYTES if total_s > 0 else 0

    def _find_origin_s(self) -> float:
        """Return the time stamp of the first sample, in s.

        WebM keeps whole milliseconds, so Opus' 6.5 ms of encoder delay stand there as 7: where the
        codec's own delay is within a tick of the time stamp, it is the exact one.
        """
        stamp_s = (self._stream.start_time or 0) * self._tick_s
        delay_s = self._stream.codec_context.delay / self._stream.rate
        return delay_s if abs(stamp_s - delay_s) < self._tick_s else stamp_s

    def _exact_s(self, time_s: float) -> float:
        """Return the time of a frame without WebM's rounding to whole milliseconds.

        What Opus decodes to begins where the encoder's delay ends; from there on all its frames
        begin at multiples of 2.5 ms.
        """
        codec = self._stream.codec_context
        if codec.name not in ("opus", "libopus") or time_s <= 0 or self._tick_s < 1e-3:
            return time_s
        n_steps = round((time_s * codec.sample_rate + codec.delay) / _OPUS_STEP)
        return (n_steps * _OPUS_STEP - codec.delay) / codec.sample_rate


def _shortened(frame: av.AudioFrame, n_samples: int) -> av.AudioFrame:
    """Return the first samples of a frame; the frame itself where it has no more."""
    if not 0 < n_samples < frame.samples:
        return frame
    values = frame.to_ndarray()
    kept = np.ascontiguousarray(values[:, : n_samples * (values.shape[1] // frame.samples)])
    short = av.AudioFrame.from_ndarray(kept, frame.format.name, frame.layout.name)  # type: ignore[arg-type]
    short.sample_rate, short.pts, short.time_base = frame.sample_rate, frame.pts, frame.time_base
    return short


def check_form(rate_hz: int, n_channels: int) -> None:
    """Refuse what no audio has, before memory is spent on it."""
    if rate_hz not in RATES_HZ:
        raise DecodeError(Reason.UNDECODABLE, f"a sample rate of {rate_hz} Hz")
    if not 1 <= n_channels <= MOST_CHANNELS:
        raise DecodeError(Reason.UNDECODABLE, f"{n_channels} channels")


@contextmanager
def opened(source: AudioInput) -> Iterator[Container]:
    """Open a file for its audio; DecodeError where it can't be, or where decoding fails inside.

    A fault that the `read` of a file object raises comes through unchanged.
    """
    try:
        with _file(source) as file, _container(file) as container:
            yield Container(container, file)
    except av.error.FFmpegError as error:
        raise DecodeError(Reason.UNDECODABLE, error.strerror or str(error)) from error
    except OSError as error:
        if not isinstance(source, str | Path) or is_url(source):
            raise
        raise DecodeError(Reason.UNREADABLE, str(error)) from error


def _container(file: BinaryIO) -> av.container.InputContainer:
    try:
        options = {"format_whitelist": FORMATS} | _index_options(file)
        return av.open(file, "r", metadata_errors="ignore", container_options=options)
    except (av.error.InvalidDataError, av.error.EOFError) as error:
        raise DecodeError(Reason.NOT_AUDIO, error.strerror or str(error)) from error
    except av.error.ArgumentError as error:  # what FFmpeg says of a picture
        raise DecodeError(Reason.UNDECODABLE, "a picture, or no form of audio") from error


def _index_options(file: BinaryIO) -> dict[str, str]:
    """Let FFmpeg look for an index at the end, where it would hop through an MP4's fragments."""
    if not isinstance(file, RangeFile):
        return {}
    head = file.read(BLOCK_BYTES)
    file.seek(0)
    return {} if has_fragment_index(head) else {"use_mfra_for": "pts"}


@contextmanager
def _file(source: AudioInput) -> Iterator[BinaryIO]:
    """Give a file that can seek; one that was opened here is closed, one that was given is not."""
    if is_url(source):
        from pipeline.audio.fetching.remote_file import url_file  # yt-dlp takes 0.2 s to import

        with url_file(str(source)) as file:
            yield _not_empty(file)
    elif isinstance(source, str | Path):
        with open_path(Path(source)) as file:
            yield _not_empty(file)
    else:
        yield _not_empty(io.BytesIO(source) if isinstance(source, bytes) else source)


def is_url(source: AudioInput) -> bool:
    """Whether a source is an http(s) URL."""
    return isinstance(source, str) and source.startswith(("http://", "https://"))


def open_path(path: Path) -> BinaryIO:
    """Open a regular file: a pipe or device would wait for ever."""
    try:
        if not path.is_file():
            kind = "not a regular file" if path.exists() else "no such file"
            raise DecodeError(Reason.UNREADABLE, kind)
        return path.open("rb")
    except (OSError, ValueError) as error:  # ValueError: a name that holds a zero byte
        raise DecodeError(Reason.UNREADABLE, str(error)) from error


def _not_empty(file: BinaryIO) -> BinaryIO:
    if not file.read(1):
        raise DecodeError(Reason.EMPTY, "the file holds no bytes")
    file.seek(0)
    return file
