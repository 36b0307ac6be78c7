"""Brightness: how much of the power is above 2 kHz, and where its centre is."""

from __future__ import annotations

import numpy as np

from pipeline.audio.description.timbral.sound import Sound, log10, weighted_mean
from pipeline.audio.description.timbral.spectra import cut_off, frame_sums

_N_FFT = 2048
_RATIO_HZ, _CENTROID_HZ = 2000.0, 100.0
_LOG_RATIO, _LOG_CENTROID, _OFFSET = 4.613128018020465, 17.378889309312974, 17.434733750553022


def brightness(sound: Sound) -> float:
    """Return the brightness, about 0 to 100.

    References
    ----------
    Pearce, Brookes and Mason, AudioCommons D5.6, brightness; timbral_models 0.4.0.
    """
    rate_hz, samples = sound.sample_rate_hz, sound.above_20_hz
    samples = samples / np.abs(samples).max()
    above = cut_off(samples, "highpass", _RATIO_HZ, rate_hz)
    whole, high = (frame_sums(one, rate_hz, _N_FFT).power for one in (samples, above))
    is_heard = whole > 0
    ratio = weighted_mean(high[is_heard] / whole[is_heard], whole[is_heard])
    centred = frame_sums(cut_off(samples, "highpass", _CENTROID_HZ, rate_hz), rate_hz, _N_FFT)
    centroid_hz = weighted_mean(centred.centroid_hz, centred.power)
    return _LOG_RATIO * log10(ratio) + _LOG_CENTROID * log10(centroid_hz) + _OFFSET
