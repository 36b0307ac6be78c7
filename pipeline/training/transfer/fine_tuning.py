"""A model for other classes and windows that begins from a trained one.

The front end, its scaling and the network come from the model's card; the classes are the
dataset's. The head begins from what the model knows of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.audio.spectra.input_spec import InputSpec
from pipeline.audio.spectra.windows import WindowSpec
from pipeline.errors import UsageError
from pipeline.models.model import Architecture, ModelCard, Tagger
from pipeline.models.networks.classical import CLASSICAL
from pipeline.models.networks.parts.blocks import core_of, freeze
from pipeline.models.networks.parts.exclusive import without_softmax
from pipeline.models.networks.parts.pooling import Pooled
from pipeline.models.networks.parts.weights import head_names, load_weights
from pipeline.models.networks.probe import PROBE
from pipeline.models.pretrained.family import variants
from pipeline.selection.vocabulary import Instrument, Vocabulary
from pipeline.training.config import TrainConfig
from pipeline.training.transfer.pinned import card_of, pinned_model

LR, HEAD_LR = 1e-4, 1e-3
EPOCHS = 20

Rows = list[tuple[int, ...]]
"""By class, the outputs of another network that mean it; none where it has no such."""


def fine_tuning_config(uri: str) -> TrainConfig:
    """Return the defaults of a training that begins from a model: its own windows and aggregation.

    The base learns at a tenth of the head's rate.
    """
    card = card_of("--init", uri)
    return TrainConfig(
        model=card.architecture.name,
        init=uri,
        input_size=card.architecture.input_size,
        window_s=card.windows.window_s,
        dropout=card.architecture.dropout,
        aggregation=card.aggregation,
        pool=card.architecture.pool,
        loss="softmax" if card.architecture.exclusive else "sigmoid",
        epochs=EPOCHS,
        lr=LR,
        head_lr=HEAD_LR,
        head_lr_end=HEAD_LR / 100,
    )


@dataclass(frozen=True)
class Init:
    """The model that a training begins from."""

    uri: str
    """Folder of the model, as a path or URI."""
    card: ModelCard
    """What the model's model.json says."""

    @classmethod
    def of(cls, config: TrainConfig) -> Init:
        """Read a config's model; UsageError where it cannot be trained on, or not so."""
        uri = str(config.init)
        card = card_of("--init", uri)
        name, own = card.architecture.name, card.windows.window_s
        if config.model != name:
            raise UsageError(f"--model {config.model}: --init {uri} is {name}; leave it out")
        if name in CLASSICAL:
            raise UsageError(
                f"--init {uri}: {name} is fitted whole, from nothing; leave --init out"
            )
        if name == PROBE:
            raise UsageError(
                f"--init {uri}: a probe is fitted in seconds; give --encoder its encoders"
            )
        is_fixed = name in variants() and not variants()[name][0].takes_any_window
        if is_fixed and config.window_s != own:
            raise UsageError(
                f"--window-s {config.window_s:g}: {name} takes windows of its own {own:g} s only"
            )
        return cls(uri, card)

    @property
    def input_spec(self) -> InputSpec:
        """The front end of the model that training begins with."""
        return self.card.input_spec

    def architecture(
        self, config: TrainConfig, *, n_classes: int, untrained: tuple[int, ...]
    ) -> Architecture:
        """Return the network's, for a dataset's classes and a config's windows and pooling."""
        windows = WindowSpec(config.window_s, config.window_s)
        return replace(
            self.card.architecture,
            n_classes=n_classes,
            input_size=config.input_size,
            dropout=config.dropout,
            input_shape=(self.input_spec.n_rows, windows.n_frames(self.input_spec)),
            untrained=untrained,
            n_outputs=None,
            outputs=(),
            pool=config.pool,
            exclusive=config.loss == "softmax",
        )

    def new_model(
        self, config: TrainConfig, architecture: Architecture, vocabulary: Vocabulary
    ) -> Tagger:
        """Return the model before its first step, in training mode; its first blocks are frozen.

        Raises
        ------
        UsageError
            Where the network does not take the windows, or has not as many blocks.
        """
        old, new = pinned_model(self.uri, self.card), Tagger(architecture)
        new.db_per_unit = self.input_spec.db_per_unit
        for name in ("row_mean", "row_deviation"):
            if name in dict(old.named_buffers()):
                getattr(new, name).copy_(getattr(old, name))
        take_over(new.backbone, old.backbone, self.rows(vocabulary), source=self.uri)
        check_windows(new, config)
        freeze(new.backbone, config.freeze, model=self.card.model_id)
        return new

    def rows(self, vocabulary: Vocabulary) -> Rows:
        """Return the outputs of the network that mean each class of a vocabulary.

        Those of the class with the same code, or else those that have one of its AudioSet ids.
        """
        by_code, by_mid = _outputs_by_code(self.card), _outputs_by_mid(self.card)
        return [_rows_of(one, by_code, by_mid) for one in vocabulary.instruments]

    def to_dict(self, vocabulary: Vocabulary) -> dict[str, Any]:
        """Return what model.json says of it."""
        rows = zip(vocabulary.codes, self.rows(vocabulary), strict=True)
        source = self.card.source
        return {
            "model_id": self.card.model_id,
            "uri": self.uri,
            "head_from": [code for code, own in rows if own],
            **({} if source is None else {"source": source}),
        }


