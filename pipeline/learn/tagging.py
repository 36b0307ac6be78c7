"""How a model's scores become labels: what the tagging flow and its stages agree on."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.audio.activity import Activity
from pipeline.audio.windows import WindowSpec
from pipeline.errors import SpecMismatch, UsageError
from pipeline.learn.model import ModelCard, load_card
from pipeline.learn.tracks import Hearing
from pipeline.score.aggregate import for_tracks, method_named
from pipeline.score.calibration import Calibration
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
    calibration: Calibration | None = None
    """The map that makes a track's scores probabilities; None: they are the aggregation's."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", Folder(self.model).uri)
        untrained = self.card.architecture.untrained  # never named: their scores are 0
        limits = [1.0 if k in untrained else limit for k, limit in enumerate(self.thresholds)]
        object.__setattr__(self, "thresholds", tuple(limits))
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
    def window_limits(self) -> tuple[float, ...] | None:
        """Sigmoids from which a class is heard in a window, where its own thresholds say so.

        Those of a pretrained tagger do: they are of means of sigmoids, far below a half.
        """
        if self.card.min_confidence is None or self.aggregation != self.card.aggregation:
            return None
        limits = own(self.card.thresholds, self.aggregation, self.codes).tolist()
        return tuple(max(self.gate, limit) for limit in limits)

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
            **({} if self.calibration is None else {"calibration": self.calibration.to_dict()}),
        }

    def served(self, scores: npt.NDArray[np.floating[Any]]) -> npt.NDArray[np.floating[Any]]:
        """Return a track's scores, `[n_classes]`, as TAGS hold them; of an inactive track 0."""
        if self.calibration is None or not scores.any():
            return scores
        return np.asarray(self.calibration.apply(scores[None])[0], scores.dtype)


def tagging(
    model: str,
    method: str | None = None,
    threshold: float | None = None,
    *,
    gpu: bool = False,
    whole_tracks: bool = False,
) -> Tagging:
    """Read a model's card and settle how its scores become labels.

    Windows of silence and noise count where the model has learned from such.
    It runs in torch, as it was trained; what was quantised runs as it is meant to. Without a
    `method` the model's own counts: as it is for clips, or what it becomes for `whole_tracks`.
    """
    card = load_card(model)
    of_model = for_tracks(card.aggregation) if whole_tracks else card.aggregation
    aggregation = method_named(method or of_model)
    codes = card.vocabulary.codes
    values = own(card.thresholds, aggregation, codes).tolist()
    thresholds = tuple(values if threshold is None else [threshold] * len(codes))
    engine = "torch" if card.quantized is None else "auto"
    activity = Activity() if card.training.get("config", {}).get("activity") else None
    return Tagging(
        model, card, aggregation, thresholds, gpu, card.windows, activity=activity, engine=engine
    )


def calibrated(how: Tagging, *, threshold: float | None = None) -> Tagging:
    """Return the same with probabilities as scores; the thresholds go with them.

    So the labels stay, but where one `threshold` for all classes was asked for: it is taken as the
    probability that it will be compared with.
    """
    kept = (how.card.calibration or {}).get(how.aggregation)
    if kept is None:
        raise UsageError(
            f"--calibrated: {how.model}/model.json has no calibration of {how.aggregation}; "
            "python -m jobs.evaluate --dataset ... --keep-calibration finds one on validation"
        )
    found = Calibration.from_dict(kept, how.codes)
    limits = how.thresholds if threshold is not None else found.thresholds(how.thresholds).tolist()
    return replace(how, calibration=found, thresholds=tuple(limits))


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
