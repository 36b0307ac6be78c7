"""The tagger: windows of log-mel in dB in, a logit per class out. model.safetensors and model.json.

model.json carries all that tagging needs: architecture, classes, feature spec, window, aggregation,
thresholds; the weights are safetensors, so a model from anywhere loads without running its code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import safetensors.torch
import timm
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from pipeline.audio.logmel import LogMelSpec
from pipeline.audio.windows import WindowSpec
from pipeline.catalog.vocabulary import Vocabulary
from pipeline.errors import SpecMismatch, UsageError
from pipeline.store.folder import Folder

FORMAT = "timbre-model-1"

RANGE_DB = 60.0
"""What lies further below a window's peak is silence to the network, and no window is loud or
quiet: level and noise floor belong to the recording, not to the instrument."""


@dataclass(frozen=True)
class Architecture:
    """What it takes to build the network again."""

    name: str
    """A timm backbone: resnet50, resnet18, efficientnet_b0, ..."""
    n_classes: int
    input_size: tuple[int, int]
    """Log-mels are resized to this height (mel) and width (time)."""
    dropout: float = 0.2
    """Before the head."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for model.json."""
        return {**vars(self), "input_size": list(self.input_size)}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Architecture:
        """Return the architecture that `to_dict` gave."""
        return cls(**{**values, "input_size": tuple(values["input_size"])})


def check_name(name: str) -> None:
    """Raise UsageError unless timm has a backbone of that name."""
    if not timm.is_model(name):
        near = ", ".join(timm.list_models(f"*{name[:6]}*")[:8])
        raise UsageError(f"--model {name!r}: no such timm model; near it: {near or 'nothing'}")


class Tagger(nn.Module):
    """A timm backbone on log-mel windows, with the scaling of its input inside."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        check_name(architecture.name)
        self.architecture = architecture
        self.backbone = timm.create_model(
            architecture.name,
            in_chans=1,
            num_classes=architecture.n_classes,
            drop_rate=architecture.dropout,
        )
        self.backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, windows_db: Tensor) -> Tensor:
        """Return logits, `[n, n_classes]`, for windows in dB, `[n, n_mels, n_frames]`.

        Windows that `resized` has brought to the network's size are taken as they are.
        """
        image_db = self.resized(windows_db)
        below_peak_db = (image_db - image_db.amax(dim=(1, 2), keepdim=True)).clamp(min=-RANGE_DB)
        scaled = 1 + below_peak_db / (RANGE_DB / 2)  # -1 to 1
        image = scaled.unsqueeze(1).contiguous(memory_format=torch.channels_last)
        logits: Tensor = self.backbone(image)
        return logits

    def resized(self, windows_db: Tensor) -> Tensor:
        """Return windows at the network's input size, `[n, height, width]`, still in dB."""
        windows_db = windows_db.float()
        size = self.architecture.input_size
        if windows_db.shape[1:] == size:
            return windows_db
        image = nn.functional.interpolate(
            windows_db.unsqueeze(1), size=size, mode="bilinear", antialias=True
        )
        return image.squeeze(1)


@dataclass(frozen=True)
class ModelCard:
    """model.json: everything but the weights."""

    architecture: Architecture
    vocabulary: Vocabulary
    feature_spec: LogMelSpec
    windows: WindowSpec
    aggregation: str
    """How window scores become a track's: the default of tagging and evaluation."""
    thresholds: dict[str, dict[str, float]]
    """Per aggregation, per class code."""
    dataset_fingerprint: str
    training: dict[str, Any]
    """Config, history and best epoch."""
    provenance: dict[str, str]
    model_id: str = ""
    """The backbone's name and a hash of the weights; given by `save_model`."""

    def to_dict(self) -> dict[str, Any]:
        """Return model.json."""
        return {
            "format": FORMAT,
            "model_id": self.model_id,
            "architecture": self.architecture.to_dict(),
            "classes": self.vocabulary.to_dict(),
            "feature_spec": self.feature_spec.to_dict(),
            "window": self.windows.to_dict(),
            "aggregation": self.aggregation,
            "thresholds": self.thresholds,
            "dataset_fingerprint": self.dataset_fingerprint,
            "training": self.training,
            "provenance": self.provenance,
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelCard:
        """Return the card that `to_dict` gave; SpecMismatch for another format."""
        if values.get("format") != FORMAT:
            raise SpecMismatch(f"model.json: format {values.get('format')!r}, expected {FORMAT!r}")
        return cls(
            architecture=Architecture.from_dict(values["architecture"]),
            vocabulary=Vocabulary.from_dict(values["classes"]),
            feature_spec=LogMelSpec.from_dict(values["feature_spec"]),
            windows=WindowSpec.from_dict(values["window"]),
            aggregation=values["aggregation"],
            thresholds=values["thresholds"],
            dataset_fingerprint=values["dataset_fingerprint"],
            training=values["training"],
            provenance=values["provenance"],
            model_id=values["model_id"],
        )


def save_model(folder: Folder, weights: Mapping[str, Tensor], card: ModelCard) -> ModelCard:
    """Write model.safetensors and then model.json; return the card with its model id."""
    data = safetensors.torch.save({name: t.contiguous() for name, t in weights.items()})
    digest = hashlib.sha256(data).hexdigest()[:12]
    card = replace(card, model_id=f"{card.architecture.name}-{digest}")
    folder.write_bytes("model.safetensors", data)
    folder.write_json("model.json", card.to_dict())
    return card


def load_card(uri: str) -> ModelCard:
    """Read model.json of a model's folder; UsageError where there is none."""
    folder = Folder(uri)
    if not folder.exists("model.json"):
        raise UsageError(f"{uri}: no model.json there; train one with python -m jobs.train")
    return ModelCard.from_dict(folder.read_json("model.json"))


def load_model(uri: str) -> tuple[Tagger, ModelCard]:
    """Read a model, ready to tag: in evaluation mode, on the CPU."""
    card = load_card(uri)
    data = Folder(uri).read_bytes("model.safetensors")
    tagger = Tagger(card.architecture)
    try:
        tagger.load_state_dict(safetensors.torch.load(data))
    except (SafetensorError, RuntimeError) as error:
        raise SpecMismatch(
            f"{uri}/model.safetensors does not fit model.json: {str(error).splitlines()[0]}"
        ) from error
    return tagger.eval(), card


def fingerprint_of(*parts: Any) -> str:
    """Return twelve hex digits that differ when any of the parts does."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
