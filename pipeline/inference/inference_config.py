"""How a model's scores become labels: what the tagging flow and its stages agree on."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.arrays import Floats
from pipeline.audio.description.track_attributes import attribute_columns, check_attributes
from pipeline.audio.spectra.activity import Activity
from pipeline.audio.spectra.windows import WindowSpec
from pipeline.errors import SpecMismatch, UsageError
from pipeline.evaluation.labels.aggregate import aggregate, for_tracks, method_named
from pipeline.evaluation.labels.calibration import Calibration
from pipeline.evaluation.labels.thresholds import thresholds_for
from pipeline.inference.track_front_end import MAX_TRACK_S, TrackFrontEnd
from pipeline.models.card import ModelCard
from pipeline.models.ensemble import Card, EnsembleCard, joined, load_any, of_members
from pipeline.models.starter import STARTER, for_all_processes
from schemas.tags import tags_schema


@dataclass(frozen=True)
class InferenceConfig:
    """How scores become labels: what the stages need besides the model's weights."""

    model: str
    """Its folder; a path is made absolute, as workers may be in another one."""
    card: Card
    aggregation: str
    thresholds: tuple[float, ...]
    """A class each, in the vocabulary's order."""
    gpu: bool
    windows: WindowSpec
    min_confidence: float = 0.0
    """Confidence below which a class is no label, whatever its score."""
    activity: Activity | None = None
    """Which windows are silence or noise, and do not count; None: all count."""
    engine: str = "torch"
    precision: str = "auto"
    keep_windows: bool = False
    embeddings: bool = False
    attributes: tuple[str, ...] = ()
    """Attribute sets that a track is described by, beside what the model says of it."""
    max_track_s: float = MAX_TRACK_S
    """A longer track is a row of reason too_long, in s."""
    calibration: Calibration | None = None
    """The map that makes a track's scores probabilities; None: they are the aggregation's."""
    members: tuple[InferenceConfig, ...] = ()
    """Of an ensemble, how each of its models tags; only the mean of their scores has labels."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "model", for_all_processes(self.model))
        check_attributes(self.attributes)
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
    def parts(self) -> tuple[InferenceConfig, ...]:
        """The models that score a track: the members, or this one alone."""
        return self.members or (self,)

    @property
    def front_end(self) -> TrackFrontEnd:
        """How a track becomes one model's windows."""
        return TrackFrontEnd(
            self.model_card.input_spec, self.windows, self.activity, self.max_track_s
        )

    @property
    def front_ends(self) -> tuple[TrackFrontEnd, ...]:
        """How a track becomes windows of all models, those of equal front ends once."""
        return tuple(dict.fromkeys(part.front_end for part in self.parts))

    @property
    def attribute_columns(self) -> list[pa.Field]:
        """The columns of TAGS that the attribute sets bring."""
        return attribute_columns(self.attributes)

    @property
    def tags_schema(self) -> pa.Schema:
        """The schema of TAGS that are made so."""
        return tags_schema(self.codes, self.attribute_columns)

    @property
    def is_of_fold(self) -> bool:
        """Whether a model is of a cross-validation, which divides train and val anew."""
        return any(part.model_card.is_of_fold for part in self.parts)

    @property
    def window_limits(self) -> tuple[float, ...] | None:
        """Sigmoids from which a class counts in a window, where its own thresholds say so.

        Those of a pretrained tagger do: they are of means of sigmoids, far below a half.
        """
        card = self.card
        if isinstance(card, EnsembleCard) or card.min_confidence is None:
            return None
        if self.aggregation != card.aggregation:
            return None
        limits = thresholds_for(card.thresholds, self.aggregation, self.codes).tolist()
        return tuple(max(self.min_confidence, limit) for limit in limits)

    @property
    def identity(self) -> dict[str, Any]:
        """What decides a row of TAGS: two runs into one folder must agree on it."""
        activity = self.activity
        return {
            "model_id": self.card.model_id,
            "aggregation": self.aggregation,
            "thresholds": dict(zip(self.codes, self.thresholds, strict=True)),
            "gate": self.min_confidence,
            "activity": None if activity is None else dict(vars(activity)),
            **self._identity_of_windows(),
            **({} if self.calibration is None else {"calibration": self.calibration.to_dict()}),
        }

    def _identity_of_windows(self) -> dict[str, Any]:
        if not isinstance(self.card, EnsembleCard):
            return {**self.windows.to_dict(), "feature_spec": self.card.input_spec.to_dict()}
        kept = ("model_id", "aggregation", "window_s", "hop_s", "feature_spec", "calibration")
        return {
            "members": [
                {key: value for key, value in inference.identity.items() if key in kept}
                | {"weight": member.weight}
                for member, inference in zip(self.card.members, self.members, strict=True)
            ]
        }

    def track_scores(self, windows: Sequence[Floats]) -> Floats:
        """Return a track's scores, `[n_classes]`, as TAGS hold them; of an inactive track 0.

        `windows` are the scores of the windows that count, `[n_windows, n_classes]` a part.
        """
        if self.members:
            each = zip(self.members, windows, strict=True)
            return self._served(self.mean([part.track_scores([scores]) for part, scores in each]))
        found = aggregate(windows[0], self.aggregation, hop_s=self.windows.hop_s)
        return self._served(found)

    def mean(self, values: Sequence[Floats]) -> Floats:
        """Return the mean over the parts of values of a track, `[n_classes]` a part."""
        if not isinstance(self.card, EnsembleCard):
            return values[0]
        return self.card.mean(values).astype(values[0].dtype)

    def _served(self, scores: Floats) -> Floats:
        if self.calibration is None or not scores.any():
            return scores
        return np.asarray(self.calibration.apply(scores[None])[0], scores.dtype)


