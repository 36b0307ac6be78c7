"""A model's name in, its front end out."""

from __future__ import annotations

from pipeline.audio.spectra.input_kinds import LogMelInput, network_inputs
from pipeline.audio.spectra.input_spec import InputSpec
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.errors import UsageError
from pipeline.models.networks.registry import networks
from pipeline.models.pretrained.family import variants
from pipeline.training.presets import PRESETS as PRESETS
from pipeline.training.presets import preset as preset


def input_spec_of(model: str, feature_spec: LogMelSpec, name: str | None = None) -> InputSpec:
    """Return a model's front end: the dataset's log-mel, where it has none of its own.

    With a `name` of `input_kinds.network_inputs`, which only networks of log-mels take, that one.
    """
    if name is not None:
        return _named(model, feature_spec, name)
    if model in variants():
        return variants()[model][0].input_spec
    if model in networks():
        return networks()[model].front_end(feature_spec)
    return LogMelInput(feature_spec)


def _named(model: str, feature_spec: LogMelSpec, name: str) -> InputSpec:
    if not isinstance(input_spec_of(model, feature_spec), LogMelInput):
        raise UsageError(
            f"--input {name}: {model} has an input of its own; give it to a network of log-mels, "
            "such as resnet18 or crnn"
        )
    return network_inputs()[name](feature_spec)
