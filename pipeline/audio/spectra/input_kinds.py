"""The kinds of front ends that models have, and how model.json's `feature_spec` becomes one.

Whatever the kind, windows are cut from a matrix of the whole clip or track, along its columns; the
type that it is stored in is part of the front end, so that both get the same to the bit. PURE.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, ClassVar

import numpy as np

from pipeline.arrays import Float32
from pipeline.audio.decoding.clip import to_pcm16
from pipeline.audio.description.features import FEATURES, LOCAL, FrameSpec, extract_locally
from pipeline.audio.spectra.filterbank import FilterBankInput, FilterBankSpec
from pipeline.audio.spectra.input_spec import (
    BandInput,
    FrontEnd,
    InputSpec,
    Matrix,
    unprepared,
)
from pipeline.audio.spectra.kaldi import KaldiInput, KaldiSpec
from pipeline.audio.spectra.logmel import LogMelSpec, log_mel
from pipeline.audio.spectra.stacked import StackedInput
from pipeline.errors import SpecMismatch, UsageError
from pipeline.seams import declared, declaring

LEVELS = ("recorded", "window")
"""The level of what a model sees: as it was recorded, or each window at the same level."""
_DB_ROW, _LINEAR_ROW = "mfcc_0", "rms"
_IN_ONE_PIECE = ("mfcc", "descriptors")  # so older models see them: stretches differ by 1e-7


@dataclass(frozen=True)
class LogMelInput(BandInput):
    """The log-mel in dB, as in FEATURES."""

    spec: LogMelSpec = LogMelSpec()  # noqa: RUF009 (frozen, so it may be shared)
    """How the log-mel is made: rate, frames, bands."""
    kind = "logmel"
    dtype = "<f2"
    db_per_unit = 1.0
    scaling = None
    is_below_peak = True

    @property
    def silence(self) -> float:
        """The value of silence in dB: the log-mel's power floor."""
        return self.spec.floor_db

    def matrix(self, samples: Float32) -> Matrix:
        """Return the log-mel in dB, `[n_mels, n_frames]`."""
        return log_mel(samples, self.spec).astype(self.dtype)


MelInput = LogMelInput | KaldiInput | FilterBankInput
"""Inputs of mel bands; all others are something else."""


