"""A decoded segment in, a clip out: exactly as long as asked, as a 16-bit wav file. PURE."""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
import soundfile

from pipeline.arrays import Float32
from pipeline.errors import DecodeError, Reason

TOLERANCE_S = 0.5
"""A segment that is short by more than this is rejected; by less, padded with zeros."""

FULL_SCALE = 32_768
"""What a 16-bit sample of amplitude 1.0 would be."""


def fit_length(samples: Float32, *, n_samples: int, sample_rate_hz: int) -> Float32:
    """Return exactly `n_samples` samples: cut, or padded with zeros where a little short."""
    missing = n_samples - len(samples)
    if missing > TOLERANCE_S * sample_rate_hz:
        got_s, asked_s = len(samples) / sample_rate_hz, n_samples / sample_rate_hz
        raise DecodeError(Reason.TOO_SHORT, f"got {got_s:.3f} s of the {asked_s:.3f} s asked for")
    return np.pad(samples, (0, missing)) if missing > 0 else samples[:n_samples]


def to_pcm16(samples: Float32) -> npt.NDArray[np.int16]:
    """Return 16-bit samples; what is beyond full scale is clipped."""
    return np.clip(np.rint(samples * FULL_SCALE), -FULL_SCALE, FULL_SCALE - 1).astype(np.int16)


def from_pcm16(samples: npt.NDArray[np.int16]) -> Float32:
    """Return float samples in -1..1."""
    return samples.astype(np.float32) / np.float32(FULL_SCALE)


def from_wav(wav: bytes) -> tuple[Float32, int]:
    """Return the samples of a clip's wav file, in -1..1, and their rate in Hz."""
    pcm, rate_hz = soundfile.read(io.BytesIO(wav), dtype="int16")
    return from_pcm16(pcm), int(rate_hz)


def wav_bytes(samples: npt.NDArray[np.int16], sample_rate_hz: int) -> bytes:
    """Return a whole mono pcm_s16le wav file."""
    file = io.BytesIO()
    soundfile.write(file, samples, sample_rate_hz, format="WAV", subtype="PCM_16")
    return file.getvalue()


def loudest_start_s(samples: Float32, rate_hz: int, window_s: float) -> float:
    """Return where the window of the most power begins, of those that stand side by side."""
    length = max(1, round(window_s * rate_hz))
    starts = range(0, max(1, len(samples) - length + 1), length)
    return max(starts, key=lambda at: float(np.square(samples[at : at + length]).sum())) / rate_hz
