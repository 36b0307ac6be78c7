"""A model's name in, its front end out."""

from __future__ import annotations

from pipeline.audio.features import FrameSpec
from pipeline.audio.inputs import FeatureInput, InputSpec, LogMelInput, SamplesInput
from pipeline.audio.kaldi import KaldiInput
from pipeline.audio.logmel import LogMelSpec
from pipeline.learn.names import CLASSICAL
from pipeline.learn.presets import PRESETS as PRESETS
from pipeline.learn.presets import preset as preset
from pipeline.learn.pretrained.family import variants


def input_spec_of(model: str, feature_spec: LogMelSpec) -> InputSpec:
    """Return a model's front end: the dataset's log-mel, where it has none of its own."""
    frames = FrameSpec(feature_spec.sample_rate_hz, feature_spec.n_fft, feature_spec.hop)
    own: dict[str, InputSpec] = {
        "cnn1d-raw": SamplesInput(feature_spec.sample_rate_hz, "window"),
        "cnn2d-mfcc": FeatureInput("mfcc", frames, "window"),
        "cnn1d-descriptors": FeatureInput("descriptors", frames, "window"),
        "ast": KaldiInput(),
        **dict.fromkeys(CLASSICAL, FeatureInput("descriptors", frames, "window")),
    }
    if model in variants():
        return variants()[model][0].input_spec
    return own.get(model, LogMelInput(feature_spec))
