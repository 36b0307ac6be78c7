"""How a model's scores become labels: what the tagging flow and its stages agree on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.audio.activity import Activity
from pipeline.audio.windows import WindowSpec
from pipeline.errors import SpecMismatch, UsageError
from pipeline.learn.ensemble import Card, EnsembleCard, joined, load_any, of_members
from pipeline.learn.model import ModelCard
from pipeline.learn.starter import STARTER, for_all_processes
from pipeline.learn.tracks import Hearing
from pipeline.score.aggregate import aggregate, for_tracks, method_named
from pipeline.score.calibration import Calibration
from pipeline.score.thresholds import own

Scores = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Tagging:
    """How scores become labels: what the stages need besides the model's weights."""

    model: str
    """Its folder; a path is made absolute, as workers may be in another one."""
    card: Card
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
    members: tuple[Tagging, ...] = ()
    """Of an ensemble, how each of its models tags; only the mean of their scores has labels."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", for_all_processes(self.model))
        untrained = self.card.untrained_classes  # never named: their scores are 0
        limits = [
            1.0 if code in untrained else limit
            for code, limit in zip(self.codes, self.thresholds, strict=True)
        ]
        object.__setattr__(self, "thresholds", tuple(limits))
        if isinstance(self.card, EnsembleCard):
            self._check_members()
        elif self.card.quantized is not None and self.precision not in ("auto", "int8"):
            raise UsageError(  # its rows would say int8
                f"--precision {self.precision}: {self.card.model_id} is int8; take "
                f"{self.card.quantized['model_id']}, which it was made of"
            )

    def _check_members(self) -> None:
        """Refuse what is of windows: each member has its own, and only a track's scores are met."""
        for flag in ("keep_windows", "embeddings"):
            if getattr(self, flag):
                raise UsageError(
                    f"--{flag.replace('_', '-')} is of one model's windows, and several are "
                    f"averaged by track; leave it out, or tag with {self.members[0].model} alone"
                )

    @property
    def codes(self) -> list[str]:
        """The classes, in the order of the model's outputs."""
        return self.card.vocabulary.codes

    @property
    def model_card(self) -> ModelCard:
        """The card of one model; UsageError where several are averaged."""
        if isinstance(self.card, EnsembleCard):
            raise UsageError(f"{self.model}: several models that are averaged; name one of them")
        return self.card

    @property
    def parts(self) -> tuple[Tagging, ...]:
        """The models that hear a track: the members, or this one alone."""
        return self.members or (self,)

    @property
    def hearing(self) -> Hearing:
        """How a track becomes one model's windows."""
        return Hearing(self.model_card.heard, self.windows, self.activity)

    @property
    def hearings(self) -> tuple[Hearing, ...]:
        """How a track becomes windows of all models, those that hear alike once."""
        return tuple(dict.fromkeys(part.hearing for part in self.parts))

    @property
    def is_of_fold(self) -> bool:
        """Whether a model is of a cross-validation, which divides train and val anew."""
        return any(part.model_card.is_of_fold for part in self.parts)

    @property
    def window_limits(self) -> tuple[float, ...] | None:
        """Sigmoids from which a class is heard in a window, where its own thresholds say so.

        Those of a pretrained tagger do: they are of means of sigmoids, far below a half.
        """
        card = self.card
        if isinstance(card, EnsembleCard) or card.min_confidence is None:
            return None
        if self.aggregation != card.aggregation:
            return None
        limits = own(card.thresholds, self.aggregation, self.codes).tolist()
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
            **self._identity_of_windows(),
            **({} if self.calibration is None else {"calibration": self.calibration.to_dict()}),
        }

    def _identity_of_windows(self) -> dict[str, Any]:
        if not isinstance(self.card, EnsembleCard):
            return {**self.windows.to_dict(), "feature_spec": self.card.heard.to_dict()}
        kept = ("model_id", "aggregation", "window_s", "hop_s", "feature_spec", "calibration")
        return {
            "members": [
                {key: value for key, value in how.identity.items() if key in kept}
                | {"weight": member.weight}
                for member, how in zip(self.card.members, self.members, strict=True)
            ]
        }

    def track_scores(self, windows: Sequence[Scores]) -> Scores:
        """Return a track's scores, `[n_classes]`, as TAGS hold them; of an inactive track 0.

        `windows` are the scores of the windows that count, `[n_windows, n_classes]` a part.
        """
        if self.members:
            each = zip(self.members, windows, strict=True)
            return self._served(self.mean([part.track_scores([scores]) for part, scores in each]))
        found = aggregate(windows[0], self.aggregation, hop_s=self.windows.hop_s)
        return self._served(found)

    def mean(self, values: Sequence[Scores]) -> Scores:
        """Return the mean over the parts of values of a track, `[n_classes]` a part."""
        if not isinstance(self.card, EnsembleCard):
            return values[0]
        return self.card.mean(values).astype(values[0].dtype)

    def _served(self, scores: Scores) -> Scores:
        if self.calibration is None or not scores.any():
            return scores
        return np.asarray(self.calibration.apply(scores[None])[0], scores.dtype)