@torch.no_grad()
def take_over(new: nn.Module, old: nn.Module, rows: Rows, *, source: str) -> None:
    """Put a network's tensors into one of the same kind, whose classes are others.

    Of the head's last layer a class's row is the mean of those that mean it: it keeps what they
    have in common (as `ast_weights.take_over_head`). A class without any keeps its new row.
    UsageError where a tensor before the head is of another shape.
    """
    core, old_core = core_of(new), core_of(old)
    last, old_last = last_layer(core), last_layer(old_core)
    kept = {name for name, module in old_core.named_modules() if module is old_last}
    own = tuple(f"{name}." for name in kept)
    tensors = {n: t for n, t in old_core.state_dict().items() if not n.startswith(own)}
    _check_shapes(core, tensors)
    load_weights(core, tensors, source=source)
    _take_rows(last, old_last, rows)
    new, old = without_softmax(new), without_softmax(old)
    if _attends(new) and _attends(old):
        _take_rows(new.get_submodule("attention"), old.get_submodule("attention"), rows)


def last_layer(core: nn.Module) -> nn.Module:
    """Return the layer whose outputs are the classes."""
    head = core.get_classifier()  # type: ignore[operator]
    layers = [one for one in head.modules() if isinstance(one, nn.Linear | nn.Conv1d | nn.Conv2d)]
    return layers[-1]


def _attends(network: nn.Module) -> bool:
    return isinstance(network, Pooled) and network.pool == "attention"


def _take_rows(layer: nn.Module, old: nn.Module, rows: Rows) -> None:
    for name, tensor in layer.named_parameters(recurse=False):
        theirs: Tensor = old.get_parameter(name)
        for number, own in enumerate(rows):
            if own:
                tensor[number] = theirs[list(own)].mean(dim=0)


def _check_shapes(core: nn.Module, tensors: dict[str, Tensor]) -> None:
    """Refuse tensors before the head that another length of windows would have otherwise."""
    own, in_head = core.state_dict(), head_names(core)
    for name, tensor in tensors.items():
        if name in own and name not in in_head and own[name].shape != tensor.shape:
            raise UsageError(
                f"--window-s, --input-size: {name} is of another length; this network takes "
                "windows of the size that it was trained on only"
            )


def check_windows(model: Tagger, config: TrainConfig) -> None:
    """Raise UsageError where a network does not take windows of a length."""
    length = f"--window-s {config.window_s:g}"
    was_training = model.training
    try:
        with torch.no_grad():
            model.eval()(torch.zeros(1, *model.architecture.input_shape))
    except (AssertionError, RuntimeError, ValueError, IndexError) as error:
        said = str(error).strip().splitlines()[0]
        name = model.architecture.name
        raise UsageError(f"{length}: {name} does not take such windows ({said})") from error
    except UsageError as error:
        raise UsageError(f"{length}: {error}") from error
    model.train(was_training)


def _outputs_by_code(card: ModelCard) -> dict[str, tuple[int, ...]]:
    """Return the outputs of each class that the model has learned."""
    outputs = card.architecture.outputs or tuple((k,) for k in range(card.architecture.n_classes))
    untrained = set(card.untrained_classes)
    both = zip(card.vocabulary.codes, outputs, strict=True)
    return {code: own for code, own in both if code not in untrained}


def _outputs_by_mid(card: ModelCard) -> dict[str, int]:
    """Return the output of each AudioSet id that has one of its own."""
    own = _outputs_by_code(card)
    found = {
        one.any_of[0]: own[one.code][0]
        for one in card.vocabulary.instruments
        if len(one.any_of) == 1 and len(own.get(one.code, ())) == 1
    }
    name, n_outputs = card.architecture.name, card.architecture.n_outputs
    if name in variants() and n_outputs == len(mids := variants()[name][0].mids):
        found |= {mid: k for k, mid in enumerate(mids)}
    return found


def _rows_of(
    one: Instrument, by_code: dict[str, tuple[int, ...]], by_mid: dict[str, int]
) -> tuple[int, ...]:
    found: Sequence[int] = by_code.get(one.code) or [by_mid[m] for m in one.any_of if m in by_mid]
    return tuple(found)
