"""MIDI in, samples and audio files out: synthesis, mastering, encoding. An edge.

Samples are float32, `[n, n_channels]`. Everything comes out of wheels: the General MIDI soundfont
that pretty_midi carries, midirenderer's synthesizer, the encoders in PyAV and soundfile.
"""

from __future__ import annotations

import math
import os
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path

import av
import midirenderer
import numpy as np
import soundfile
from scipy import signal

from pipeline.arrays import Float32
from pipeline.demo.soundfonts import soundfont_bytes

RATE_HZ = 48_000  # what the synthesizer puts out
N_WAV_HEADER_BYTES = 44
OGG_CHUNK = 65_536  # frames; libsndfile's Vorbis encoder does not survive long writes
SOFT, HARD = 0.6, 0.89  # the limiter's knee and ceiling


@dataclass(frozen=True)
class Format:
    """How PyAV writes the files of one suffix."""

    container: str
    codec: str
    rate_hz: int | None = None
    """The one rate that the codec takes; None where it takes any."""
    codec_options: dict[str, str] = field(default_factory=dict)
    container_options: dict[str, str] = field(default_factory=dict)


FORMATS = {
    ".webm": Format(
        "webm",
        "libopus",
        rate_hz=48_000,
        codec_options={"b": "96k", "compression_level": "0"},
        container_options={"cues_to_front": "1", "cluster_time_limit": "2000"},  # seekable
    ),
    ".opus": Format("opus", "libopus", rate_hz=48_000, codec_options={"b": "96k"}),
    ".m4a": Format("ipod", "aac", codec_options={"b": "128k"}),
    ".mp3": Format("mp3", "libmp3lame", codec_options={"b": "128k"}),
    ".flac": Format("flac", "flac"),
    ".wav": Format("wav", "pcm_s16le"),
}
SUFFIXES = (*FORMATS, ".ogg")


def synthesize(midi: bytes, *, duration_s: float, soundfont: str = "") -> Float32:
    """Return what the soundfont plays, in stereo at `RATE_HZ`, exactly `duration_s` long.

    `soundfont` is its path; where that is empty it is the one that TIMBRE_SOUNDFONT names, or the
    wheel's.
    """
    path = soundfont or os.environ.get("TIMBRE_SOUNDFONT", "")
    wav = midirenderer.render_wave_from(_soundfont(path), midi)
    pcm = np.frombuffer(wav, np.int16, offset=N_WAV_HEADER_BYTES).reshape(-1, 2)
    samples = np.zeros((round(duration_s * RATE_HZ), 2), np.float32)
    n_frames = min(len(pcm), len(samples))  # the synthesizer rounds down
    samples[:n_frames] = pcm[:n_frames] / np.float32(32768)
    return samples


def master(samples: Float32, *, seed: str, loud_s: tuple[float, float]) -> Float32:
    """Return the stereo recording with a sound of its own: tone, width, hiss, loudness.

    From `loud_s[0]` to `loud_s[1]` it comes to a level between -27 and -15 dBFS RMS. What stands
    before and after goes with it, but gets at most 3 dB louder.
    """
    rng = np.random.default_rng(list(f"master/{seed}".encode()))
    toned = _equalize(rng, _narrow(rng, samples))
    first, last = (round(at_s * RATE_HZ) for at_s in loud_s)
    inside, outside = toned[first:last], (toned[:first], toned[last:])
    level = 10 ** (rng.uniform(-27, -15) / 20)
    gain = level / _rms(inside)
    inside *= np.float32(gain)
    for part in outside:
        part *= np.float32(min(gain, 10 ** (3 / 20) * level / _rms(part)))
    toned += _hiss(rng, len(toned))
    return _limit(toned)


def resample(samples: Float32, rate_hz: int) -> Float32:
    """Return samples at `RATE_HZ` at another rate."""
    if rate_hz == RATE_HZ:
        return samples
    divisor = math.gcd(rate_hz, RATE_HZ)
    resampled: Float32 = signal.resample_poly(
        samples, rate_hz // divisor, RATE_HZ // divisor, axis=0
    )
    return resampled


