"""Samples in, prepared samples out: low-pass, noise reduction, standardising.

A chain of steps is a text that a job takes and a table's metadata keeps:

    steps = parse_steps("lowpass:8000,denoise")
    apply_steps(samples, steps, sample_rate_hz=44_100)

`denoise` by itself takes away what does not rise above the recording's own mean; `denoise:FILE`
what is no stronger than the noise of a clip, of which the step keeps the profile (`noise_gate`).
Samples are mono float32, `[n_samples]`. PURE.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.arrays import Float32
from pipeline.audio.description.noise_gate import NoiseProfile, without_noise
from pipeline.errors import UsageError

_DITHER = 1e-9  # -180 dB: keeps spectral gating from dividing by the zeros of digital silence


def low_pass(samples: Float32, *, sample_rate_hz: int, cutoff_hz: float, order: int = 8) -> Float32:
    """Return the samples without what is above a frequency, in phase with the input.

    Parameters
    ----------
    samples
        `[n_samples]`.
    sample_rate_hz
        Their rate.
    cutoff_hz
        Where the filter, run forward and backward, is at -6 dB; below half the rate.
    order
        Order of the Butterworth filter; the slope is `12 * order` dB per octave.

    References
    ----------
    scipy, `signal.butter` and `signal.sosfiltfilt`.
    """
    if not 0 < cutoff_hz < sample_rate_hz / 2:
        raise UsageError(
            f"found a low-pass at {cutoff_hz:g} Hz; expected more than 0 and less than "
            f"{sample_rate_hz / 2:g} Hz, half the sample rate"
        )
    if not len(samples):
        return samples
    from scipy import signal  # 0.8 s of CPU, which processes that train or tag seldom need

    sections = signal.butter(order, cutoff_hz, fs=sample_rate_hz, output="sos")
    edge = min(3 * (2 * len(sections) + 1), len(samples) - 1)
    filtered = signal.sosfiltfilt(sections, samples.astype(np.float64), padlen=edge)
    return np.asarray(filtered, np.float32)


def denoise(samples: Float32, *, sample_rate_hz: int) -> Float32:
    """Return the samples after spectral gating; deterministic.

    What does not rise above its own mean over 2 s is taken for noise, so a tone that is held much
    longer goes too. The mask is smoothed over 500 Hz and 50 ms, so what is left of a lone sine is 3
    to 6 dB softer.

    References
    ----------
    Sainburg, Thielk and Gentner, "Finding, visualizing, and quantifying latent structure across
    diverse animal vocal repertoires", PLoS Computational Biology 2020; noisereduce 3.0.
    """
    from noisereduce import reduce_noise  # slow to import, and few chains ask for it

    if not samples.any():
        return samples.copy()
    dither = np.random.default_rng(0).standard_normal(len(samples)) * _DITHER
    try:
        cleaned = reduce_noise(
            y=samples + dither, sr=sample_rate_hz, stationary=False, n_jobs=1, use_tqdm=False
        )
    except ValueError as error:  # the rate is too low for its smoothing
        raise UsageError(f"denoise at {sample_rate_hz} Hz: {error}") from error
    return np.asarray(cleaned, np.float32)


def standardise(samples: Float32, *, mean: float, deviation: float) -> Float32:
    """Return `(samples - mean) / deviation`, with the mean and deviation of a training set."""
    if deviation <= 0:
        raise UsageError(f"found a deviation of {deviation:g}; expected more than 0")
    return np.asarray((samples - np.float32(mean)) / np.float32(deviation), np.float32)


@dataclass(frozen=True)
class Step:
    """One step of a chain; `str(step)` is the text it was parsed from, of noise its hash."""

    name: str
    """Name of the step: lowpass, denoise or standardise."""
    values: tuple[float, ...] = ()
    """Its numbers, in the order of the text."""
    noise: NoiseProfile | None = None
    """Of denoise: the noise that is taken away; None where the recording itself says what is."""

    def __str__(self) -> str:
        told = [] if self.noise is None else [self.noise.digest]
        return ":".join([self.name, *(_plain(value) for value in self.values), *told])

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for json."""
        noise = {} if self.noise is None else {"noise": self.noise.to_dict()}
        return {"name": self.name, "values": list(self.values), **noise}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Step:
        """Return the step that `to_dict` gave; UsageError for one that this version has not."""
        if values["name"] not in _STEPS:
            raise UsageError(_expected(values["name"], None))
        noise = NoiseProfile.from_dict(values["noise"]) if "noise" in values else None
        return cls(values["name"], tuple(values["values"]), noise)


def parse_steps(
    text: str, noise_of: Callable[[str], NoiseProfile] | None = None
) -> tuple[Step, ...]:
    """Return the steps of a text such as `lowpass:8000,denoise`; none for an empty one.

    Known are `lowpass:CUTOFF_HZ`, `denoise` and `standardise:MEAN:DEVIATION`, and `denoise:FILE`
    with `noise_of`, which reads a file of noise; UsageError otherwise.

    Examples
    --------
    >>> [str(step) for step in parse_steps("lowpass:8000, denoise")]
    ['lowpass:8000', 'denoise']
    """
    if not text.strip():
        return ()
    return tuple(_parsed(part.strip(), noise_of) for part in text.split(","))


def apply_steps(samples: Float32, steps: Iterable[Step], *, sample_rate_hz: int) -> Float32:
    """Return the samples after each step in turn; the samples themselves where there is none."""
    for step in steps:
        if step.noise is not None:
            samples = without_noise(samples, step.noise)
        else:
            samples = _STEPS[step.name][1](samples, sample_rate_hz, *step.values)
    return samples


_STEPS: Mapping[str, tuple[tuple[str, ...], Callable[..., Float32]]] = {
    "lowpass": (
        ("CUTOFF_HZ",),
        lambda x, rate_hz, cutoff_hz: low_pass(x, sample_rate_hz=rate_hz, cutoff_hz=cutoff_hz),
    ),
    "denoise": ((), lambda x, rate_hz: denoise(x, sample_rate_hz=rate_hz)),
    "standardise": (("MEAN", "DEVIATION"), lambda x, _, m, d: standardise(x, mean=m, deviation=d)),
}
"""The numbers that each step takes, and what makes it of samples, their rate and those numbers."""


def _parsed(text: str, noise_of: Callable[[str], NoiseProfile] | None) -> Step:
    name, _, rest = text.partition(":")
    if name == "denoise" and rest and noise_of is not None:
        return Step(name, noise=noise_of(rest))
    numbers = text.split(":")[1:]
    try:
        step = Step(name, tuple(float(number) for number in numbers))
    except ValueError:
        raise UsageError(_expected(text, noise_of)) from None
    if name not in _STEPS or len(numbers) != len(_STEPS[name][0]):
        raise UsageError(_expected(text, noise_of))
    # A cutoff and a deviation stand last, and nothing works with one that is 0 or less.
    if not all(map(math.isfinite, step.values)) or (step.values and step.values[-1] <= 0):
        raise UsageError(_expected(text, noise_of) + ", the last number finite and more than 0")
    return step


def _expected(found: str, noise_of: Callable[[str], NoiseProfile] | None) -> str:
    known = [":".join([name, *values]) for name, (values, _) in _STEPS.items()]
    of_noise = [] if noise_of is None else ["denoise:FILE"]
    return f"found step {found!r}; expected one of {', '.join([*known, *of_noise])}"


def _plain(value: float) -> str:
    return str(int(value)) if value.is_integer() else repr(value)