@dataclass(frozen=True)
class FeatureInput:
    """A feature of the catalogue, each frame described by itself, as in a window of its own."""

    name: str
    """Name of the feature, one of `features.LOCAL`."""
    frames: FrameSpec = FrameSpec()  # noqa: RUF009 (frozen, so it may be shared)
    """Length, distance and sample rate of the feature's frames."""
    level: str = "recorded"
    """One of `LEVELS`. window: a frame's level shows in the rows of `level_rows` only."""
    dtype = "<f4"
    silence = 0.0
    db_per_unit = None
    scaling = None
    mirrors = False

    def __post_init__(self) -> None:
        if self.name not in LOCAL:
            raise UsageError(f"feature {self.name!r} cannot be a model's input")
        _check_level(self.level)

    @property
    def sample_rate_hz(self) -> int:
        """Sample rate of the frames in Hz."""
        return self.frames.sample_rate_hz

    @property
    def hop(self) -> int:
        """Samples from a frame's beginning to the next one's."""
        return self.frames.hop

    @property
    def n_rows(self) -> int:
        """How many rows the feature has."""
        return len(FEATURES[self.name].rows(self.frames))

    @property
    def n_context_columns(self) -> int | None:
        """Columns that reach beyond the edges of some samples (`context_columns`)."""
        return None if self.name in _IN_ONE_PIECE else 2 + self.frames.n_fft // self.hop

    @property
    def reach_columns(self) -> int:
        """Columns that half a frame reaches beyond its middle."""
        return -(-self.frames.n_fft // (2 * self.frames.hop))

    def n_frames(self, n_samples: int) -> int:
        """Return how many frames that many samples give."""
        return self.frames.n_frames(n_samples)

    def margins(self, n_samples: int) -> tuple[int, int]:
        """Return how many samples before and behind `n_samples` their frames see: whole columns."""
        reach = self.reach_columns * self.hop
        return reach, (self.n_frames(n_samples) - 1) * self.hop + reach - n_samples

    def matrix(self, samples: Float32) -> Matrix:
        """Return the feature, `[n_rows, n_frames]`."""
        is_levelled = self.level == "window"
        feature = extract_locally(self.name, samples, self.frames, is_levelled=is_levelled)
        return feature.astype(self.dtype)

    def to_dict(self) -> dict[str, Any]:
        """Return the front end as plain values, as model.json keeps it."""
        values = {"kind": "local feature", "name": self.name, **self.frames.to_dict()}
        return values | _level_dict(self.level)


@dataclass(frozen=True)
class SamplesInput:
    """The samples themselves, one row, in the 16 bits of CLIPS."""

    sample_rate_hz: int = 44_100
    """Sample rate in Hz of what the network takes."""
    level: str = "recorded"
    """One of `LEVELS`; the matrix is as recorded, windows of it are brought to a level."""
    hop = 1
    n_rows = 1
    n_context_columns: ClassVar[int | None] = 0
    dtype = "<i2"
    silence = 0.0
    db_per_unit = None
    scaling = None

    def __post_init__(self) -> None:
        _check_level(self.level)

    def n_frames(self, n_samples: int) -> int:
        """Return how many columns that many samples give: as many."""
        return n_samples

    def matrix(self, samples: Float32) -> Matrix:
        """Return the samples, 32,768 for full scale."""
        return to_pcm16(samples)[np.newaxis].astype(self.dtype)

    def to_dict(self) -> dict[str, Any]:
        """Return the front end as plain values, as model.json keeps it."""
        return {"kind": "samples", "sample_rate_hz": self.sample_rate_hz} | _level_dict(self.level)


def level_rows(input_spec: InputSpec) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return the rows that say how loud a window is: those in dB, and those in full scale.

    A network gets them relative to the window's own level (`models.model.Preparation`); none where
    the level is as it was recorded, or is a log-mel, of which the peak is taken away.
    """
    input_spec = unprepared(input_spec)
    if isinstance(input_spec, SamplesInput) and input_spec.level == "window":
        return (), (0,)
    if isinstance(input_spec, FeatureInput) and input_spec.level == "window":
        rows = FEATURES[input_spec.name].rows(input_spec.frames)
        by_kind = [
            tuple(k for k, row in enumerate(rows) if row == name) for name in (_DB_ROW, _LINEAR_ROW)
        ]
        return by_kind[0], by_kind[1]
    return (), ()


def is_below_peak(input_spec: InputSpec) -> bool:
    """Whether a network sees each window in dB below the window's own peak, as of a log-mel.

    A front end says so as `is_below_peak`; of all others each row is scaled by itself.
    """
    return bool(getattr(input_spec, "is_below_peak", False))


def adds_up(input_spec: InputSpec) -> bool:
    """Whether windows can be mixed as sounds are: samples, and powers where values are of those."""
    return input_spec.db_per_unit is not None or isinstance(unprepared(input_spec), SamplesInput)


def _check_level(level: str) -> None:
    if level not in LEVELS:
        raise SpecMismatch(f"level {level!r}: expected one of {', '.join(LEVELS)}")


def _level_dict(level: str) -> dict[str, str]:
    """Return nothing where it is as recorded: so it stands in older models and runs."""
    return {} if level == "recorded" else {"level": level}


def _feature_input(settings: Mapping[str, Any]) -> InputSpec:
    frames = {key: value for key, value in settings.items() if key not in ("name", "level")}
    level = settings.get("level", "recorded")
    return FeatureInput(settings["name"], FrameSpec.from_dict(frames), level)


def _stacked_input(settings: Mapping[str, Any]) -> InputSpec:
    return StackedInput(tuple(map(input_from_dict, settings["parts"])))


@cache
def front_ends() -> dict[str, FrontEnd]:
    """Return the front ends by kind: those of this package, then those of `front_ends/`."""
    usual = (
        FrontEnd("logmel", lambda settings: LogMelInput(LogMelSpec.from_dict(settings))),
        FrontEnd("local feature", _feature_input),
        FrontEnd("samples", lambda settings: SamplesInput(**settings)),
        FrontEnd("kaldi", lambda settings: KaldiInput(KaldiSpec.from_dict(settings))),
        FrontEnd("filter bank", lambda values: FilterBankInput(FilterBankSpec.from_dict(values))),
        FrontEnd("stacked", _stacked_input),
    )
    more = declared("pipeline.audio.spectra.front_ends", "FRONT_END")
    return {one.kind: one for one in (*usual, *more)}


@cache
def network_inputs() -> dict[str, Callable[[LogMelSpec], InputSpec]]:
    """Return the inputs that `jobs.train --input` offers, by name: those of `front_ends/`.

    Each makes a front end in the frames of a dataset's log-mel.
    """
    package, constant = "pipeline.audio.spectra.front_ends", "NETWORK_INPUT"
    both = zip(declaring(package, constant), declared(package, constant), strict=True)
    return {name.replace("_", "-"): made for name, made in both}


def input_from_dict(values: Mapping[str, Any]) -> InputSpec:
    """Return the input that `to_dict` gave; SpecMismatch where it is of another version."""
    settings = dict(values)
    kind = settings.pop("kind", "logmel")
    known = front_ends()
    if kind not in known:
        *names, last = known
        raise SpecMismatch(f"input of kind {kind!r}: expected {', '.join(names)} or {last}")
    try:
        return known[kind].from_dict(settings)
    except (KeyError, TypeError) as error:
        raise SpecMismatch(f"input of another version: {error}") from error
