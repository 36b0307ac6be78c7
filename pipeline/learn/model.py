"""The tagger: windows of its front end in, a logit per class out. model.safetensors, model.json.

model.json carries all that tagging needs: architecture, classes, feature spec, window, aggregation,
thresholds; the weights are safetensors, so a model from anywhere loads without running its code.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from pipeline.arrays import Float32
from pipeline.audio.analysis import N_MELS
from pipeline.audio.inputs import InputSpec, input_from_dict
from pipeline.audio.windows import WindowSpec
from pipeline.errors import SpecMismatch, UsageError
from pipeline.learn.names import Pool
from pipeline.learn.networks.classical import CLASSICAL
from pipeline.learn.networks.pooling import pooled
from pipeline.learn.networks.probe import PROBE, Probe
from pipeline.learn.networks.registry import (
    backbone_names,
    build_network,
    is_known,
    known_names,
    timm_backbone,
)
from pipeline.learn.pretrained.outputs import OutputMap
from pipeline.learn.starter import ENSEMBLE_FILE, model_uri
from pipeline.selection.vocabulary import Vocabulary
from pipeline.store.folder import Folder

FORMAT = "timbre-model-1"
_NO_MODEL = "train one with python -m jobs.train, or import one with python -m jobs.import_model"

DEFAULT_MIN_CONFIDENCE = 0.2
"""Least mean of a class's three highest window scores for a label, where a model says no other."""

RANGE_DB = 60.0
"""What lies further below a window's peak is silence to the network, and no window is loud or
quiet: level and noise floor belong to the recording, not to the instrument."""
_RANGE_MFCC = RANGE_DB * N_MELS**0.5  # the first MFCC is the mean of the bands times their root
_LEAST_LEVEL = 1e-6  # what is less is silence, and is not divided by nothing


@dataclass(frozen=True)
class Architecture:
    """What it takes to build the network again."""

    name: str
    """One of our own networks (`networks.registry`), or a timm backbone: resnet50, ..."""
    n_classes: int
    input_size: tuple[int, int] = (256, 256)
    """For timm's, log-mels are resized to this height (mel) and width (time)."""
    dropout: float = 0.2
    """Before the head."""
    input_shape: tuple[int, int] = (256, 87)
    """Rows and columns of a window."""
    below_peak: bool = True
    """Whether windows are dB, scaled to what lies below each window's peak; else each row is
    scaled by a mean and a deviation, which are among the weights: the training set's, or those
    that the input has (`Input.scaling`)."""
    sizes: dict[str, Any] | None = None
    """Of `ast`: settings of its encoder that are not the usual ones."""
    untrained: tuple[int, ...] = ()
    """Classes by number that it has not learned, as no clip had them: their scores are 0."""
    db_rows: tuple[int, ...] = ()
    """Rows that say how loud a frame is, in MFCC's dB: taken below the window's loudest frame."""
    linear_rows: tuple[int, ...] = ()
    """Rows that say so in full scale: taken relative to their root mean square in the window."""
    n_outputs: int | None = None
    """Number of outputs of a pretrained network whose outputs are not the classes themselves."""
    outputs: OutputMap = ()
    """Outputs of such a network that mean each class; its logit is the largest of them."""
    pool: Pool | None = None
    """How its frames are pooled over time (`networks.pooling.POOLS`); None: as it does itself."""

    @property
    def takes_any_window(self) -> bool:
        """Whether windows are brought to the network's size, whatever their length."""
        return not is_known(self.name)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for model.json; it names the untrained classes itself."""
        left_out = {"untrained"} if self.outputs else {"untrained", "n_outputs", "outputs"}
        left_out |= {"pool"} if self.pool is None else set()
        values = {key: value for key, value in vars(self).items() if key not in left_out}
        lists = {key: list(value) for key, value in values.items() if isinstance(value, tuple)}
        return {**values, **lists}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Architecture:
        """Return the architecture that `to_dict` gave."""
        lists = {key: tuple(value) for key, value in values.items() if isinstance(value, list)}
        if "outputs" in lists:
            lists["outputs"] = tuple(map(tuple, lists["outputs"]))
        return cls(**{**values, **lists})


def check_name(name: str) -> None:
    """Raise UsageError unless there is a network of that name, of ours or timm's."""
    if is_known(name):
        return
    names = backbone_names()
    if name.partition(".")[0] not in names:
        near = ", ".join(get_close_matches(name, names, n=6, cutoff=0.5))
        raise UsageError(
            f"--model {name!r}: no such model; near it: {near or 'nothing in timm'}; our own: "
            f"{', '.join(known_names())}"
        )


