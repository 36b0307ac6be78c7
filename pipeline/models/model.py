"""The tagger: windows of its front end in, a logit per class out. model.safetensors, model.json.

`pipeline.models.card` is model.json. The weights are safetensors, so a model from anywhere loads
without running its code.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from difflib import get_close_matches
from pathlib import Path

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from pipeline.arrays import Float32
from pipeline.audio.description.analysis import N_MELS
from pipeline.errors import SpecMismatch, UsageError
from pipeline.models.card import DEFAULT_MIN_CONFIDENCE as DEFAULT_MIN_CONFIDENCE
from pipeline.models.card import Architecture as Architecture
from pipeline.models.card import ModelCard as ModelCard
from pipeline.models.card import digest
from pipeline.models.card import fingerprint_of as fingerprint_of
from pipeline.models.card import load_card as load_card
from pipeline.models.card import read_weights as read_weights
from pipeline.models.card import save_card as save_card
from pipeline.models.networks.classical import CLASSICAL
from pipeline.models.networks.parts.corrected import Corrected
from pipeline.models.networks.parts.exclusive import Exclusive
from pipeline.models.networks.parts.pooling import pooled
from pipeline.models.networks.probe import PROBE, Probe
from pipeline.models.networks.registry import (
    backbone_names,
    build_network,
    is_known,
    known_names,
    networks,
)
from pipeline.seams import failed_at
from pipeline.selection.vocabulary import Vocabulary
from pipeline.store.folder import Folder

RANGE_DB = 60.0
"""What lies further below a window's peak is silence to the network, and no window is loud or
quiet: level and noise floor belong to the recording, not to the instrument."""
_RANGE_MFCC = RANGE_DB * N_MELS**0.5  # the first MFCC is the mean of the bands times their root
_LEAST_LEVEL = 1e-6  # what is less is silence, and is not divided by nothing


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


def check_logits(model: Tagger) -> None:
    """Raise UsageError unless a network of ours gives logits, `[n, n_classes]`, for two windows.

    A network that somebody has just added may not; timm's and the pretrained do. Classical models
    are fitted first, and are not tried.
    """
    name, n_classes = model.architecture.name, model.architecture.n_classes
    if name not in networks() or name in CLASSICAL:
        return
    windows = torch.zeros(2, *model.architecture.input_shape)
    try:
        with torch.no_grad():
            found = model.eval()(windows)
    except Exception as error:
        at = failed_at(error, Path(__file__).parent)
        raise UsageError(
            f"model {name!r}: it fails on windows {list(windows.shape)}: {at}"
        ) from error
    shape = list(found.shape) if isinstance(found, Tensor) else type(found).__name__
    if shape != [2, n_classes]:
        raise UsageError(
            f"model {name!r}: of windows {list(windows.shape)} its network makes {shape}; expected "
            f"a logit of each class, {[2, n_classes]}"
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
        image = self._at_input_size(scaled)
        return image.unsqueeze(1).contiguous(memory_format=torch.channels_last)

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
        """Return windows at the network's input size, in float32, still in their own units.

        Where each row has a scale of its own, windows keep their rows until they are scaled.
        """
        windows = windows.float()
        return self._at_input_size(windows) if self.architecture.below_peak else windows

    def _at_input_size(self, windows: Tensor) -> Tensor:
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
        network = pooled(
            _backbone(architecture, weights, vocabulary),
            architecture.pool,
            name=architecture.name,
            n_classes=architecture.n_classes,
        )
        network = Exclusive(network) if architecture.exclusive else network
        if (n_features := architecture.corrected) is not None:
            network = Corrected(network, n_features, architecture.n_classes)
        self.backbone = network

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
    return replace(card, model_id=f"{card.architecture.name}-{digest(data)}"), data


def load_model(uri: str) -> tuple[Tagger, ModelCard]:
    """Read a model, ready to tag: in evaluation mode, on the CPU."""
    card = load_card(uri)
    try:
        check_name(card.architecture.name)
    except UsageError as error:
        raise SpecMismatch(
            f"{uri}: there is no network {card.architecture.name!r} here; if it is one of your "
            "own, put its file into pipeline/models/networks/, as where the model was trained"
        ) from error
    tagger = Tagger(card.architecture)
    _load_weights(tagger, uri, card)
    return tagger.eval(), card


def load_preparation(uri: str, card: ModelCard) -> Preparation:
    """Read what stands before a model's network, without the network."""
    preparation = Preparation(card.architecture)
    if not card.architecture.below_peak:
        _load_weights(preparation, uri, card)
    return preparation


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
