"""Decoding, format by format: seconds of audio a CPU second, and what resampling does to tones.

    python benchmarks/decode.py --rate 32000 16000
    PYTHONPATH=/other/checkout python benchmarks/decode.py     # another version, in turn with it

A stereo piece of noise and tones at 44.1 kHz (Opus: 48 kHz) is decoded whole to mono; each figure
is the median of rounds taken in turn over the formats. The levels are those of a tone at full scale
at 1.025 (an alias) and 0.9375 (droop) times half the rate: 8.2 and 7.5 kHz into 16 kHz.
"""

from __future__ import annotations

import argparse
import io
import statistics
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

import pipeline
from pipeline.audio.decoding.decode import decode
from pipeline.audio.decoding.ffmpeg import ffmpeg_exe

CODECS = {
    "wav": ("pcm_s16le", 44_100),
    "flac": ("flac", 44_100),
    "mp3": ("libmp3lame", 44_100),
    "ogg": ("libvorbis", 44_100),
    "opus": ("libopus", 48_000),
    "webm": ("libopus", 48_000),
    "m4a": ("aac", 44_100),
}


def write_files(folder: Path, seconds: int) -> list[Path]:
    """Write the piece in every format."""
    rng, time_s = np.random.default_rng(0), np.arange(seconds * 44_100) / 44_100
    tones = np.sin(2 * np.pi * 220 * time_s) + np.sin(2 * np.pi * 3520 * time_s) / 4
    stereo = 0.1 * tones[:, None] + 0.03 * rng.normal(size=(len(time_s), 2))
    soundfile.write(folder / "source.wav", stereo.clip(-1, 1), 44_100)
    paths = [folder / f"piece.{suffix}" for suffix in CODECS]
    for path, (codec, rate_hz) in zip(paths, CODECS.values(), strict=True):
        command = [ffmpeg_exe(), "-v", "error", "-y", "-i", str(folder / "source.wav")]
        command += ["-c:a", codec, "-ar", str(rate_hz), "-b:a", "160k", str(path)]
        subprocess.run(command, check=True)
    return paths


def speeds(paths: list[Path], sample_rate_hz: int, n_rounds: int) -> dict[str, float]:
    """Return the median of seconds of audio a CPU second, by suffix."""
    rates: dict[str, list[float]] = {path.suffix: [] for path in paths}
    for _ in range(n_rounds):
        for path in paths:
            began = time.process_time()
            samples = decode(path, sample_rate_hz=sample_rate_hz)
            rates[path.suffix].append(len(samples) / sample_rate_hz / (time.process_time() - began))
    return {suffix: statistics.median(values) for suffix, values in rates.items()}


def level_db(tone_hz: float, rate_hz: int, sample_rate_hz: int) -> float:
    """Return what is left of a tone at full scale once it is resampled."""
    file, time_s = io.BytesIO(), np.arange(2 * rate_hz) / rate_hz
    tone = np.sin(2 * np.pi * tone_hz * time_s)
    soundfile.write(file, tone, rate_hz, format="WAV", subtype="FLOAT")
    got = decode(file.getvalue(), sample_rate_hz=sample_rate_hz).astype(np.float64)
    middle = got[len(got) // 4 : -len(got) // 4]
    return float(20 * np.log10(np.sqrt(2 * np.mean(middle**2)) + 1e-20))


def main() -> None:
    """Print a line a rate."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rate", type=int, nargs="+", default=[32_000, 16_000], metavar="HZ")
    parser.add_argument("--seconds", type=int, default=240)
    parser.add_argument("--rounds", type=int, default=5)
    flags = parser.parse_args()
    print(pipeline.__file__)
    with tempfile.TemporaryDirectory() as folder:
        paths = write_files(Path(folder), flags.seconds)
        for rate_hz in flags.rate:
            found = speeds(paths, rate_hz, flags.rounds)
            alias, droop = (level_db(k * rate_hz / 2, 44_100, rate_hz) for k in (1.025, 0.9375))
            words = [f"{suffix} {value:,.0f}" for suffix, value in found.items()]
            print(f"{rate_hz} Hz: {', '.join(words)}; alias {alias:.1f} dB, droop {droop:.2f} dB")


if __name__ == "__main__":
    main()