def encode(samples: Float32, sample_rate_hz: int, path: Path, *, comment: str = "") -> None:
    """Write samples, `[n]` or `[n, n_channels]`, in the format of the path's suffix (`SUFFIXES`).

    The file appears whole or not at all; `comment` can be read again with `comment_of`.
    """
    temporary = path.with_name(f".part-{path.name}")
    frames = np.ascontiguousarray(samples.reshape(len(samples), -1), np.float32)
    if path.suffix == ".ogg":
        _write_ogg(frames, sample_rate_hz, temporary, comment)
    else:
        _write_av(frames, sample_rate_hz, temporary, comment)
    temporary.replace(path)


def comment_of(path: Path) -> str:
    """Return the comment that `encode` wrote; empty where there is none or the file is broken."""
    try:
        with av.open(str(path), metadata_errors="ignore") as container:
            tags = container.metadata | container.streams.audio[0].metadata
    except (av.FFmpegError, IndexError):
        return ""
    return str({key.lower(): value for key, value in tags.items()}.get("comment", ""))


@lru_cache(maxsize=2)  # some take 200 MB
def _soundfont(path: str) -> bytes:
    return soundfont_bytes(path)


def _narrow(rng: np.random.Generator, samples: Float32) -> Float32:
    """Return the recording with less stereo width, sometimes none."""
    width = np.float32(rng.choice((0.0, rng.uniform(0.2, 1.0), 1.0)))
    middle = (samples[:, :1] + samples[:, 1:]) / np.float32(2)
    narrowed = samples - middle  # not one matrix product: that would wake all of BLAS's threads
    narrowed *= width
    narrowed += middle
    return narrowed


def _equalize(rng: np.random.Generator, samples: Float32) -> Float32:
    """Return the recording through two shelves, as rooms, microphones and taste would have it."""
    bass, treble = 10 ** (rng.uniform(-6, 4) / 20), 10 ** (rng.uniform(-9, 5) / 20)
    sections = (
        _shelf(bass, 1.0, corner_hz=rng.uniform(80, 300)),
        _shelf(1.0, treble, corner_hz=rng.uniform(1500, 6000)),
    )
    filtered: Float32 = signal.sosfilt(np.array(sections, np.float32), samples, axis=0)
    return filtered


def _shelf(low_gain: float, high_gain: float, *, corner_hz: float) -> list[float]:
    """Return a second-order-section row that goes from one gain below to another above."""
    corner = 2 * np.pi * corner_hz
    b, a = signal.bilinear([high_gain, low_gain * corner], [1, corner], RATE_HZ)
    return [*b, 0.0, *a, 0.0]


def _hiss(rng: np.random.Generator, n_frames: int) -> Float32:
    """Return noise, the same few seconds again and again: nobody hears that, and it is cheap."""
    noise = rng.standard_normal((4 * RATE_HZ, 1), dtype=np.float32)
    noise *= np.float32(10 ** (rng.uniform(-85, -62) / 20))
    return np.resize(noise, (n_frames, 1))


def _rms(samples: Float32) -> float:
    return math.sqrt(np.square(samples).sum(dtype=np.float64) / max(1, samples.size)) + 1e-9


def _limit(samples: Float32) -> Float32:
    """Return the samples with peaks above `SOFT` bent to stay below `HARD`."""
    loud = np.abs(samples) > SOFT
    peaks, room = samples[loud], HARD - SOFT
    samples[loud] = np.sign(peaks) * (SOFT + room * np.tanh((np.abs(peaks) - SOFT) / room))
    return samples


def _write_av(frames: Float32, rate_hz: int, path: Path, comment: str) -> None:
    form = FORMATS[path.suffix]
    layout = "mono" if frames.shape[1] == 1 else "stereo"
    frame = av.AudioFrame.from_ndarray(frames.reshape(1, -1), format="flt", layout=layout)
    frame.sample_rate = rate_hz
    with av.open(str(path), "w", format=form.container, options=form.container_options) as file:
        file.metadata["comment"] = comment
        rate_hz = form.rate_hz or rate_hz
        stream = file.add_stream(
            form.codec, rate=rate_hz, layout=layout, options=form.codec_options
        )
        assert isinstance(stream, av.AudioStream)
        file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


def _write_ogg(frames: Float32, rate_hz: int, path: Path, comment: str) -> None:
    n_channels = frames.shape[1]
    with soundfile.SoundFile(
        path, "w", rate_hz, n_channels, format="OGG", subtype="VORBIS"
    ) as file:
        file.comment = comment
        for start in range(0, len(frames), OGG_CHUNK):
            file.write(frames[start : start + OGG_CHUNK])
