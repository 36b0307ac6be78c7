"""200 sounds made by formulas from a seed: what the timbral descriptors are compared on.

The same on every machine to the last digits of float32: NumPy's generators, nobody's filters.
"""

from __future__ import annotations

import numpy as np

RATE_HZ = 44_100
N_SOUNDS = 200


def sound(number: int) -> np.ndarray:
    """Return one of the 200 sounds, float32 `[n_samples]`, mono at 44.1 kHz, 0.3 to 3 s."""
    rng = np.random.default_rng([20_261_001, number])
    make = _KINDS[number % len(_KINDS)]
    samples = make(rng, rng.uniform(0.3, 3.0))
    peak = 10 ** (rng.uniform(-30, 0) / 20)
    return (peak * samples / np.abs(samples).max()).astype(np.float32)


def _time(seconds: float) -> np.ndarray:
    return np.arange(round(seconds * RATE_HZ)) / RATE_HZ


def _pitch(rng: np.random.Generator) -> float:
    return float(55 * 2 ** rng.uniform(0, 5))


def _harmonic(rng: np.random.Generator, time_s: np.ndarray, pitch_hz: float) -> np.ndarray:
    n, fall = int(rng.integers(1, 24)), rng.uniform(0.5, 2.5)
    partials = [k for k in range(1, n + 1) if k * pitch_hz < 0.45 * RATE_HZ]
    phases = rng.uniform(0, 2 * np.pi, n)
    waves = [k**-fall * np.sin(2 * np.pi * k * pitch_hz * time_s + phases[k - 1]) for k in partials]
    return np.sum(waves, axis=0)


def _coloured(rng: np.random.Generator, n_samples: int) -> np.ndarray:
    """Return noise whose power falls or rises with the frequency, between two of them."""
    spectrum = np.fft.rfft(rng.standard_normal(n_samples))
    frequencies_hz = np.fft.rfftfreq(n_samples, 1 / RATE_HZ)
    low_hz = 10 ** rng.uniform(1.5, 3.5)
    high_hz = min(low_hz * 10 ** rng.uniform(0.3, 2), 20_000)
    gain = np.maximum(frequencies_hz, 20) ** rng.uniform(-1, 0.3)
    gain *= np.exp(-np.maximum(0, np.log2(np.maximum(frequencies_hz, 1) / high_hz)) * 4)
    gain *= np.exp(-np.maximum(0, np.log2(low_hz / np.maximum(frequencies_hz, 1))) * 2)
    return np.fft.irfft(spectrum * gain, n_samples)


def _floor(rng: np.random.Generator, n_samples: int) -> np.ndarray:
    return 10 ** (rng.uniform(-90, -60) / 20) * rng.standard_normal(n_samples)


def _percussive(rng: np.random.Generator, seconds: float) -> np.ndarray:
    time_s = _time(seconds)
    decay = np.exp(-time_s / rng.uniform(0.02, 0.4))
    sweep_hz = _pitch(rng) * (1 + rng.uniform(0, 3) * np.exp(-time_s / 0.03))
    body = np.sin(2 * np.pi * np.cumsum(sweep_hz) / RATE_HZ)
    snap = _coloured(rng, len(time_s)) * np.exp(-time_s / rng.uniform(0.005, 0.2))
    mix = rng.uniform(0, 1)
    snap /= np.abs(snap).max()
    rise = np.minimum(1, time_s / rng.uniform(0.0005, 0.01))
    return (mix * body * decay + (1 - mix) * snap) * rise + _floor(rng, len(time_s))


def _tone(rng: np.random.Generator, seconds: float) -> np.ndarray:
    time_s = _time(seconds)
    vibrato = 1 + 0.01 * rng.uniform(0, 1) * np.sin(2 * np.pi * 5 * time_s)
    tone = _harmonic(rng, np.cumsum(vibrato) / RATE_HZ, _pitch(rng))
    rise, fall = rng.uniform(0.002, 0.2), rng.uniform(0.05, 0.3)
    fade = np.minimum(1, time_s / rise) * np.minimum(1, (seconds - time_s) / fall)
    return tone * np.maximum(fade, 0) + _floor(rng, len(time_s))


def _bursts(rng: np.random.Generator, seconds: float) -> np.ndarray:
    time_s = _time(seconds)
    noise = _coloured(rng, len(time_s))
    gate = np.zeros(len(time_s))
    for begin_s in np.cumsum(rng.uniform(0.15, 0.6, 12)) - 0.15:
        since_s = time_s - begin_s
        gate += np.where(since_s >= 0, np.exp(-np.maximum(since_s, 0) / rng.uniform(0.01, 0.2)), 0)
    return noise / np.abs(noise).max() * gate + _floor(rng, len(time_s))


def _chord(rng: np.random.Generator, seconds: float) -> np.ndarray:
    time_s, root_hz = _time(seconds), _pitch(rng) / 2
    notes = rng.choice(12, int(rng.integers(2, 5)), replace=False)
    sums = np.sum([_harmonic(rng, time_s, root_hz * 2 ** (note / 12)) for note in notes], axis=0)
    plucked = np.exp(-time_s / rng.uniform(0.1, 2)) * np.minimum(1, time_s / 0.004)
    return sums * plucked + _floor(rng, len(time_s))


def _melody(rng: np.random.Generator, seconds: float) -> np.ndarray:
    time_s = _time(seconds)
    samples = _floor(rng, len(time_s))
    for begin_s in np.cumsum(rng.uniform(0.12, 0.7, 12)) - 0.1:
        since_s = np.maximum(time_s - begin_s, 0)
        note = np.exp(-since_s / rng.uniform(0.05, 0.6)) * np.minimum(1, since_s / 0.003)
        samples += rng.uniform(0.3, 1) * note * _harmonic(rng, since_s, _pitch(rng))
    return samples


def _hall(rng: np.random.Generator, seconds: float) -> np.ndarray:
    """Return a chord or a drum in a hall whose noise decays by 60 dB in 0.2 to 2 s."""
    dry = (_percussive, _chord)[int(rng.integers(2))](rng, seconds)
    time_s = _time(seconds)
    tail = rng.standard_normal(len(time_s)) * 10 ** (-3 * time_s / rng.uniform(0.2, 2))
    n_fft = 2 * len(time_s)
    wet = np.fft.irfft(np.fft.rfft(dry, n_fft) * np.fft.rfft(tail, n_fft), n_fft)[: len(time_s)]
    return dry / np.abs(dry).max() + rng.uniform(0.2, 2) * wet / np.abs(wet).max()


_KINDS = (_percussive, _tone, _bursts, _chord, _melody, _hall, _percussive, _chord)
