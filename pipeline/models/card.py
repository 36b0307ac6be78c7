"""model.json in and out: everything of a model but its weights. No torch here.

It carries all that tagging needs: architecture, classes, feature spec, window, aggregation,
thresholds. A run with nothing new reads this and never loads the network.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from pipeline.audio.spectra.input_kinds import input_from_dict
from pipeline.audio.spectra.input_spec import InputSpec
from pipeline.audio.spectra.windows import WindowSpec
from pipeline.errors import SpecMismatch, UsageError
from pipeline.models.names import Output, Pool
from pipeline.models.regression import Regression
from pipeline.models.starter import ENSEMBLE_FILE, model_uri
from pipeline.selection.vocabulary import Vocabulary
from pipeline.store.folder import Folder

if TYPE_CHECKING:
    from pipeline.models.pretrained.outputs import OutputMap

FORMAT = "timbre-model-1"
_NO_MODEL = "train one with python -m jobs.train, or import one with python -m jobs.import_model"

DEFAULT_MIN_CONFIDENCE = 0.2
"""Least mean of a class's three highest window scores for a label, where a model says no other."""


@dataclass(frozen=True)
class Architecture:
    """What it takes to build the network again."""

    name: str
    """One of our own networks (`networks.registry`), or a timm backbone: resnet50, ..."""
    n_classes: int
    input_size: tuple[int, int] = (256, 256)
    """For timm's, log-mels are resized to this height (mel) and width (time)."""
    dropout: float = 0.2
    """Share of values dropped before the head in training, 0 to 1."""
    input_shape: tuple[int, int] = (256, 87)
    """Rows and columns of a window."""
    below_peak: bool = True
    """Whether windows are dB, scaled to what lies below each window's peak; else each row is
    scaled by a mean and a deviation, which are among the weights: the training set's, or those
    that the input has (`InputSpec.scaling`)."""
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
    """How its frames are pooled over time (`networks.parts.pooling`); None: as it does itself."""
    exclusive: bool = False
    """Whether its classes exclude each other: scores are a softmax (`networks.parts.exclusive`)."""
    output: Output = "sigmoid"
    """What is made of the last layer's values: their sigmoids, or nothing (of a regressor)."""
    corrected: int | None = None
    """How wide the embedding is of a model that has learned from people's corrections
    (`networks.parts.corrected`)."""

    @property
    def takes_any_window(self) -> bool:
        """Whether windows are brought to the network's size, whatever their length."""
        from pipeline.models.networks.registry import is_known  # here, as it brings torch

        return not is_known(self.name)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for model.json; it names the untrained classes itself."""
        left_out = {"untrained"} if self.outputs else {"untrained", "n_outputs", "outputs"}
        left_out |= {"pool"} if self.pool is None else set()
        left_out |= set() if self.exclusive else {"exclusive"}
        left_out |= set() if self.output == "linear" else {"output"}
        left_out |= {"corrected"} if self.corrected is None else set()
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
    regression: Regression | None = None
    """Of a regressor: its targets and their ranges; it has no classes and no thresholds."""

    @property
    def untrained_classes(self) -> list[str]:
        """Codes of the classes that no clip had to learn from: they never become labels."""
        return [self.vocabulary.codes[k] for k in self.architecture.untrained]

    @property
    def is_of_fold(self) -> bool:
        """Whether it is of a cross-validation, which divides train and val anew."""
        return self.training.get("config", {}).get("folds") is not None

    def to_dict(self) -> dict[str, Any]:
        """Return the card as model.json holds it."""
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
            **({} if self.regression is None else {"regression": self.regression.to_dict()}),
        }

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> ModelCard:
        """Return the card that `to_dict` gave; SpecMismatch for another format."""
        if values.get("format") != FORMAT:
            raise SpecMismatch(f"format {values.get('format')!r}, expected {FORMAT!r}")
        vocabulary = Vocabulary.from_dict(values["classes"])
        untrained = [vocabulary.codes.index(code) for code in values.get("untrained_classes", ())]
        architecture = Architecture.from_dict(values["architecture"])
        regression = values.get("regression")
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
            regression=None if regression is None else Regression.from_dict(regression),
        )


def is_regressor(name: str) -> bool:
    """Return whether a name is of one model's folder, and that model a regressor.

    A model.json that cannot be read is none: whoever loads the model says what is wrong with it.
    """
    if "," in name or not Folder(model_uri(name)).exists("model.json"):
        return False
    with suppress(UsageError):
        return load_card(name).regression is not None
    return False


def check_tags(name: str, card: ModelCard) -> None:
    """Raise UsageError where a model is a regressor: it gives values, and scores no classes."""
    if card.regression is not None:
        raise UsageError(
            f"{name}: {card.model_id} is a regressor of {', '.join(card.regression.names)}, and "
            "scores no classes; measure it with python -m jobs.evaluate --dataset ..., or name a "
            "tagger"
        )


def save_card(folder: Folder, card: ModelCard) -> None:
    """Write a model's card into its folder, as model.json."""
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


def model_there(out: Folder, is_ours: Callable[[ModelCard], bool]) -> ModelCard | None:
    """Return the model that a job's --out holds already, None where it holds none.

    Another model raises UsageError and is never overwritten: a tagging may be using it.
    """
    if not out.exists("model.json"):
        return None
    if not is_ours(card := load_card(out.uri)):
        raise UsageError(
            f"--out {out.uri}: {card.model_id} is there, of another run; give another --out"
        )
    return card


def read_weights(uri: str, card: ModelCard) -> bytes:
    """Read model.safetensors; SpecMismatch where it is not what the card's model_id names.

    An int8 model lies beside the weights that it was made of.
    """
    data = Folder(model_uri(uri)).read_bytes("model.safetensors")
    model_id = card.model_id if card.quantized is None else card.quantized["model_id"]
    if not model_id.endswith(f"-{digest(data)}"):
        raise SpecMismatch(
            f"{uri}: model.safetensors is not of {model_id}, which model.json names: a training "
            "was killed there or is at work; train again, or name another folder"
        )
    return data


def digest(weights: bytes) -> str:
    """Return what a model_id has of its weights: twelve hex digits of their sha256."""
    return hashlib.sha256(weights).hexdigest()[:12]


def fingerprint_of(*parts: Any) -> str:
    """Return twelve hex digits that differ when any of the parts does."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]
