"""Warmth: the power around the lowest partials against what lies above them."""

from __future__ import annotations

import numpy as np
import scipy.signal

from pipeline.arrays import Float64
from pipeline.audio.description.timbral.events.onsets import onsets, segments
from pipeline.audio.description.timbral.peaks import find_peaks
from pipeline.audio.description.timbral.sound import Sound, log10, weighted_mean

_N_FFT = 4096 * 2
_N_LEAD = 4096
_WARM_POINTS, _HIGH_POINTS = (10, 40), (80, 240)  # of the Bark scale, 0.1 Bark each
_PEAK_CONTRAST = 0.2
_LOW_HZ, _HIGHEST_REGION_HZ, _PARTIALS = 260.0, 12_000.0, 3.5
_COEFFICIENTS = np.array(
    [
        *(-4.464258317026696, -0.08819320850778556, 0.29156539973575546),
        *(17.274733561081554, 8.403340066029507, 45.21212125085579),
    ]
)


def warmth(sound: Sound) -> float:
    """Return the warmth, about 0 to 100.

    References
    ----------
    Pearce, Brookes and Mason, AudioCommons D5.6, warmth; timbral_models 0.4.0.
    """
    rate_hz = sound.sample_rate_hz
    begins = onsets(sound.envelope, sound.onset_strength, rate_hz, n_lead=_N_LEAD)
    events = segments(sound.samples, begins if len(begins) > 1 else [0])
    measures = np.array([_of_event(event, rate_hz) for event in events])
    rms = np.array([np.sqrt(np.square(event).mean()) for event in events])
    high = weighted_mean(sound.bark_levels(*_HIGH_POINTS), sound.window_rms)
    warm = float(np.mean(sound.bark_levels(*_WARM_POINTS)))
    centroid_hz, fit, _ = measures.mean(axis=0)
    ratio = weighted_mean(measures[:, 2], rms)
    return float(np.dot([log10(centroid_hz), high, warm, fit, ratio, 1.0], _COEFFICIENTS))


def _of_event(event: Float64, sample_rate_hz: int) -> tuple[float, float, float]:
    """Return the centroid in Hz, how straight the decay of the spectrum is, and the low share.

    NaN where the event is silent, or has bins without any power.
    """
    frequencies_hz, power = _spectrum(event, sample_rate_hz)
    if not power.max() > 0:
        return (float("nan"),) * 3
    peaks = find_peaks(power / power.max(), frequencies_hz, _PEAK_CONTRAST)
    lowest_hz = float(peaks.frequencies_hz.min())
    above = frequencies_hz > min(_PARTIALS * lowest_hz, _HIGHEST_REGION_HZ)
    share = power[peaks.bins.min() : np.argmax(frequencies_hz > _LOW_HZ)].sum() / power.sum()
    return (
        float(np.dot(frequencies_hz, power) / power.sum()),
        _straightness(frequencies_hz[above], power[above]),
        float(share) if lowest_hz < _LOW_HZ else 0.0,
    )


def _spectrum(event: Float64, sample_rate_hz: int) -> tuple[Float64, Float64]:
    """Return frequencies and power of 8,192 points, summed over the event, `[4097]` each."""
    frequencies_hz, _, power = scipy.signal.spectrogram(
        event, sample_rate_hz, nperseg=min(len(event), _N_FFT), nfft=_N_FFT
    )
    return frequencies_hz, power.sum(axis=1)


def _straightness(frequencies_hz: Float64, power: Float64) -> float:
    """Return R squared of a line through the logarithms of frequency and power."""
    if not (power > 0).all():
        return float("nan")
    return float(np.corrcoef(np.log10(frequencies_hz), np.log10(power))[0, 1] ** 2)
