"""Windows of samples in, a student's input and its teachers' scores of the same sounds out.

Each teacher takes the samples through its own front end, at its own rate and in windows of its own
length; what disturbs samples, mixtures included, is done before, so all get the same. After
Hinton, Vinyals and Dean, "Distilling the knowledge in a neural network", 2015, for labels that do
not exclude one another: Schmid, Koutini and Widmer, "Efficient large-scale audio tagging via
transformer-to-CNN knowledge distillation", ICASSP 2023, section 2.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from pipeline.audio.decoding.clip import FULL_SCALE
from pipeline.audio.spectra.input_kinds import MelInput, SamplesInput
from pipeline.audio.spectra.input_spec import InputSpec
from pipeline.audio.spectra.windows import window_starts
from pipeline.errors import UsageError
from pipeline.evaluation.labels.aggregate import aggregate, equal_on_clips
from pipeline.models.model import ModelCard, Tagger
from pipeline.models.pretrained.family import variants
from pipeline.training.augmenting.augment import mix_samples, noise
from pipeline.training.augmenting.pitch import pitch
from pipeline.training.config import TrainConfig
from pipeline.training.data.window_set import WindowSet
from pipeline.training.spectra.logmel import SamplesToLogMel, bands_of
from pipeline.training.step.losses import window_losses

OF_SAMPLES = {"mix", "noise", "pitch"}
"""Augmentations that reach all of them, and that the student's input has behind it."""
_EDGE = 256  # samples beyond those that are used, for the ends of the resampler's filter


def joint_losses(logits: Tensor, targets: Tensor, soft: Tensor, hard_share: float) -> Tensor:
    """Return the loss of each window, `[n]`: labels have `hard_share` of it, teachers the rest.

    All are `[n, n_classes]`; NaN in targets or soft targets (scores) is unknown and counts nothing.
    """
    hard = window_losses(logits, targets)
    return hard_share * hard + (1 - hard_share) * window_losses(logits, soft)


