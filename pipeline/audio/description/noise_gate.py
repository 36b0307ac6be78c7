"""A clip of noise in, its profile out; samples in, samples without that noise out. PURE.

Spectral gating: where the spectrum of a moment is no stronger than the noise, it is taken away.
What comes out of a moment depends on some hundredths of a second around it only, so a track and a
clip of it give the same samples.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.arrays import Float32, Float64
from pipeline.errors import SpecMismatch, UsageError

N_FFT = 1024
HOP = N_FFT // 4
"""Frames begin at multiples of it, so whoever cuts samples into pieces cuts there."""
_N_DEVIATIONS = 1.5  # above the noise's mean; these three are noisereduce's defaults
_SMOOTH_HZ = 500.0
_SMOOTH_S = 0.05
_LEAST = 1e-15  # -300 dB
_BLOCK = 4096 * HOP  # 24 s at 44.1 kHz: the spectrum takes 64 MiB


@dataclass(frozen=True)
class NoiseProfile:
    """How strong a noise is at each frequency: all that is kept of the clip."""

    sample_rate_hz: int
    """Sample rate of the clip, and of all that it is taken away from."""
    limits_db: tuple[float, ...]
    """By bin of a spectrum of 1,024 samples, the level up to which it is noise; 0 is a sine of
    amplitude 2. To a hundredth of a dB."""

    @classmethod
    def of(cls, samples: Float32, sample_rate_hz: int) -> NoiseProfile:
        """Return the profile of a clip of nothing but noise, `[n_samples]`, at least 1,024."""
        if len(samples) < N_FFT:
            raise UsageError(
                f"{len(samples):,} samples are too short for a clip of noise: give 1 s or more"
            )
        if not samples.any():
            raise UsageError("the clip of noise is digital silence: nothing would be taken away")
        level_db = _level_db(_spectrum(samples.astype(np.float64)))
        limits = level_db.mean(axis=1) + _N_DEVIATIONS * level_db.std(axis=1)
        return cls(sample_rate_hz, tuple(np.round(limits, 2).tolist()))

    @property
    def digest(self) -> str:
        """Twelve hex digits that are others where the noise is another one."""
        return hashlib.sha256(json.dumps(self.to_dict()).encode()).hexdigest()[:12]

    @property
    def context(self) -> int:
        """Samples on either side of a moment on which it depends."""
        return 2 * N_FFT + HOP * (1 + self._smoothing[1])

    @property
    def _smoothing(self) -> tuple[int, int]:
        """Return over how many bins and frames the mask rises and falls."""
        bins = int(_SMOOTH_HZ / (self.sample_rate_hz / (N_FFT / 2)))
        return max(1, bins), max(1, int(_SMOOTH_S * self.sample_rate_hz / HOP))

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for json."""
        return {"sample_rate_hz": self.sample_rate_hz, "limits_db": list(self.limits_db)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> NoiseProfile:
        """Return the profile that `to_dict` gave."""
        if len(values["limits_db"]) != N_FFT // 2 + 1:
            raise SpecMismatch("noise profile of another version")
        return cls(values["sample_rate_hz"], tuple(values["limits_db"]))


def without_noise(samples: Float32, profile: NoiseProfile) -> Float32:
    """Return samples, `[n_samples]`, less what is no stronger than a noise.

    The mask is smoothed over 500 Hz and 50 ms, so what is left of a lone sine is some dB softer.

    References
    ----------
    Sainburg, Thielk and Gentner, "Finding, visualizing, and quantifying latent structure across
    diverse animal vocal repertoires", PLoS Computational Biology 2020; as noisereduce 3.0 does with
    a clip of noise.
    """
    found = np.empty(len(samples), np.float32)
    margin = -(-profile.context // HOP) * HOP
    for start in range(0, len(samples), _BLOCK):
        end, first = min(start + _BLOCK, len(samples)), max(0, start - margin)
        piece = np.pad(samples[first : end + margin].astype(np.float64), margin)
        gated = _gated(piece, profile)[margin:]
        found[start:end] = gated[start - first : end - first]
    return found


def _gated(samples: Float64, profile: NoiseProfile) -> Float64:
    from scipy import ndimage, signal  # see `_spectrum`

    spectrum = _spectrum(samples)
    limits_db = np.array(profile.limits_db)[:, np.newaxis]
    mask = (_level_db(spectrum) > limits_db).astype(np.float64)
    for axis, width in enumerate(profile._smoothing):
        mask = ndimage.convolve1d(mask, _triangle(width), axis=axis, mode="constant")
    _, gated = signal.istft(spectrum * mask, nperseg=N_FFT, noverlap=N_FFT - HOP)
    return np.asarray(gated)


def _spectrum(samples: Float64) -> Any:
    """Return the STFT of Hann windows, `[513, n_frames]`; what fills no frame is left out."""
    from scipy import signal  # 0.8 s of CPU, which processes that train or tag seldom need

    return signal.stft(samples, nperseg=N_FFT, noverlap=N_FFT - HOP, padded=False)[2]


def _level_db(spectrum: Any) -> Float64:
    return np.asarray(20 * np.log10(np.maximum(np.abs(spectrum), _LEAST)))


def _triangle(width: int) -> Float64:
    """Return weights that rise over `width` values and fall again; their sum is 1."""
    rise = np.arange(1, width + 1) / (width + 1)
    weights: Float64 = np.concatenate([rise, [1.0], rise[::-1]])
    weights /= weights.sum()
    return weights
