"""What is trained, scored and shown together, under which names. PURE.

An experiment may stand in several figures; it is trained and scored once.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol, TypeVar

from pipeline.training.config import TrainConfig

IRMAS, AUDIOSET = "irmas", "audioset"
"""The names of the datasets."""


@dataclass(frozen=True)
class Training:
    """A model that is trained."""

    name: str
    """Names the experiment, its folder and its result."""
    about: str
    """What sets it apart, in words."""
    config: TrainConfig
    """The settings of the training, which decide the model."""
    dataset: str = IRMAS
    """Name of the dataset that the model learns from."""
    skipped: str = ""
    """Why it cannot be trained here; empty where it can."""
    report_parameters: int | None = None
    """How many parameters the report prints, rounded as there; None where it prints none."""


@dataclass(frozen=True)
class Scoring:
    """Models that are scored on a dataset's test split; several are an ensemble."""

    name: str
    """Names the result and its folder."""
    models: tuple[str, ...]
    """Names of the trainings whose models they are."""
    dataset: str = IRMAS
    """Whose test split is scored."""
    skipped: str = ""
    """Why it cannot be scored here, whatever its models; empty where it can."""


@dataclass(frozen=True)
class Claim:
    """An order of two results that the report states."""

    text: str
    """The claim, as a sentence."""
    better: str
    """The result that is better."""
    worse: str
    """The result that is worse."""


@dataclass(frozen=True)
class FigurePlan:
    """What one figure shows, and what is needed for it."""

    name: str
    """Its name, as `--only` takes it."""
    title: str
    """What it shows, in words."""
    trainings: tuple[Training, ...] = ()
    """The models that it needs."""
    scorings: tuple[Scoring, ...] = ()
    """The results that it shows, in its order."""
    claims: tuple[Claim, ...] = ()
    """What the report says of them."""
    note: str = ""
    """What has to be known to read it."""


@dataclass(frozen=True)
class StudyPlan:
    """All figures that are asked for."""

    figures: tuple[FigurePlan, ...]
    """In the order of the page."""

    @property
    def trainings(self) -> list[Training]:
        """The models of all figures, each once."""
        return _each_once(one for figure in self.figures for one in figure.trainings)

    @property
    def scorings(self) -> list[Scoring]:
        """The results of all figures, each once."""
        return _each_once(one for figure in self.figures for one in figure.scorings)

    @property
    def names(self) -> list[str]:
        """The names of the figures."""
        return [figure.name for figure in self.figures]


class _Named(Protocol):
    @property
    def name(self) -> str: ...


T = TypeVar("T", bound=_Named)


def plan_lines(plan: StudyPlan) -> list[str]:
    """Return the plan in words, as `--dry-run` prints it."""
    trained = [one.name for one in plan.trainings if not one.skipped]
    return [
        *(line for figure in plan.figures for line in _figure_lines(figure)),
        f"trainings in all: {len(trained)}{': ' if trained else ''}{', '.join(trained)}",
    ]


def _figure_lines(figure: FigurePlan) -> list[str]:
    skipped = {one.name: one.skipped for one in figure.trainings}
    about = {one.name: one.about for one in figure.trainings}
    lines = [f"{figure.name}: {figure.title}"]
    for one in figure.scorings:
        what = about.get(one.name) or " + ".join(one.models)
        why = next(filter(None, (one.skipped, *map(skipped.__getitem__, one.models))), "")
        not_run = f"; NOT RUN: {why}" if why else ""
        lines.append(f"  {one.name}: {what}; test split of {one.dataset}{not_run}")
    if not figure.scorings:
        lines += [
            f"  of {one.name}: {one.about}{f'; NOT RUN: {one.skipped}' if one.skipped else ''}"
            for one in figure.trainings
        ]
    return lines + [f"  claim: {claim.text}" for claim in figure.claims]


def _each_once(found: Iterable[T]) -> list[T]:
    by_name: dict[str, T] = {}
    for one in found:
        if by_name.setdefault(one.name, one) != one:
            raise AssertionError(f"two experiments are called {one.name}")
    return list(by_name.values())
