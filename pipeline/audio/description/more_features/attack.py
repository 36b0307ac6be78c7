"""How a sound begins, and where in time its energy lies: one column for the whole recording."""

from __future__ import annotations

import numpy as np

from pipeline.arrays import Float64
from pipeline.audio.description.analysis import Analysis, Matrix
from pipeline.audio.description.feature import Feature, named

_ENVELOPE_S = 0.01
_START, _STOP = 0.2, 0.9
_LEAST_S = 1e-5


def attack(analysis: Analysis) -> Matrix:
    """Return log10 of the attack time in s, and the temporal centroid in s, `[2, 1]`.

    The envelope is the rectified sound behind a low-pass filter of one pole, 10 ms. The attack is
    the time from its first value above 20 % of its largest to its first above 90 %; 10 us at least
    (a log of -5), which silence has as well. The temporal centroid is the mean time, weighted by
    the envelope, from the beginning of the recording; 0 in silence.

    References
    ----------
    Essentia 2.1, `LogAttackTime`, `Envelope` and `Centroid`, as the AudioCommons extractor uses
    them; Peeters, "A large set of audio features for sound description", IRCAM 2004, section 4.
    """
    rate_hz = analysis.spec.sample_rate_hz
    envelope = _envelope(analysis.samples, rate_hz)
    most, total = envelope.max(), envelope.sum()
    if not total > 0:
        return np.array([[np.log10(_LEAST_S)], [0.0]], np.float32)
    start, stop = (int(np.argmax(envelope >= share * most)) for share in (_START, _STOP))
    attack_s = max((stop - start) / rate_hz, _LEAST_S)
    centroid_s = float(np.arange(len(envelope)) @ envelope) / total / rate_hz
    return np.array([[np.log10(attack_s)], [centroid_s]], np.float32)


def _envelope(samples: Matrix, rate_hz: int) -> Float64:
    from scipy.signal import lfilter  # here, as it takes a second, and tagging imports this module

    kept = np.exp(-1 / (rate_hz * _ENVELOPE_S))
    return np.asarray(lfilter([1 - kept], [1, -kept], np.abs(samples), axis=0))


FEATURE = Feature(
    "attack",
    named("log_attack_time", "temporal_centroid_s"),
    "log10 s, s",
    "Essentia 2.1; Peeters 2004",
    attack,
    columns="recording",
    settings={"envelope_s": _ENVELOPE_S, "start": _START, "stop": _STOP},
)