class Preparation(nn.Module):
    """Windows as they are stored in, what the network sees out: its size and its range."""

    row_mean: Tensor
    row_deviation: Tensor

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.is_image = not is_known(architecture.name)
        # Decibels in a unit of the windows, where these are logarithms of power: to augment them.
        self.db_per_unit = 1.0 if architecture.below_peak else None
        if not architecture.below_peak:
            n_rows = architecture.input_shape[0]
            self.register_buffer("row_mean", torch.zeros(n_rows, 1))
            self.register_buffer("row_deviation", torch.ones(n_rows, 1))

    def prepared(self, windows: Tensor) -> Tensor:
        """Return the network's input for windows, `[n, n_rows, n_frames]`."""
        scaled = self.scaled(self.resized(windows))
        if not self.is_image:
            return scaled
        return scaled.unsqueeze(1).contiguous(memory_format=torch.channels_last)

    def scaled(self, windows: Tensor) -> Tensor:
        """Return windows in the range that networks like: about -1 to 1."""
        if not self.architecture.below_peak:
            return (self.levelled(windows) - self.row_mean) / self.row_deviation
        below_peak_db = (windows - windows.amax(dim=(1, 2), keepdim=True)).clamp(min=-RANGE_DB)
        return 1 + below_peak_db / (RANGE_DB / 2)

    def levelled(self, windows: Tensor) -> Tensor:
        """Return windows, `[n, n_rows, n_frames]` in float32, without the level of the recording.

        Columns that are all zero fill up a clip that is shorter than a window: they stay zero.
        """
        db, linear = list(self.architecture.db_rows), list(self.architecture.linear_rows)
        if not db and not linear:
            return windows
        windows = windows.clone()
        there = windows.ne(0).any(dim=1, keepdim=True)
        if db:
            values = windows[:, db]
            loudest = values.where(there, -torch.inf).amax(dim=2, keepdim=True)
            below = (values - loudest).clamp(min=-_RANGE_MFCC)
            windows[:, db] = below.where(there, 0.0)
        if linear:
            values = windows[:, linear]
            power = values.square().sum(dim=2, keepdim=True) / there.sum(dim=2, keepdim=True)
            windows[:, linear] = values / power.sqrt().nan_to_num().clamp(min=_LEAST_LEVEL)
        return windows

    def resized(self, windows: Tensor) -> Tensor:
        """Return windows at the network's input size, in float32, still in their own units."""
        windows = windows.float()
        size = self.architecture.input_size
        if not self.is_image or windows.shape[1:] == size:
            return windows
        image = nn.functional.interpolate(
            windows.unsqueeze(1), size=size, mode="bilinear", antialias=True
        )
        return image.squeeze(1)

    def silenced(self, scores: Float32) -> Float32:
        """Return scores, `[n, n_classes]`, with 0 for the classes that it has not learned.

        Here and not at the labels: S2 divides by the largest class's sum, and a class that nothing
        was taught about may be that one.
        """
        scores[:, list(self.architecture.untrained)] = 0
        return scores


class Tagger(Preparation):
    """A network on windows, with the scaling of its input inside."""

    def __init__(
        self,
        architecture: Architecture,
        *,
        weights: str | None = None,
        vocabulary: Vocabulary | None = None,
    ) -> None:
        """Build it; `weights` are 'imagenet' or a path, where the network takes such.

        With a vocabulary, a head may begin from what the weights know of its classes.
        """
        check_name(architecture.name)
        super().__init__(architecture)
        self.is_classical = architecture.name in CLASSICAL
        self.backbone = pooled(
            _backbone(architecture, weights, vocabulary),
            architecture.pool,
            name=architecture.name,
            n_classes=architecture.n_classes,
        )

    def forward(self, windows: Tensor) -> Tensor:
        """Return logits, `[n, n_classes]`, for windows as they are stored, `[n, n_rows, n_frames]`.

        Windows that `resized` has brought to the network's size are taken as they are.
        """
        logits: Tensor = self.backbone(self.prepared(windows))
        return logits


