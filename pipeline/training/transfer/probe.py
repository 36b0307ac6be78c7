"""Imported or own models in, a probe of them out: its front end, how it is built, its weights."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import Any

import torch
from torch import Tensor

from pipeline.audio.spectra.input_kinds import is_below_peak
from pipeline.audio.spectra.input_spec import InputSpec
from pipeline.audio.spectra.stacked import StackedInput
from pipeline.audio.spectra.windows import WindowSpec, window_starts
from pipeline.errors import UsageError
from pipeline.models.model import Architecture, ModelCard, Tagger
from pipeline.models.networks.classical import CLASSICAL
from pipeline.models.networks.probe import PROBE, Probe, n_features_of
from pipeline.models.networks.registry import networks
from pipeline.models.pretrained.family import variants
from pipeline.training.config import TrainConfig
from pipeline.training.transfer.pinned import card_of, pinned_model

_DB_SCALING = (-40.0, 10.0)  # of log-mels: their encoders take the window's peak away themselves
_AS_STORED = (0.0, 1.0)


@dataclass(frozen=True)
class ProbeDesign:
    """A probe before it is fitted: its encoders, and how long a clip it takes."""

    uris: tuple[str, ...]
    """Folders of the encoders, in their order."""
    cards: tuple[ModelCard, ...]
    """What each encoder's model.json says."""
    windows: WindowSpec
    """Length and distance of the windows that the probe takes."""

    @classmethod
    def of(cls, config: TrainConfig) -> ProbeDesign:
        """Read the encoders' cards; UsageError names the one that cannot be an encoder."""
        return cls.read(config.encoder, config.window_s)

    @classmethod
    def read(cls, uris: tuple[str, ...], window_s: float) -> ProbeDesign:
        """Read the cards of encoders; see `of`."""
        cards = tuple(card_of("--encoder", uri) for uri in uris)
        for uri, card in zip(uris, cards, strict=True):
            _check_encoder(uri, card)
        _check_hops(uris, cards)
        return cls(uris, cards, WindowSpec(window_s, window_s))

    @property
    def model_ids(self) -> list[str]:
        """Return whose weights the encoders are, in order."""
        return [weights_id(card) for card in self.cards]

    @property
    def origins(self) -> list[dict[str, Any]]:
        """Return what model.json says of the encoders: their model_id, folder, and licence."""
        ids = zip(self.model_ids, self.uris, self.cards, strict=True)
        return [{"model_id": one, "uri": uri, "source": card.source} for one, uri, card in ids]

    @property
    def parts(self) -> tuple[InputSpec, ...]:
        """The encoders' front ends, each once."""
        return tuple(dict.fromkeys(card.input_spec for card in self.cards))

    @property
    def input_spec(self) -> InputSpec:
        """The probe's front end: its encoders', or several of them stacked."""
        return self.parts[0] if len(self.parts) == 1 else StackedInput(self.parts)

    @property
    def row_scaling(self) -> tuple[Tensor, Tensor]:
        """Mean and deviation that the probe's rows are scaled by, `[n_rows, 1]`."""
        n_rows = torch.tensor([part.n_rows for part in self.parts])
        of_parts = torch.tensor([scaling_of(part) for part in self.parts])
        of_rows = of_parts.repeat_interleave(n_rows, dim=0)
        return of_rows[:, :1], of_rows[:, 1:]

    def architecture(
        self, n_classes: int, *, hidden: int = 0, dropout: float = 0.0
    ) -> Architecture:
        """Return what it takes to build the probe again, without its encoders' folders."""
        return Architecture(
            name=PROBE,
            n_classes=n_classes,
            dropout=dropout,
            input_shape=(self.input_spec.n_rows, self.windows.n_frames(self.input_spec)),
            below_peak=False,
            sizes={
                "hidden": hidden,
                "n_features": sum(one["n_features"] for one in self.encoders),
                "encoders": self.encoders,
            },
        )

    @cached_property
    def encoders(self) -> list[dict[str, Any]]:
        """How each encoder is built and cuts its patches, as plain values."""
        ends = [0, *accumulate(part.n_rows for part in self.parts)]
        found = []
        for card, uri in zip(self.cards, self.uris, strict=True):
            at = self.parts.index(card.input_spec)
            rows = ends[at : at + 2]
            found.append({"rows": rows, **encoder_sizes(card, self.windows, uri=uri)})
        return found

    def new_model(self, architecture: Architecture) -> Tagger:
        """Return the probe with its encoders' weights and a head of random ones."""
        model = Tagger(architecture)
        assert isinstance(model.backbone, Probe)
        both = zip(self.uris, self.cards, strict=True)
        for encoder, (uri, card) in zip(model.backbone.encoders, both, strict=True):
            tagger = pinned_model(uri, card)
            encoder.tagger.load_state_dict(tagger.state_dict())  # type: ignore[union-attr]
        mean, deviation = self.row_scaling
        model.row_mean.copy_(mean)
        model.row_deviation.copy_(deviation)
        return model.eval()


