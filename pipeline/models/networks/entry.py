"""What the registry knows of a network: its name, how it is built, what it takes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from torch import nn

from pipeline.audio.description.features import FrameSpec
from pipeline.audio.spectra.input_kinds import FeatureInput, LogMelInput, SamplesInput
from pipeline.audio.spectra.input_spec import InputSpec
from pipeline.audio.spectra.logmel import LogMelSpec


@dataclass(frozen=True)
class Entry:
    """A network of the registry."""

    name: str
    """Name of the network, as `jobs.train --model` takes it."""
    build: Callable[[int, tuple[int, int], float], nn.Module]
    """From classes, shape of a window and dropout; the weights are random."""
    takes: str = "log-mels"
    """What the windows hold, in words, for messages."""
    smallest: tuple[int, int] = (1, 1)
    """Rows and columns below which pooling would leave nothing."""
    n_rows: int | None = None
    """Rows where only one number is possible."""
    front_end: Callable[[LogMelSpec], InputSpec] = LogMelInput
    """From the dataset's log-mel to the network's front end: by default that log-mel."""
    takes_any_length: bool = False
    """Whether one network takes windows of different lengths: it pools over time."""


def levelled(feature: str, spec: LogMelSpec) -> FeatureInput:
    """Return a feature in the frames of a log-mel, each window at the same level."""
    return FeatureInput(feature, FrameSpec(spec.sample_rate_hz, spec.n_fft, spec.hop), "window")


def benchmark_log_mel(n_mels: int, spec: LogMelSpec) -> LogMelInput:
    """Return the log-mel of the music tagging benchmark, whatever the dataset's own is.

    Won et al. 2020, "Evaluation of CNN-based automatic music tagging models", section 3: 16 kHz,
    frames of 512 samples that are 256 samples apart, bands on HTK's scale from 0 to 8 kHz.
    """
    return LogMelInput(
        LogMelSpec(16_000, 512, 256, n_mels, 0.0, 8000.0, htk=True, padding="reflect")
    )


def benchmark_samples(spec: LogMelSpec) -> SamplesInput:
    """Return samples at the 16 kHz of the same benchmark, each window at the same level."""
    return SamplesInput(16_000, "window")