def _backbone(
    architecture: Architecture, weights: str | None, vocabulary: Vocabulary | None
) -> nn.Module:
    name, n_classes, dropout = architecture.name, architecture.n_classes, architecture.dropout
    if name == PROBE:
        sizes = architecture.sizes or {}
        taggers = [Tagger(Architecture.from_dict(one["architecture"])) for one in sizes["encoders"]]
        return Probe.of(sizes, taggers, n_classes=n_classes, dropout=dropout)
    if is_known(name):
        return build_network(
            name,
            n_classes=n_classes,
            input_shape=architecture.input_shape,
            dropout=dropout,
            weights=weights,
            label_ids=[one.any_of for one in vocabulary.instruments] if vocabulary else (),
            sizes=architecture.sizes,
            n_outputs=architecture.n_outputs,
            outputs=architecture.outputs,
        )
    backbone = timm_backbone(name, n_classes=n_classes, dropout=dropout, weights=weights)
    return backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


@dataclass(frozen=True)
class ModelCard:
    """model.json: everything but the weights."""

    architecture: Architecture
    vocabulary: Vocabulary
    input_spec: InputSpec
    """The model's front end; `feature_spec` in model.json."""
    windows: WindowSpec
    aggregation: str
    """How window scores become a clip's; what it is for whole tracks, `for_tracks` says."""
    thresholds: dict[str, dict[str, float]]
    """Per aggregation, per class code."""
    dataset_fingerprint: str
    training: dict[str, Any]
    """Config, history and best epoch."""
    provenance: dict[str, str]
    model_id: str = ""
    """The backbone's name and a hash of the weights; given by `save_model`."""
    quantized: dict[str, Any] | None = None
    """Of an int8 model: what it was made of and how, and the hashes of its graph."""
    threshold_notes: tuple[str, ...] = ()
    """What is to be known of thresholds that were found on validation."""
    calibration: dict[str, dict[str, Any]] | None = None
    """Per aggregation, the map from scores to probabilities, as `Calibration.to_dict` gives it."""
    min_confidence: float | None = None
    """Lowest confidence of a label, 0 to 1, of a pretrained tagger; a run may ask for another."""
    source: dict[str, Any] | None = None
    """Of a pretrained tagger: whose it is, its licence, and which files were read."""

    @property
    def untrained_classes(self) -> list[str]:
        """Codes of the classes that no clip had to learn from: they never become labels."""
        return [self.vocabulary.codes[k] for k in self.architecture.untrained]

    @property
    def is_of_fold(self) -> bool:
        """Whether it is of a cross-validation, which divides train and val anew."""
        return self.training.get("config", {}).get("folds") is not None

    def to_dict(self) -> dict[str, Any]:
        """Return model.json."""
        return {
            "format": FORMAT,
            "model_id": self.model_id,
            "architecture": self.architecture.to_dict(),
            "classes": self.vocabulary.to_dict(),
            "feature_spec": self.input_spec.to_dict(),
            "window": self.windows.to_dict(),
            "aggregation": self.aggregation,
            "thresholds": self.thresholds,
            "dataset_fingerprint": self.dataset_fingerprint,
            "training": self.training,
            "provenance": self.provenance,
            **({} if self.quantized is None else {"quantized": self.quantized}),
            **({"untrained_classes": found} if (found := self.untrained_classes) else {}),
            **({"threshold_notes": list(self.threshold_notes)} if self.threshold_notes else {}),
            **({} if self.calibration is None else {"calibration": self.calibration}),
            **({} if self.min_confidence is None else {"min_confidence": self.min_confidence}),
            **({} if self.source is None else {"source": self.source}),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelCard:
        """Return the card that `to_dict` gave; SpecMismatch for another format."""
        if values.get("format") != FORMAT:
            raise SpecMismatch(f"format {values.get('format')!r}, expected {FORMAT!r}")
        vocabulary = Vocabulary.from_dict(values["classes"])
        untrained = [vocabulary.codes.index(code) for code in values.get("untrained_classes", ())]
        architecture = Architecture.from_dict(values["architecture"])
        return cls(
            architecture=replace(architecture, untrained=tuple(untrained)),
            vocabulary=vocabulary,
            input_spec=input_from_dict(values["feature_spec"]),
            windows=WindowSpec.from_dict(values["window"]),
            aggregation=values["aggregation"],
            thresholds=values["thresholds"],
            dataset_fingerprint=values["dataset_fingerprint"],
            training=values["training"],
            provenance=values["provenance"],
            model_id=values["model_id"],
            quantized=values.get("quantized"),
            threshold_notes=tuple(values.get("threshold_notes", ())),
            calibration=values.get("calibration"),
            min_confidence=values.get("min_confidence"),
            source=values.get("source"),
        )


def save_model(folder: Folder, weights: Mapping[str, Tensor], card: ModelCard) -> ModelCard:
    """Write model.safetensors and then model.json; return the card with its model id."""
    card, data = named(card, weights)
    folder.write_bytes("model.safetensors", data)
    save_card(folder, card)
    return card


def named(card: ModelCard, weights: Mapping[str, Tensor]) -> tuple[ModelCard, bytes]:
    """Return the card with the model id that its weights give it, and these as safetensors.

    One pretrained network serves other classes by other outputs: these are a part of its weights.
    """
    outputs = card.architecture.outputs
    data = safetensors.torch.save(
        {name: t.contiguous() for name, t in weights.items()},
        {"outputs": json.dumps(outputs)} if outputs else None,
    )
    return replace(card, model_id=f"{card.architecture.name}-{_digest(data)}"), data


def save_card(folder: Folder, card: ModelCard) -> None:
    """Write model.json."""
    folder.write_json("model.json", card.to_dict())


def load_card(uri: str) -> ModelCard:
    """Read model.json of a model's folder; UsageError where there is none."""
    folder = Folder(model_uri(uri))
    if not folder.exists("model.json"):
        is_of_several = folder.exists(ENSEMBLE_FILE)
        cure = "it is of several models; name one" if is_of_several else _NO_MODEL
        raise UsageError(f"{uri}: no model.json there; {cure}")
    try:
        return ModelCard.from_dict(folder.read_json("model.json"))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise SpecMismatch(
            f"{folder.uri_of('model.json')}: not a model of this version: "
            f"{type(error).__name__} {error}"
        ) from error
    except SpecMismatch as error:
        raise SpecMismatch(f"{folder.uri_of('model.json')}: {error}") from error


def load_model(uri: str) -> tuple[Tagger, ModelCard]:
    """Read a model, ready to tag: in evaluation mode, on the CPU."""
    card = load_card(uri)
    tagger = Tagger(card.architecture)
    _load_weights(tagger, uri, card)
    return tagger.eval(), card


def load_preparation(uri: str, card: ModelCard) -> Preparation:
    """Read what stands before a model's network, without the network."""
    preparation = Preparation(card.architecture)
    if not card.architecture.below_peak:
        _load_weights(preparation, uri, card)
    return preparation


def read_weights(uri: str, card: ModelCard) -> bytes:
    """Read model.safetensors; SpecMismatch where it is not what the card's model_id names.

    An int8 model lies beside the weights that it was made of.
    """
    data = Folder(model_uri(uri)).read_bytes("model.safetensors")
    model_id = card.model_id if card.quantized is None else card.quantized["model_id"]
    if not model_id.endswith(f"-{_digest(data)}"):
        raise SpecMismatch(
            f"{uri}: model.safetensors is not of {model_id}, which model.json names: a training "
            "was killed there or is at work; train again, or name another folder"
        )
    return data


def _digest(weights: bytes) -> str:
    return hashlib.sha256(weights).hexdigest()[:12]


def _load_weights(module: Preparation, uri: str, card: ModelCard) -> None:
    data = read_weights(uri, card)
    try:
        weights = safetensors.torch.load(data)
        if not isinstance(module, Tagger):
            weights = {n: w for n, w in weights.items() if not n.startswith("backbone.")}
        module.load_state_dict(weights)
    except (SafetensorError, RuntimeError) as error:
        raise SpecMismatch(
            f"{uri}/model.safetensors does not fit model.json: {str(error).splitlines()[0]}"
        ) from error


def fingerprint_of(*parts: Any) -> str:
    """Return twelve hex digits that differ when any of the parts does."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