def weights_id(card: ModelCard) -> str:
    """Return the model_id of a model's floats: an int8 model was made of another's."""
    return str((card.quantized or {}).get("model_id", card.model_id))


def scaling_of(input_spec: InputSpec) -> tuple[float, float]:
    """Return mean and deviation by which a probe scales what an encoder takes.

    The encoder's own where these are numbers of its front end; else what brings log-mels near 1.
    """
    if input_spec.scaling is not None:
        return input_spec.scaling
    return _DB_SCALING if is_below_peak(input_spec) else _AS_STORED


def encoder_sizes(card: ModelCard, windows: WindowSpec, *, uri: str) -> dict[str, Any]:
    """Return what `PatchEncoder` and its tagger are built of, as plain values.

    Its patches are cut as serving cuts the encoder's own windows out of a whole clip. UsageError
    where the probe's window is too short for it, or it has no embeddings.
    """
    n_columns = windows.n_frames(card.input_spec)
    n_frames, starts = card.windows.n_frames(card.input_spec), [0]
    if n_frames <= n_columns:
        starts = window_starts(n_columns, card.windows, card.input_spec).tolist()
    elif takes_any_window(card.architecture):
        n_frames = n_columns
    else:
        raise UsageError(
            f"--window-s {windows.window_s:g}: the encoder {uri} takes windows of "
            f"{card.windows.window_s:g} s; give at least that"
        )
    own = replace(card.architecture, input_shape=(card.input_spec.n_rows, n_frames), untrained=())
    n_features = n_features_of(Tagger(own).eval(), own.input_shape)
    if n_features is None:
        raise UsageError(
            f"--encoder {uri}: {own.name} has no embeddings: no linear layer at its end sees a "
            "vector"
        )
    mean, deviation = scaling_of(card.input_spec)
    return {
        "architecture": {k: v for k, v in own.to_dict().items() if v is not None},
        "starts": starts,
        "n_frames": n_frames,
        "n_features": n_features * min(2, len(starts)),
        "scaling": [mean, deviation],
        "silence": (card.input_spec.silence - mean) / deviation,
        "is_prepared": card.input_spec.scaling is not None and own.name in networks(),
    }


def takes_any_window(architecture: Architecture) -> bool:
    """Whether a network can be given windows of another length than its own."""
    name = architecture.name
    if name in variants():
        return variants()[name][0].takes_any_window
    own = networks().get(name)
    return own is None or own.takes_any_length


def _check_encoder(uri: str, card: ModelCard) -> None:
    name = card.architecture.name
    if name == PROBE:
        raise UsageError(f"--encoder {uri}: it is a probe itself; name the encoders that it is of")
    if name in CLASSICAL:
        raise UsageError(f"--encoder {uri}: {name} is no network; it has no embeddings")


def _check_hops(uris: Sequence[str], cards: Sequence[ModelCard]) -> None:
    """Refuse front ends that have no columns in common."""
    hops_s = [card.input_spec.hop / card.input_spec.sample_rate_hz for card in cards]
    for uri, hop_s in zip(uris, hops_s, strict=True):
        if not math.isclose(hop_s, hops_s[0]):
            raise UsageError(
                f"--encoder {uris[0]},{uri}: their front ends have columns of "
                f"{1000 * hops_s[0]:.3g} and {1000 * hop_s:.3g} ms; join such as have the same"
            )
