"""How a model's scores become labels: what the tagging flow and its stages agree on."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from pipeline.audio.activity import Activity
from pipeline.audio.windows import WindowSpec
from pipeline.errors import SpecMismatch, UsageError
from pipeline.learn.model import ModelCard, load_card
from pipeline.learn.tracks import Hearing
from pipeline.score.aggregate import method_named
from pipeline.score.thresholds import own
from pipeline.store.folder import Folder


@dataclass(frozen=True)
class Tagging:
    """How scores become labels: what the stages need besides the model's weights."""

    model: str
    """Its folder; a path is made absolute, as workers may be in another one."""
    card: ModelCard
    aggregation: str
    thresholds: tuple[float, ...]
    """A class each, in the vocabulary's order."""
    gpu: bool
    windows: WindowSpec
    gate: float = 0.0
    """Evidence below which a class is no label, whatever its score."""
    activity: Activity | None = None
    """Which windows are silence or noise, and do not count; None: all count."""
    engine: str = "torch"
    precision: str = "auto"
    keep_windows: bool = False
    embeddings: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", Folder(self.model).uri)
        quantized = self.card.quantized
        if quantized is not None and self.precision not in ("auto", "int8"):
            raise UsageError(  # its rows would say int8
                f"--precision {self.precision}: {self.card.model_id} is int8; take "
                f"{quantized['model_id']}, which it was made of"
            )

    @property
    def codes(self) -> list[str]:
        """The classes, in the order of the model's outputs."""
        return self.card.vocabulary.codes

    @property
    def hearing(self) -> Hearing:
        """How a track becomes windows."""
        return Hearing(self.card.heard, self.windows, self.activity)

    @property
    def identity(self) -> dict[str, Any]:
        """What decides a row of TAGS: two runs into one folder must agree on it."""
        activity = self.activity
        return {
            "model_id": self.card.model_id,
            "aggregation": self.aggregation,
            "thresholds": dict(zip(self.codes, self.thresholds, strict=True)),
            "gate": self.gate,
            "activity": None if activity is None else dict(vars(activity)),
            **self.windows.to_dict(),
            "feature_spec": self.card.heard.to_dict(),
        }


def tagging(
    model: str, method: str | None = None, threshold: float | None = None, *, gpu: bool = False
) -> Tagging:
    """Read a model's card and settle how its scores become labels.

    Windows of silence and noise count where the model has learned from such.
    It runs in torch, as it was trained; what was quantised runs as it is meant to.
    """
    card = load_card(model)
    aggregation = method_named(method or card.aggregation)
    codes = card.vocabulary.codes
    values = own(card.thresholds, aggregation, codes).tolist()
    thresholds = tuple(values if threshold is None else [threshold] * len(codes))
    engine = "torch" if card.quantized is None else "auto"
    activity = Activity() if card.training.get("config", {}).get("activity") else None
    return Tagging(
        model, card, aggregation, thresholds, gpu, card.windows, activity=activity, engine=engine
    )


def check_model(how: Tagging) -> None:
    """Raise SpecMismatch where the folder holds another model by now than when it was read."""
    model_id = load_card(how.model).model_id
    if model_id != how.card.model_id:
        raise SpecMismatch(
            f"{how.model}: holds {model_id} by now, and held {how.card.model_id} when this began; "
            "run the same command again, or train into another folder"
        )


def other_windows(card: ModelCard, window_s: float | None, hop_s: float | None) -> WindowSpec:
    """Return a model's windows, or others where it can take them."""
    own_s = card.windows.window_s
    if window_s not in (None, own_s) and not card.architecture.takes_any_window:
        raise UsageError(
            f"--window-s {window_s:g}: {card.model_id} hears windows of {own_s:g} s and no others"
        )
    hop = card.windows.hop_s if window_s is None else window_s
    return WindowSpec(own_s if window_s is None else window_s, hop if hop_s is None else hop_s)
