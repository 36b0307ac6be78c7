"""Pitch classes: how the energy of a frame is shared among the twelve semitones."""

from __future__ import annotations

from pipeline.audio.description.analysis import FrameSpec
from pipeline.audio.spectra.input_kinds import FeatureInput
from pipeline.audio.spectra.input_spec import InputSpec
from pipeline.audio.spectra.logmel import LogMelSpec


def _of_log_mel(spec: LogMelSpec) -> InputSpec:
    """Return librosa's chroma of the STFT in a log-mel's frames, for A = 440 Hz; largest is 1."""
    frames = FrameSpec(spec.sample_rate_hz, spec.n_fft, spec.hop)
    return FeatureInput("chroma_stft", frames, "window")


NETWORK_INPUT = _of_log_mel
