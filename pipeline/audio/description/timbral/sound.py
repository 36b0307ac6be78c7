"""One sound, and what its timbral descriptors share: loudness, spectra, envelope, onsets."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from pipeline.arrays import Float64
from pipeline.audio.description.timbral.events.envelope import sample_and_hold
from pipeline.audio.description.timbral.events.onset_strength import onset_strength, stft
from pipeline.audio.description.timbral.loudness.zwicker import (
    SpecificLoudness,
    specific_loudness,
)
from pipeline.audio.description.timbral.spectra import cut_off

_WINDOW = 4096
_LOWEST_HZ = 20.0


@dataclass(frozen=True, eq=False)
class Sound:
    """A sound at one loudness. Everything is computed at its first use."""

    samples: Float64
    """Mono, brought to -24 LUFS, `[n_samples]`."""
    sample_rate_hz: int
    """Samples a second: 44,100 or more, as a lower rate is raised to it."""

    @cached_property
    def windows(self) -> Float64:
        """Windows of 4,096 samples side by side, the last filled with zeros, `[n_windows, 4096]`.

        Where nothing is left for the last window it is all zeros, as in timbral_models.
        """
        missing = _WINDOW - len(self.samples) % _WINDOW
        return np.pad(self.samples, (0, missing)).reshape(-1, _WINDOW)

    @cached_property
    def window_rms(self) -> Float64:
        """Root of the mean square of each window, `[n_windows]`."""
        return np.asarray(np.sqrt(np.square(self.windows).mean(axis=1)))

    @cached_property
    def loudness(self) -> SpecificLoudness:
        """Specific loudness of each window."""
        return specific_loudness(self.windows, self.sample_rate_hz)

    def bark_levels(self, first: int, end: int) -> Float64:
        """Return the specific loudness of a range of the Bark scale in each window, `[n_windows]`.

        Summed over the points `first` to `end` (0.1 Bark each), weighted by a hump that is 0 at the
        first point and 1 in the middle.
        """
        points = np.arange(first, end)
        hump = np.exp(-np.square(points - (first + end) / 2) / 2 * 0.01**2)
        hump = (hump - hump.min()) / np.ptp(hump)
        return np.asarray(self.loudness.pattern[:, first:end] @ hump)

    @cached_property
    def above_20_hz(self) -> Float64:
        """The samples without what is below 20 Hz, `[n_samples]`, at their level."""
        return cut_off(self.samples, "highpass", _LOWEST_HZ, self.sample_rate_hz)

    @cached_property
    def envelope(self) -> Float64:
        """Sample-and-hold envelope that falls within 0.1 s, `[n_samples]`."""
        return sample_and_hold(self.samples, self.sample_rate_hz, decay_s=0.1)

    @cached_property
    def stft(self) -> Float64:
        """STFT of 2,048 samples every 512, `[1025, n_frames]`, complex."""
        return stft(self.samples)

    @cached_property
    def onset_strength(self) -> Float64:
        """Onset strength, `[n_frames]`, in dB."""
        return onset_strength(np.abs(self.stft), self.sample_rate_hz)


def weighted_mean(values: Float64, weights: Float64) -> float:
    """Return the mean of values, weighted; NaN where all weights are 0 or there is nothing."""
    total = float(np.sum(weights))
    return float(np.dot(values, weights)) / total if total > 0 else float("nan")


def log10(value: float) -> float:
    """Return the decimal logarithm; NaN of what is not above 0."""
    return float(np.log10(value)) if value > 0 else float("nan")
