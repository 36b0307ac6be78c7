"""Depth: how low the sound lies, and how long its events last."""

from __future__ import annotations

import numpy as np

from pipeline.arrays import Float64
from pipeline.audio.description.timbral.events.envelope import rms_envelope, sample_and_hold
from pipeline.audio.description.timbral.events.onset_strength import onset_strength, stft
from pipeline.audio.description.timbral.events.onsets import onsets, segments
from pipeline.audio.description.timbral.peaks import find_peaks
from pipeline.audio.description.timbral.sound import Sound, log10, weighted_mean
from pipeline.audio.description.timbral.spectra import FrameSums, cut_off, frame_sums

_N_FFT = 4096
_CENTROID_HZ, _RATIO_HZ = 2000.0, 500.0
_LEAST_POWER = 10 ** (-60 / 20)  # of a frame that is more than noise
_LEAST_RMS = 10 ** (-40 / 20)  # of the loudest piece: below it an event has ended
_RMS_LENGTH = 256
_PEAK_CONTRAST = 0.01
_COEFFICIENTS = np.array(
    [
        *(-0.0043703565847874465, 32.83743202462131, 4.750862716905235),
        *(-14.217438690256062, 3.8782339862813924, -0.8544826091735516, 66.69534393444391),
    ]
)


def depth(sound: Sound) -> float:
    """Return the depth, about 0 to 100.

    A regression on the centre of what is below 2 kHz, the share of what is below 500 Hz, the length
    of the events and the pitch.

    References
    ----------
    Pearce, Brookes and Mason, AudioCommons D5.6, depth; timbral_models 0.4.0.
    """
    rate_hz, samples = sound.sample_rate_hz, sound.above_20_hz
    samples = samples / np.abs(samples).max()
    whole, below_2_khz, below_500_hz = (
        frame_sums(one, rate_hz, _N_FFT)
        for one in (
            samples,
            cut_off(samples, "lowpass", _CENTROID_HZ, rate_hz),
            cut_off(samples, "lowpass", _RATIO_HZ, rate_hz),
        )
    )
    is_heard = whole.power > _LEAST_POWER
    centroid_hz = weighted_mean(np.where(is_heard, below_2_khz.centroid_hz, 0), whole.power)
    low = np.where(is_heard, below_500_hz.power, 0) / np.where(whole.power > 0, whole.power, 1)
    ratio = weighted_mean(low, whole.power)
    length = log10(float(np.mean(_event_lengths_s(samples, rate_hz))))
    boost = ratio**10 / (ratio**10 + 0.2)
    centroid_hz = min(centroid_hz, _CENTROID_HZ)
    measures = [centroid_hz, ratio, length, _log_pitch(whole), ratio * length, boost * length, 1.0]
    return float(np.dot(measures, _COEFFICIENTS))


def _event_lengths_s(samples: Float64, sample_rate_hz: int) -> Float64:
    """Return how long each event is above -40 dB after its loudest piece, `[n_events]`."""
    envelope = sample_and_hold(samples, sample_rate_hz, decay_s=0.2)
    strength = onset_strength(np.abs(stft(samples)), sample_rate_hz)
    begins = [onset // _RMS_LENGTH for onset in onsets(envelope, strength, sample_rate_hz)]
    rms = rms_envelope(samples, length=_RMS_LENGTH, hop=_RMS_LENGTH)
    pieces = [piece for piece in segments(rms / rms.max(), begins) if len(piece)]
    n_pieces = [_n_above(piece[piece.argmax() :]) for piece in pieces]
    return np.array(n_pieces) * _RMS_LENGTH / sample_rate_hz


def _n_above(levels: Float64) -> int:
    is_below = levels < _LEAST_RMS
    return int(is_below.argmax()) if is_below.any() else len(levels)


def _log_pitch(sums: FrameSums) -> float:
    """Return log10 of the lowest peak of the whole spectrum in Hz; 0 where there is no peak."""
    scaled = (sums.spectrum - sums.spectrum.min()) / np.ptp(sums.spectrum)
    pitches_hz = find_peaks(scaled, sums.frequencies_hz, _PEAK_CONTRAST).frequencies_hz
    return log10(pitches_hz.min()) if len(pitches_hz) and pitches_hz[0] > 0 else 0.0
