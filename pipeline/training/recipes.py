"""A model's name in, its front end out."""

from __future__ import annotations

from pipeline.audio.spectra.input_kinds import LogMelInput
from pipeline.audio.spectra.input_spec import InputSpec
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.models.networks.registry import networks
from pipeline.models.pretrained.family import variants
from pipeline.training.presets import PRESETS as PRESETS
from pipeline.training.presets import preset as preset


def input_spec_of(model: str, feature_spec: LogMelSpec) -> InputSpec:
    """Return a model's front end: the dataset's log-mel, where it has none of its own."""
    if model in variants():
        return variants()[model][0].input_spec
    if model in networks():
        return networks()[model].front_end(feature_spec)
    return LogMelInput(feature_spec)