def tagging(
    model: str = STARTER,
    method: str | None = None,
    threshold: float | None = None,
    *,
    gpu: bool = False,
    whole_tracks: bool = False,
) -> Tagging:
    """Read a model's card and settle how its scores become labels; `A,B` are averaged.

    Windows of silence and noise count where the model has learned from such.
    It runs in torch, as it was trained; what was quantised runs as it is meant to. Without a
    `method` the model's own counts: as it is for clips, or what it becomes for `whole_tracks`.
    """
    card = load_any(model)
    if isinstance(card, EnsembleCard):
        members = [
            tagging(one.model, method, gpu=gpu, whole_tracks=whole_tracks) for one in card.members
        ]
        return _averaged(model, card, members, threshold)
    of_model = for_tracks(card.aggregation) if whole_tracks else card.aggregation
    aggregation = method_named(method or of_model)
    thresholds = _thresholds(card, aggregation, threshold)
    engine = "torch" if card.quantized is None else "auto"
    activity = Activity() if card.training.get("config", {}).get("activity") else None
    return Tagging(
        model, card, aggregation, thresholds, gpu, card.windows, activity=activity, engine=engine
    )


def _averaged(
    model: str, card: EnsembleCard, members: Sequence[Tagging], threshold: float | None
) -> Tagging:
    """Return how the mean of some models becomes labels; the settings are the first one's."""
    aggregation = joined([part.aggregation for part in members])
    return replace(
        members[0],
        model=model,
        card=card,
        aggregation=aggregation,
        thresholds=_thresholds(card, aggregation, threshold),
        members=tuple(members),
    )


def _thresholds(card: Card, aggregation: str, threshold: float | None) -> tuple[float, ...]:
    codes = card.vocabulary.codes
    if threshold is not None:
        return (threshold,) * len(codes)
    return tuple(own(card.thresholds, aggregation, codes).tolist())


def for_parts(how: Tagging, change: Callable[[Tagging], Tagging]) -> Tagging:
    """Return the same with each of its models changed, such as in what runs them."""
    if not how.members:
        return change(how)
    return replace(how, members=tuple(map(change, how.members)))


def aggregated_by(how: Tagging, method: str) -> Tagging:
    """Return the same by another aggregation; `s1+s2` are those of an ensemble's members."""
    each = zip(how.members, of_members(method, len(how.members)), strict=True)
    members = tuple(replace(part, aggregation=own_method) for part, own_method in each)
    return replace(how, aggregation=method, members=members)


def calibrated(how: Tagging, *, threshold: float | None = None) -> Tagging:
    """Return the same with probabilities as scores; the thresholds go with them.

    So the labels stay, but where one `threshold` for all classes was asked for: it is taken as the
    probability that it will be compared with.
    """
    kept = (how.card.calibration or {}).get(how.aggregation)
    if kept is None and isinstance(how.card, EnsembleCard):
        return _of_calibrated(how, how.card, threshold)
    if kept is None:
        raise UsageError(
            f"--calibrated: {how.model}/model.json has no calibration of {how.aggregation}; "
            "python -m jobs.evaluate --dataset ... --keep-calibration finds one on validation"
        )
    found = Calibration.from_dict(kept, how.codes)
    limits = how.thresholds if threshold is not None else found.thresholds(how.thresholds).tolist()
    return replace(how, calibration=found, thresholds=tuple(limits))


def _of_calibrated(how: Tagging, card: EnsembleCard, threshold: float | None) -> Tagging:
    """Return the mean of the members' probabilities, by the calibration that each of them has."""
    members = tuple(map(calibrated, how.members))
    limits = how.thresholds
    if threshold is None:
        limits = tuple(card.mean([part.thresholds for part in members]).tolist())
    return replace(how, members=members, thresholds=limits)


def check_model(how: Tagging) -> None:
    """Raise SpecMismatch where the folder holds another model by now than when it was read."""
    model_id = load_any(how.model).model_id
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
