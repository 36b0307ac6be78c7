"""Several models whose scores are averaged: `A,B` or a folder's ensemble.json in, a card out.

ensemble.json names the members' folders, and has what `jobs.evaluate --ensemble` found for them
together: thresholds, calibration. The models may differ in all but their classes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.arrays import Float64
from pipeline.errors import SpecMismatch, UsageError
from pipeline.evaluation.labels.aggregate import for_tracks
from pipeline.evaluation.labels.thresholds import thresholds_for
from pipeline.models.card import (
    DEFAULT_MIN_CONFIDENCE,
    ModelCard,
    check_tags,
    fingerprint_of,
    load_card,
)
from pipeline.models.starter import (
    ENSEMBLE_FILE,
    MODEL_FILE,
    for_all_processes,
    model_names,
    model_uri,
)
from pipeline.selection.vocabulary import Vocabulary
from pipeline.store.folder import Folder

FORMAT = "timbre-ensemble-1"

ByMethod = dict[str, dict[str, float]]


@dataclass(frozen=True)
class Member:
    """One of the models that are averaged."""

    model: str
    """The model's folder, or the word `starter`."""
    card: ModelCard
    weight: float = 1.0
    """In the mean, relative to those of the others."""


@dataclass(frozen=True)
class EnsembleCard:
    """What several models are together: what `ModelCard` is of one."""

    members: tuple[Member, ...]
    """By model_id, so that A,B and B,A are the same."""
    thresholds: ByMethod
    """Per aggregation, per class code: of the mean."""
    threshold_notes: tuple[str, ...] = ()
    """What is to be known of thresholds that were found on validation."""
    calibration: dict[str, dict[str, Any]] | None = None
    """Per aggregation, the map from the mean to probabilities."""

    @property
    def model_id(self) -> str:
        """`ensemble` and a hash of the members' ids and weights."""
        members = [[one.card.model_id, one.weight] for one in self.members]
        return f"ensemble-{fingerprint_of(members)}"

    @property
    def vocabulary(self) -> Vocabulary:
        """The classes, in the order of the first member."""
        return self.members[0].card.vocabulary

    @property
    def aggregation(self) -> str:
        """How the members' window scores become a clip's."""
        return joined([one.card.aggregation for one in self.members])

    @property
    def untrained_classes(self) -> list[str]:
        """Codes of the classes that no member has learned."""
        of_members = [set(one.card.untrained_classes) for one in self.members]
        unknown = set.intersection(*of_members)
        return [code for code in self.vocabulary.codes if code in unknown]

    @property
    def min_confidence(self) -> float | None:
        """The weighted mean of the members' own; None where none has one."""
        own_values = [one.card.min_confidence for one in self.members]
        if all(value is None for value in own_values):
            return None
        values = [DEFAULT_MIN_CONFIDENCE if value is None else value for value in own_values]
        return float(np.average(values, weights=[one.weight for one in self.members]))

    def mean(self, values: Sequence[npt.ArrayLike]) -> Float64:
        """Return the weighted mean of the members' values, each `[n_classes]` in its own order.

        A member that has not learned a class has no say in it.
        """
        codes = self.vocabulary.codes
        sums, weights = np.zeros(len(codes)), np.zeros(len(codes))
        for member, of_member in zip(self.members, values, strict=True):
            theirs, untrained = member.card.vocabulary.codes, member.card.untrained_classes
            weight = np.array([member.weight * (code not in untrained) for code in codes])
            order = [theirs.index(code) for code in codes]
            sums += weight * np.asarray(of_member, np.float64)[order]
            weights += weight
        return np.divide(sums, weights, out=np.zeros(len(codes)), where=weights > 0)

    def to_dict(self) -> dict[str, Any]:
        """Return the card as ensemble.json holds it."""
        members = [
            {
                "model": for_all_processes(one.model),
                "model_id": one.card.model_id,
                "weight": one.weight,
            }
            for one in self.members
        ]
        return {
            "format": FORMAT,
            "model_id": self.model_id,
            "members": members,
            "aggregation": self.aggregation,
            "thresholds": self.thresholds,
            **({"threshold_notes": list(self.threshold_notes)} if self.threshold_notes else {}),
            **({} if self.calibration is None else {"calibration": self.calibration}),
        }


Card = ModelCard | EnsembleCard


def joined(methods: Sequence[str]) -> str:
    """Return the name of the members' aggregations: one where all have the same.

    >>> joined(["s2", "s2"]), joined(["s1", "s2"])
    ('s2', 's1+s2')
    """
    return methods[0] if len(set(methods)) == 1 else "+".join(methods)


