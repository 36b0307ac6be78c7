"""The ffmpeg binary: the one on the PATH, or the one that a wheel carries; and audio through it."""

from __future__ import annotations

import io
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import IO

import ffmpeg
import imageio_ffmpeg
import soundfile

from pipeline.arrays import Float32
from pipeline.audio.decoding.formats import COMMAND_FORMATS
from pipeline.errors import DecodeError, Reason

LOUDEST = 1e10
"""Float files may be scaled like integers; beyond this, sums of squares are no numbers."""
_RESAMPLER = {"filter_size": 192, "cutoff": 0.96, "filter_type": "kaiser", "kaiser_beta": 12}
"""Into 16 kHz: -125 dB left of a tone at 8.2 kHz, 0.15 dB off one at 7.5. Not every build of the
command has soxr."""
_NO_AUDIO = b"matches no streams"
_TIME_LIMIT_S = 120.0
_LONGEST_S = 2 * 3600.0


@cache
def ffmpeg_exe() -> str:
    """Return the path of an ffmpeg binary."""
    return shutil.which("ffmpeg") or imageio_ffmpeg.get_ffmpeg_exe()


def decode_by_command(
    source: str | Path | bytes, *, sample_rate_hz: int, max_duration_s: float | None = None
) -> Float32 | None:
    """Return mono audio, `[n_samples]`, or None where the command cannot read it either.

    The command reads one regular file and nothing else: no other protocol, no format that names
    other files. DecodeError, not_audio, where it can read the file, but finds no audio stream.
    """
    longest_s = _LONGEST_S if max_duration_s is None else max_duration_s + 1
    with _as_file(source) as file:  # by its number: a path may hold what is no text
        command = (
            ffmpeg.input(
                f"file:/dev/fd/{file.fileno()}",
                protocol_whitelist="file",
                format_whitelist=COMMAND_FORMATS,
            )
            .audio.filter("aresample", sample_rate_hz, **_RESAMPLER)
            .output("pipe:", format="wav", acodec="pcm_f32le", t=longest_s)
        )
        try:
            done = subprocess.run(
                command.compile(cmd=[ffmpeg_exe(), "-nostdin", "-v", "error"]),
                capture_output=True,
                pass_fds=[file.fileno()],
                timeout=_TIME_LIMIT_S,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return None
    if done.returncode and _NO_AUDIO in done.stderr:
        raise DecodeError(Reason.NOT_AUDIO, "the file holds no audio stream")
    return _mono(done.stdout) if done.returncode == 0 else None


def _mono(wav: bytes) -> Float32 | None:
    """Return the mean of a wav's channels; None where it holds no samples, or no numbers."""
    try:
        samples, _ = soundfile.read(io.BytesIO(wav), dtype="float32", always_2d=True)
    except soundfile.LibsndfileError:
        return None
    mono: Float32 = samples.mean(axis=1)
    return mono if len(mono) and is_audible(mono) else None


def is_audible(samples: Float32) -> bool:
    """Say whether samples, `[n_samples]` and at least one, are numbers that may be amplitudes."""
    return bool(samples.max() <= LOUDEST and samples.min() >= -LOUDEST)  # NaN is neither


@contextmanager
def _as_file(source: str | Path | bytes) -> Iterator[IO[bytes]]:
    if isinstance(source, bytes):
        with tempfile.TemporaryFile(prefix="timbre-") as file:
            file.write(source)
            file.flush()
            yield file
    else:
        with Path(source).open("rb") as file:
            yield file