@dataclass(frozen=True)
class WindowCut:
    """Where a window lies in samples that were cut longer, at the highest rate that is needed."""

    rate_hz: int
    """Of the samples: the highest of student and teachers."""
    n_samples: int
    """Samples of a window without its margins."""
    margins: tuple[int, int]
    """Samples before and behind it."""
    student_rate_hz: int
    """Of the student's front end."""
    n_student: int
    """Samples of a window at the student's rate."""
    student_margins: tuple[int, int]
    """What the student's first and last frames see beyond it, at the student's rate."""

    @classmethod
    def of(
        cls, rate_hz: int, window_s: float, student_rate_hz: int, student_margins: tuple[int, int]
    ) -> WindowCut:
        """Return the cut whose margins are whole steps at both rates."""
        sizes = round(window_s * rate_hz), round(window_s * student_rate_hz)
        if rate_hz == student_rate_hz:
            return cls(rate_hz, sizes[0], student_margins, rate_hz, sizes[1], student_margins)
        common = math.gcd(rate_hz, student_rate_hz)
        steps = [math.ceil((n + _EDGE) * common / student_rate_hz) for n in student_margins]
        before, behind = (n * rate_hz // common for n in steps)
        sizes_and = sizes[0], (before, behind), student_rate_hz, sizes[1]
        return cls(rate_hz, *sizes_and, student_margins)

    def window(self, samples: Tensor) -> Tensor:
        """Return the window alone, `[n, n_samples]`."""
        return samples[:, self.margins[0] : self.margins[0] + self.n_samples]

    def student(self, resampled: Tensor) -> Tensor:
        """Return what the student's frames see, of samples at its rate."""
        first = self.margins[0] * self.student_rate_hz // self.rate_hz - self.student_margins[0]
        return resampled[:, first : first + self.n_student + sum(self.student_margins)]


class Teacher(nn.Module):
    """A frozen model: samples of windows in, its scores of a student's classes out.

    Parameters
    ----------
    tagger, card
        The model, as `model.load_model` gives it.
    codes
        The student's classes. UsageError where the model knows none of them.
    rate_hz
        Of the samples.
    """

    def __init__(self, tagger: Tagger, card: ModelCard, codes: Sequence[str], rate_hz: int) -> None:
        super().__init__()
        self.tagger = tagger.eval().requires_grad_(False)
        self.card, self.input_spec, self.rate_hz = card, card.input_spec, rate_hz
        self.resampled = resampler(rate_hz, card.input_spec.sample_rate_hz)
        self.front = front_of(card.input_spec)
        columns = [-1 if column is None else column for column in known_columns(card, codes)]
        self.register_buffer("columns", torch.tensor(columns), persistent=False)

    @torch.no_grad()
    def forward(self, samples: Tensor) -> Tensor:
        """Return scores, `[n, n_classes]`, NaN for classes that it does not know.

        `samples` are windows, `[n, n_samples]`, in -1..1. The scores of several of its own windows
        within one are averaged.
        """
        pieces = self.own_windows(self.resampled(samples))  # [n, k, n_samples]
        inputs = self._fitted(self.front(pieces.flatten(0, 1)))
        scores = torch.sigmoid(self.tagger(inputs).float())
        scores = scores.reshape(*pieces.shape[:2], -1).mean(dim=1)
        columns = self.get_buffer("columns")
        own: Tensor = scores[:, columns.clamp(min=0)]
        return own.masked_fill(columns < 0, torch.nan)

    def own_windows(self, samples: Tensor) -> Tensor:
        """Return windows of its own length, `[n, k, length]`, of samples at its rate.

        Those of a longer sound stand as in tagging. A shorter one is given as it is where the
        network takes any length, else silence follows it.
        """
        clock, n = SamplesInput(self.input_spec.sample_rate_hz), samples.shape[1]
        length = self.card.windows.n_frames(clock)
        if n <= length:
            missing = 0 if self._takes(n) else length - n
            return nn.functional.pad(samples, (0, missing)).unsqueeze(1)
        starts = window_starts(n, self.card.windows, clock)
        return torch.stack([samples[:, start : start + length] for start in starts], dim=1)

    def _takes(self, n_samples: int) -> bool:
        name = self.card.architecture.name
        if name not in variants():
            return False
        family = variants()[name][0]
        return family.takes_any_window and self.input_spec.n_frames(n_samples) >= family.smallest[1]

    def _fitted(self, inputs: Tensor) -> Tensor:
        """Return inputs with as many columns as the network has learned from, where it matters."""
        if self.card.architecture.name in variants():
            return inputs
        missing = self.card.architecture.input_shape[1] - inputs.shape[2]
        if missing <= 0:
            return inputs[..., : inputs.shape[2] + missing]
        silence = torch.as_tensor(self.input_spec.silence, dtype=inputs.dtype, device=inputs.device)
        return torch.cat([inputs, silence.expand(*inputs.shape[:2], missing)], dim=2)


class Distiller(nn.Module):
    """Windows of samples in; a student's input, targets and its teachers' scores out.

    Parameters
    ----------
    student
        What makes the student's mel bands of samples at its rate; None where it takes samples.
    teachers
        At the rate of the samples.
    cut
        Where the windows lie in the samples.
    mean, deviation
        Of the training set's samples, 32,768 for full scale: noise is drawn from them.
    """

    def __init__(
        self,
        student: SamplesToLogMel | None,
        teachers: Sequence[Teacher],
        cut: WindowCut,
        *,
        mean: Tensor,
        deviation: Tensor,
    ) -> None:
        super().__init__()
        self.student, self.teachers, self.cut = student, nn.ModuleList(teachers), cut
        self.resampled = resampler(cut.rate_hz, cut.student_rate_hz)
        self.register_buffer("mean", mean / FULL_SCALE, persistent=False)
        self.register_buffer("deviation", deviation / FULL_SCALE, persistent=False)

    def forward(self, windows: Tensor, rng: torch.Generator, names: tuple[str, ...]) -> Tensor:
        """Return the student's input, `[n, n_rows, n_columns]`, of 16-bit windows; none mixed."""
        alone = tuple(name for name in names if name != "mix")
        nothing = windows.new_zeros((len(windows), 1), dtype=torch.float32)
        return self._student(self.disturbed(windows, nothing, rng, alone)[0])

    def taught(
        self, windows: Tensor, targets: Tensor, rng: torch.Generator, names: tuple[str, ...]
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Return the student's input, the targets of what is mixed, and the soft targets."""
        samples, targets = self.disturbed(windows, targets, rng, names)
        return self._student(samples), targets, self.scores(samples)

    def disturbed(
        self, windows: Tensor, targets: Tensor, rng: torch.Generator, names: tuple[str, ...]
    ) -> tuple[Tensor, Tensor]:
        """Return samples in -1..1, `[n, n_samples]` with margins, and targets: what all get."""
        samples = windows[:, 0].float() / FULL_SCALE
        if "pitch" in names:
            samples = pitch(samples, rng)
        if "mix" in names:
            samples, targets = mix_samples(samples, targets, rng)
        if "noise" in names:
            mean, deviation = self.get_buffer("mean"), self.get_buffer("deviation")
            samples = noise(samples, rng, mean=mean, deviation=deviation)
        return samples, targets

    def scores(self, samples: Tensor) -> Tensor:
        """Return the mean of the teachers' scores, `[n, n_classes]`; NaN where none knows."""
        alone = self.cut.window(samples)
        return torch.stack([teacher(alone) for teacher in self.teachers]).nanmean(dim=0)

    def _student(self, samples: Tensor) -> Tensor:
        input_spec = self.cut.student(self.resampled(samples))
        if self.student is None:
            return (input_spec * FULL_SCALE).unsqueeze(1)
        bands: Tensor = self.student.log_mel(input_spec)
        return bands


def students_own(config: TrainConfig) -> TrainConfig:
    """Return a config with what is left to do to the student's input alone."""
    left = tuple(name for name in config.augment if name not in OF_SAMPLES)
    return replace(config, augment=left)


def student_of(input_spec: InputSpec, *, mean: Tensor, deviation: Tensor) -> SamplesToLogMel | None:
    """Return what makes a student's mel bands; None where it takes samples."""
    if not isinstance(input_spec, MelInput):
        return None
    return SamplesToLogMel(input_spec.spec, mean=mean, deviation=deviation)


def cut_for(student: InputSpec, rate_hz: int, window_s: float) -> WindowCut:
    """Return the cut of windows at `rate_hz` that a student's front end needs."""
    own_rate_hz, margins = student.sample_rate_hz, (0, 0)
    if isinstance(student, MelInput):
        margins = student.spec.margins(round(window_s * own_rate_hz))
    return WindowCut.of(rate_hz, window_s, own_rate_hz, margins)


@torch.no_grad()
def with_soft_targets(
    data: WindowSet, samples: WindowSet, distiller: Distiller, method: str, device: torch.device
) -> WindowSet:
    """Return validation clips with the teachers' clip scores as targets, where they have none.

    So clips without labels can choose the epoch. Where any class is known of any clip, labels do.

    Parameters
    ----------
    data
        The clips as the student gets them.
    samples
        The same clips as samples, with the distiller's margins.
    distiller, device
        What has the teachers, and where.
    method
        Aggregation of windows to a clip.
    """
    if (~np.isnan(data.targets)).any():
        return data
    targets = np.full_like(data.targets, np.nan)
    for clip in range(len(samples.matrices)):
        windows = torch.from_numpy(samples.clip_windows(clip)).to(device)
        if not len(windows):
            continue
        scores = distiller.scores(windows[:, 0].float() / FULL_SCALE).cpu().numpy()
        known = ~np.isnan(scores).any(axis=0)
        targets[clip, known] = aggregate(scores[:, known], equal_on_clips(method))
    return replace(data, targets=targets)


def known_columns(card: ModelCard, codes: Sequence[str]) -> list[int | None]:
    """Return which output of a model each class is, None where it has not learned the class."""
    untrained = set(card.untrained_classes)
    column = {code: k for k, code in enumerate(card.vocabulary.codes) if code not in untrained}
    found = [column.get(code) for code in codes]
    if all(one is None for one in found):
        raise UsageError(
            f"--teacher {card.model_id}: it knows none of the dataset's classes "
            f"{', '.join(codes)}; it has {', '.join(card.vocabulary.codes[:12])}"
        )
    return found


def front_of(input_spec: InputSpec) -> nn.Module:
    """Return what makes a model's input of whole windows of samples, `[n, n_samples]`."""
    if isinstance(input_spec, MelInput):
        return bands_of(input_spec.spec, has_margins=False)
    return MatrixFront(input_spec)


class MatrixFront(nn.Module):
    """A front end that torch does not have: made on the CPU, a window after another."""

    def __init__(self, input_spec: InputSpec) -> None:
        super().__init__()
        self.input_spec = input_spec

    def forward(self, samples: Tensor) -> Tensor:
        """Return `[n, n_rows, n_columns]` for samples, `[n, n_samples]`."""
        rows = samples.cpu().numpy().astype(np.float32)
        matrices = np.stack([self.input_spec.matrix(row) for row in rows])
        return torch.from_numpy(matrices).to(samples.device)


def resampler(from_hz: int, to_hz: int) -> nn.Module:
    """Return a band-limited resampler of `[..., n_samples]`, by a Kaiser window of 64 zeros."""
    if from_hz == to_hz:
        return nn.Identity()
    import torchaudio  # here, as what only serves imports this module, too

    made: nn.Module = torchaudio.transforms.Resample(
        from_hz,
        to_hz,
        lowpass_filter_width=64,
        rolloff=0.9475937167399596,
        resampling_method="sinc_interp_kaiser",
        beta=14.769656459379492,
    )
    return made