def inference_config(
    model: str = STARTER,
    method: str | None = None,
    threshold: float | None = None,
    *,
    gpu: bool = False,
    whole_tracks: bool = False,
    attributes: Sequence[str] = (),
) -> InferenceConfig:
    """Read a model's card and decide how its scores become labels; `A,B` are averaged.

    Windows of silence and noise count where the model has learned from such.
    It runs in torch, as it was trained; what was quantised runs as it is meant to. Without a
    `method` the model's own counts: as it is for clips, or what it becomes for `whole_tracks`.
    Rows have the `attributes` of the sets that are named, such as "timbral".
    """
    card, sets = load_any(model), tuple(attributes)
    if isinstance(card, EnsembleCard):
        members = [
            inference_config(one.model, method, gpu=gpu, whole_tracks=whole_tracks)
            for one in card.members
        ]
        return replace(_averaged(model, card, members, threshold), attributes=sets)
    of_model = for_tracks(card.aggregation) if whole_tracks else card.aggregation
    aggregation = method_named(method or of_model)
    thresholds = _thresholds(card, aggregation, threshold)
    engine = "torch" if card.quantized is None else "auto"
    activity = Activity() if card.training.get("config", {}).get("activity") else None
    return InferenceConfig(
        *(model, card, aggregation, thresholds, gpu, card.windows),
        activity=activity,
        engine=engine,
        attributes=sets,
    )


def _averaged(
    model: str, card: EnsembleCard, members: Sequence[InferenceConfig], threshold: float | None
) -> InferenceConfig:
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
    return tuple(thresholds_for(card.thresholds, aggregation, codes).tolist())


def for_parts(
    inference: InferenceConfig, change: Callable[[InferenceConfig], InferenceConfig]
) -> InferenceConfig:
    """Return the same with each of its models changed, such as in what runs them."""
    if not inference.members:
        return change(inference)
    return replace(inference, members=tuple(map(change, inference.members)))


def aggregated_by(inference: InferenceConfig, method: str) -> InferenceConfig:
    """Return the same by another aggregation; `s1+s2` are those of an ensemble's members."""
    each = zip(inference.members, of_members(method, len(inference.members)), strict=True)
    members = tuple(replace(part, aggregation=own_method) for part, own_method in each)
    return replace(inference, aggregation=method, members=members)


def calibrated(inference: InferenceConfig, *, threshold: float | None = None) -> InferenceConfig:
    """Return the same with probabilities as scores; the thresholds go with them.

    So the labels stay, but where one `threshold` for all classes was asked for: it is taken as the
    probability that it will be compared with.
    """
    kept = (inference.card.calibration or {}).get(inference.aggregation)
    if kept is None and isinstance(inference.card, EnsembleCard):
        return _of_calibrated(inference, inference.card, threshold)
    if kept is None:
        raise UsageError(
            f"--calibrated: {inference.model}/model.json has no calibration of "
            f"{inference.aggregation}; python -m jobs.evaluate --dataset ... --keep-calibration "
            "finds one on validation"
        )
    found = Calibration.from_dict(kept, inference.codes)
    limits = (
        inference.thresholds
        if threshold is not None
        else found.thresholds(inference.thresholds).tolist()
    )
    return replace(inference, calibration=found, thresholds=tuple(limits))


def _of_calibrated(
    inference: InferenceConfig, card: EnsembleCard, threshold: float | None
) -> InferenceConfig:
    """Return the mean of the members' probabilities, by the calibration that each of them has."""
    members = tuple(map(calibrated, inference.members))
    limits = inference.thresholds
    if threshold is None:
        limits = tuple(card.mean([part.thresholds for part in members]).tolist())
    return replace(inference, members=members, thresholds=limits)


def check_model(inference: InferenceConfig) -> None:
    """Raise SpecMismatch where the folder holds another model by now than when it was read."""
    model_id = load_any(inference.model).model_id
    if model_id != inference.card.model_id:
        raise SpecMismatch(
            f"{inference.model}: holds {model_id} by now, and held {inference.card.model_id} when "
            "this began; run the same command again, or train into another folder"
        )


def other_windows(card: ModelCard, window_s: float | None, hop_s: float | None) -> WindowSpec:
    """Return a model's windows, or others where it can take them."""
    own_s = card.windows.window_s
    if window_s not in (None, own_s) and not card.architecture.takes_any_window:
        raise UsageError(
            f"--window-s {window_s:g}: {card.model_id} takes windows of {own_s:g} s and no others"
        )
    hop = card.windows.hop_s if window_s is None else window_s
    return WindowSpec(own_s if window_s is None else window_s, hop if hop_s is None else hop_s)
