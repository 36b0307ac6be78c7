"""What a model hears: samples in, a matrix `[n_rows, n_columns]` out, at training and at serving.

Whatever the kind, windows are cut from a matrix of the whole clip or track, along its columns; the
type that it is stored in is part of the input, so that both hear the same to the bit. PURE.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from pipeline.audio.clip import to_pcm16
from pipeline.audio.features import FEATURES, LOCAL, FrameSpec, extract_locally
from pipeline.audio.kaldi import KaldiInput, KaldiSpec
from pipeline.audio.logmel import LogMelSpec, log_mel
from pipeline.errors import SpecMismatch, UsageError

Matrix = npt.NDArray[Any]


class Input(Protocol):
    """How samples become what a model hears."""

    @property
    def sample_rate_hz(self) -> int:
        """Rate that the samples must have."""

    @property
    def hop(self) -> int:
        """Samples from one column to the next."""

    @property
    def n_rows(self) -> int:
        """Rows of the matrix."""

    @property
    def dtype(self) -> str:
        """Type that the matrix is stored in, as numpy writes it."""

    @property
    def silence(self) -> float:
        """What stands beyond the end of a clip that is shorter than a window."""

    @property
    def db_per_unit(self) -> float | None:
        """Decibels in one unit of the values; None where these are not logarithms of power."""

    @property
    def scaling(self) -> tuple[float, float] | None:
        """Mean and deviation that the network's input is scaled by; None: the data says them."""

    def n_frames(self, n_samples: int) -> int:
        """Return how many columns `n_samples` samples give."""

    def matrix(self, samples: npt.NDArray[np.float32]) -> Matrix:
        """Return the matrix of mono samples, `[n_rows, n_columns]`, in the stored type."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for model.json: `kind` and the settings."""


@dataclass(frozen=True)
class LogMelInput:
    """The log-mel in dB, as in FEATURES."""

    spec: LogMelSpec = LogMelSpec()  # noqa: RUF009 (frozen, so it may be shared)
    """Of the log-mel."""
    dtype = "<f2"
    db_per_unit = 1.0
    scaling = None

    @property
    def sample_rate_hz(self) -> int:
        """Of the log-mel."""
        return self.spec.sample_rate_hz

    @property
    def hop(self) -> int:
        """Of the log-mel."""
        return self.spec.hop

    @property
    def n_rows(self) -> int:
        """Mel bands."""
        return self.spec.n_mels

    @property
    def silence(self) -> float:
        """The power floor."""
        return self.spec.floor_db

    def n_frames(self, n_samples: int) -> int:
        """Return the frames of the log-mel."""
        return self.spec.n_frames(n_samples)

    def matrix(self, samples: npt.NDArray[np.float32]) -> Matrix:
        """Return the log-mel."""
        return log_mel(samples, self.spec).astype(self.dtype)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {"kind": "logmel", **self.spec.to_dict()}


@dataclass(frozen=True)
class FeatureInput:
    """MFCC or descriptors, each frame described by itself, as in a window of its own."""

    name: str
    """In `features.LOCAL`."""
    frames: FrameSpec = FrameSpec()  # noqa: RUF009 (frozen, so it may be shared)
    """Of the feature."""
    dtype = "<f4"
    silence = 0.0
    db_per_unit = None
    scaling = None

    def __post_init__(self) -> None:
        if self.name not in LOCAL:
            raise UsageError(f"feature {self.name!r} cannot be a model's input")

    @property
    def sample_rate_hz(self) -> int:
        """Of the frames."""
        return self.frames.sample_rate_hz

    @property
    def hop(self) -> int:
        """Of the frames."""
        return self.frames.hop

    @property
    def n_rows(self) -> int:
        """Rows of the feature."""
        return len(FEATURES[self.name].rows(self.frames))

    def n_frames(self, n_samples: int) -> int:
        """Return the frames."""
        return self.frames.n_frames(n_samples)

    def matrix(self, samples: npt.NDArray[np.float32]) -> Matrix:
        """Return the feature."""
        return extract_locally(self.name, samples, self.frames).astype(self.dtype)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {"kind": "local feature", "name": self.name, **self.frames.to_dict()}


@dataclass(frozen=True)
class SamplesInput:
    """The samples themselves, one row, in the 16 bits of CLIPS."""

    sample_rate_hz: int = 44_100
    """Rate."""
    hop = 1
    n_rows = 1
    dtype = "<i2"
    silence = 0.0
    db_per_unit = None
    scaling = None

    def n_frames(self, n_samples: int) -> int:
        """Return the samples."""
        return n_samples

    def matrix(self, samples: npt.NDArray[np.float32]) -> Matrix:
        """Return the samples, 32,768 for full scale."""
        return to_pcm16(samples)[np.newaxis].astype(self.dtype)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values."""
        return {"kind": "samples", **asdict(self)}


def input_from_dict(values: Mapping[str, Any]) -> Input:
    """Return the input that `to_dict` gave; SpecMismatch where it is of another version."""
    settings = dict(values)
    kind = settings.pop("kind", "logmel")
    try:
        if kind == "logmel":
            return LogMelInput(LogMelSpec.from_dict(settings))
        if kind == "local feature":
            return FeatureInput(settings.pop("name"), FrameSpec.from_dict(settings))
        if kind == "samples":
            return SamplesInput(**settings)
        if kind == "kaldi":
            return KaldiInput(KaldiSpec.from_dict(settings))
    except (KeyError, TypeError) as error:
        raise SpecMismatch(f"input of another version: {error}") from error
    raise SpecMismatch(f"input of kind {kind!r}: expected logmel, local feature, samples or kaldi")
