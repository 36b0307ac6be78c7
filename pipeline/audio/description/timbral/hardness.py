"""Hardness: how fast, wide and percussive the attacks of a sound are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import scipy.fft

from pipeline.arrays import Float64
from pipeline.audio.description.timbral.events.attack import (
    attack_of_least_effort,
    attack_start_at_20_percent,
)
from pipeline.audio.description.timbral.events.bandwidth import HOP, LENGTH, bandwidths_hz
from pipeline.audio.description.timbral.events.onset_strength import HOP as STRENGTH_HOP
from pipeline.audio.description.timbral.events.onset_strength import onset_strength, stft
from pipeline.audio.description.timbral.events.onsets import onsets, segments
from pipeline.audio.description.timbral.percussive import percussive_share
from pipeline.audio.description.timbral.sound import Sound, log10, weighted_mean

_N_SILENT = LENGTH + 1  # samples of silence before the sound: its start is an attack, too
_MID_POINTS = (70, 140)  # of the Bark scale, 0.1 Bark each
_LONGEST_ATTACK_S, _CENTROID_S = 0.1, 0.125
_LEAST_SAMPLES = 512
_LEAST_BANDWIDTH_HZ, _LEAST_CENTROID_HZ, _LOWEST_HZ = 512.0, 200.0, 20.0
_COEFFICIENTS = np.array(
    [
        *(12.079781720638145, 18.52100377170042, 14.139883645260355, 5.567690321917516),
        *(3.9346817690405635, -4.326890461087848, -85.60352209068202),
    ]
)


@dataclass(frozen=True)
class _Event:
    """One event of the sound, at four rates."""

    samples: Float64
    envelope: Float64
    strength: Float64
    bandwidths_hz: Float64


def hardness(sound: Sound) -> float:
    """Return the hardness, about 0 to 100; NaN where an event has no attack.

    A regression on the bandwidth and the centroid of the attacks, the loudness from 7 to 14 Bark,
    the percussive share, the onset strength and the attack time.

    References
    ----------
    Pearce, Brookes and Mason, AudioCommons D5.6, hardness; timbral_models 0.4.0.
    """
    rate_hz, events = sound.sample_rate_hz, _events(sound)
    attacks = [
        attack_of_least_effort(event.envelope, rate_hz, _LONGEST_ATTACK_S) for event in events
    ]
    if not events or any(attack is None for attack in attacks):
        return float("nan")
    found = [attack for attack in attacks if attack is not None]
    centroids_hz = [
        _centroid_hz(event.samples[attack.start :], rate_hz)
        for event, attack in zip(events, found, strict=True)
    ]
    measures = [
        log10(_bandwidth_hz(events, rate_hz)),
        log10(max(_mean([hz for hz in centroids_hz if hz is not None]), _LEAST_CENTROID_HZ)),
        log10(weighted_mean(sound.bark_levels(*_MID_POINTS), sound.window_rms)),
        log10(percussive_share(sound.samples, sound.stft)),
        log10(_mean([float(event.strength.max()) for event in events])),
        _mean([float(np.log10(attack.time_s)) for attack in found]),
        1.0,
    ]
    return float(np.dot(measures, _COEFFICIENTS))


def _events(sound: Sound) -> list[_Event]:
    """Return the events of the sound; none if one of them is empty at some rate."""
    samples = np.pad(sound.samples, (_N_SILENT, 0))
    envelope = np.pad(sound.envelope, (_N_SILENT, 0))
    strength = onset_strength(np.abs(stft(samples)), sound.sample_rate_hz)
    begins = onsets(envelope, strength, sound.sample_rate_hz, n_lead=LENGTH)
    begins = begins if len(begins) > 1 else [0]
    wide_hz = bandwidths_hz(samples, sound.sample_rate_hz)
    parts = (
        segments(samples, begins),
        segments(envelope, begins),
        segments(strength, [begin // STRENGTH_HOP for begin in begins]),
        segments(wide_hz, [max(0, begin - LENGTH) // HOP for begin in begins]),
    )
    events = [_Event(*event) for event in zip(*parts, strict=True)]
    is_whole = all(len(e.envelope) and len(e.strength) and len(e.bandwidths_hz) for e in events)
    return events if is_whole else []


def _bandwidth_hz(events: list[_Event], sample_rate_hz: int) -> float:
    """Return the mean of the attacks' largest bandwidths, weighted by onset strength.

    `sample_rate / 512` where that is not above 512 Hz or there is no attack.
    """
    widest = [_widest_hz(event.bandwidths_hz, sample_rate_hz / HOP) for event in events]
    found = [(w, e.strength.max()) for w, e in zip(widest, events, strict=True) if w is not None]
    mean_hz = weighted_mean(*np.array(found).T) if found else 0.0
    return sample_rate_hz / 512 if mean_hz <= _LEAST_BANDWIDTH_HZ else mean_hz


def _widest_hz(wide_hz: Float64, rate_hz: float) -> float | None:
    """Return the largest bandwidth of the first 0.1 s of the attack; None without an attack."""
    start = attack_start_at_20_percent(wide_hz) if wide_hz.max() > 0 else None
    if start is None:
        return None
    n_attack, rest = int(_LONGEST_ATTACK_S * rate_hz), wide_hz[start:]
    # The start counts twice, as in timbral_models: it decides whether the attack is cut.
    return float(rest[:n_attack].max() if len(rest) > start + n_attack else rest.max())


def _centroid_hz(samples: Float64, sample_rate_hz: int) -> float | None:
    """Return the centroid of the magnitudes of the first 125 ms; None for less than 512 samples."""
    samples = samples[: int(_CENTROID_S * sample_rate_hz)]
    if len(samples) <= _LEAST_SAMPLES:
        return None
    n_fft = 2 ** int(np.ceil(np.log2(len(samples))))
    magnitude = np.abs(scipy.fft.rfft(samples, n_fft))
    frequencies_hz = scipy.fft.rfftfreq(n_fft, 1 / sample_rate_hz)
    heard = frequencies_hz >= _LOWEST_HZ
    total = float(magnitude[heard].sum())
    return float(np.dot(magnitude[heard], frequencies_hz[heard])) / total if total > 0 else None


def _mean(values: list[float]) -> float:
    return float(np.mean(values)) if values else 0.0
