"""The teachers of a run, by their cards: their classes and front ends, and what teaches."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from pipeline.audio.spectra.input_kinds import MelInput, SamplesInput
from pipeline.audio.spectra.input_spec import InputSpec
from pipeline.errors import UsageError
from pipeline.models.model import ModelCard
from pipeline.models.networks.classical import CLASSICAL
from pipeline.training.config import TrainConfig
from pipeline.training.transfer.distillation import (
    Distiller,
    Teacher,
    WindowCut,
    cut_for,
    known_columns,
    student_of,
)
from pipeline.training.transfer.pinned import card_of, pinned_model


@dataclass(frozen=True)
class Teaching:
    """The models whose scores are soft targets, as the run's driver has seen them."""

    uris: tuple[str, ...]
    """Folders of the teachers, in their order."""
    cards: tuple[ModelCard, ...]
    """What the model.json of each says."""

    @classmethod
    def of(cls, config: TrainConfig) -> Teaching:
        """Read the cards of a config's teachers."""
        cards = tuple(card_of("--teacher", uri) for uri in config.teacher)
        return cls(config.teacher, cards)

    @property
    def model_ids(self) -> list[str]:
        """Model ids of the teachers, in their order."""
        return [card.model_id for card in self.cards]

    def rate_hz(self, student: InputSpec) -> int:
        """Return the highest sample rate of the student and its teachers."""
        return max(student.sample_rate_hz, *(card.input_spec.sample_rate_hz for card in self.cards))

    def cut(self, student: InputSpec, window_s: float) -> WindowCut:
        """Return where the student's windows lie in the samples that all of them get."""
        return cut_for(student, self.rate_hz(student), window_s)

    def taught(self, codes: Sequence[str]) -> set[int]:
        """Return the classes, by number, that at least one teacher knows."""
        columns = [known_columns(card, codes) for card in self.cards]
        return {k for own in columns for k, column in enumerate(own) if column is not None}

    def check(self, student: InputSpec, codes: Sequence[str], model: str) -> None:
        """Raise UsageError where the student cannot be taught so; read each teacher once."""
        if model in CLASSICAL or not isinstance(student, MelInput | SamplesInput):
            raise UsageError(
                f"--teacher: {model} takes features that a training does not make; take a network "
                "of mel bands or samples"
            )
        self.taught(codes)
        for uri, card in zip(self.uris, self.cards, strict=True):
            pinned_model(uri, card)

    def distiller(
        self,
        student: InputSpec,
        codes: Sequence[str],
        window_s: float,
        mean: Tensor,
        deviation: Tensor,
    ) -> Distiller:
        """Return what makes input and soft targets of a student's windows of samples."""
        teachers = [
            Teacher(pinned_model(uri, card), card, codes, self.rate_hz(student))
            for uri, card in zip(self.uris, self.cards, strict=True)
        ]
        cut = self.cut(student, window_s)
        own = student_of(student, mean=mean, deviation=deviation)
        return Distiller(own, teachers, cut, mean=mean, deviation=deviation)