def of_members(method: str, n_members: int) -> list[str]:
    """Return each member's aggregation of a name that `joined` may have made.

    >>> of_members("s2", 2), of_members("s1+s2", 2)
    (['s2', 's2'], ['s1', 's2'])
    """
    methods = method.split("+")
    return methods if len(methods) > 1 else methods * n_members


def load_any(name: str) -> Card:
    """Return the card of a tagger's or an ensemble's folder, or of `A,B`.

    A regressor raises UsageError: it scores no classes.
    """
    names = model_names(name)
    if len(names) > 1:
        return averaged([Member(one, _tagger_card(one)) for one in names])
    folder = Folder(model_uri(name))
    if folder.exists(ENSEMBLE_FILE) and not folder.exists(MODEL_FILE):
        return _read(folder)
    return _tagger_card(name)


def _tagger_card(name: str) -> ModelCard:
    card = load_card(name)
    check_tags(name, card)
    return card


def averaged(members: Sequence[Member]) -> EnsembleCard:
    """Return the ensemble of some models, its thresholds the mean of theirs."""
    _check_classes(members)
    in_order = tuple(sorted(members, key=lambda one: (one.card.model_id, one.weight)))
    card = EnsembleCard(in_order, {})
    return replace(card, thresholds=dict(_mean_thresholds(card)))


def save_ensemble(folder: Folder, card: EnsembleCard) -> None:
    """Write an ensemble's card as ensemble.json."""
    folder.write_json(ENSEMBLE_FILE, card.to_dict())


def _mean_thresholds(card: EnsembleCard) -> Iterator[tuple[str, dict[str, float]]]:
    """Yield the means of the members' thresholds, by aggregation."""
    cards, codes = [one.card for one in card.members], card.vocabulary.codes
    own_methods = [one.aggregation for one in cards]
    known = [method for one in cards for method in one.thresholds]
    of_tracks = joined([for_tracks(method) for method in own_methods])
    for method in dict.fromkeys([*known, joined(own_methods), of_tracks]):
        limits = [
            thresholds_for(one.thresholds, part, one.vocabulary.codes)
            for one, part in zip(cards, of_members(method, len(cards)), strict=True)
        ]
        yield method, dict(zip(codes, card.mean(limits).tolist(), strict=True))


def _check_classes(members: Sequence[Member]) -> None:
    """Raise SpecMismatch unless all have the same classes, by code and by AudioSet's ids."""
    cure = "models that are averaged must have the same classes"
    first, *others = members
    mine = _meanings(first)
    for other in others:
        theirs = _meanings(other)
        for code in sorted(mine.keys() ^ theirs.keys()):
            has, lacks = (first, other) if code in mine else (other, first)
            raise SpecMismatch(f"{lacks.model} has no class {code}, and {has.model} has: {cure}")
        for code, ids in mine.items():
            if ids != theirs[code]:
                said = [f"{' '.join(sorted(one[code]))}" for one in (mine, theirs)]
                raise SpecMismatch(
                    f"class {code} is {said[0]} in {first.model} and {said[1]} in {other.model}: "
                    f"{cure}"
                )


def _meanings(member: Member) -> dict[str, set[str]]:
    return {one.code: set(one.any_of) for one in member.card.vocabulary.instruments}


def _read(folder: Folder) -> EnsembleCard:
    """Return what ensemble.json says; SpecMismatch where a member is another model by now."""
    name, said = folder.uri_of(ENSEMBLE_FILE), folder.read_json(ENSEMBLE_FILE)
    try:
        if said["format"] != FORMAT:
            raise SpecMismatch(f"{name}: format {said['format']!r}, expected {FORMAT!r}")
        found = averaged([_member(name, one) for one in said["members"]])
        return replace(
            found,
            thresholds=found.thresholds | said["thresholds"],
            threshold_notes=tuple(said.get("threshold_notes", ())),
            calibration=said.get("calibration"),
        )
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise SpecMismatch(
            f"{name}: not an ensemble of this version: {type(error).__name__} {error}"
        ) from error


def _member(name: str, said: Mapping[str, Any]) -> Member:
    try:
        member = Member(said["model"], _tagger_card(said["model"]), float(said.get("weight", 1.0)))
    except UsageError as error:
        raise UsageError(f"{name}: {error}") from error
    if member.card.model_id != said["model_id"]:
        raise SpecMismatch(
            f"{name}: made with {said['model_id']}, and {member.model} holds "
            f"{member.card.model_id} by now; evaluate the models together again"
        )
    if not 0 < member.weight < math.inf:
        raise SpecMismatch(
            f"{name}: weight {member.weight:g} of {member.model}: expected more than 0"
        )
    return member
