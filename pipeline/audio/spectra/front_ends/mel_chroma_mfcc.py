"""A mel spectrum of 128 bands, 12 pitch classes and 40 MFCC, one below the other."""

from __future__ import annotations

from pipeline.audio.description.analysis import FrameSpec
from pipeline.audio.spectra.input_kinds import FeatureInput
from pipeline.audio.spectra.input_spec import InputSpec
from pipeline.audio.spectra.logmel import LogMelSpec


def _of_log_mel(spec: LogMelSpec) -> InputSpec:
    """Return the three in a log-mel's frames; only the first MFCC says how loud a frame is."""
    frames = FrameSpec(spec.sample_rate_hz, spec.n_fft, spec.hop)
    return FeatureInput("mel_chroma_mfcc", frames, "window")


NETWORK_INPUT = _of_log_mel
