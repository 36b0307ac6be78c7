"""`InputSpec`: what every front end has, from samples to a matrix `[n_rows, n_columns]`. PURE."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy.typing as npt

from pipeline.arrays import Float32
from pipeline.errors import SpecMismatch

Matrix = npt.NDArray[Any]


class InputSpec(Protocol):
    """A front end: how samples become the matrix that a network sees."""

    @property
    def sample_rate_hz(self) -> int:
        """Rate that the samples must have."""

    @property
    def hop(self) -> int:
        """Samples from one column to the next."""

    @property
    def n_rows(self) -> int:
        """How many rows the matrix has."""

    @property
    def dtype(self) -> str:
        """Type that the matrix is stored in, as numpy writes it."""

    @property
    def silence(self) -> float | Float32:
        """What stands beyond the end of a clip that is shorter than a window.

        One value, or one per row, `[n_rows, 1]`.
        """

    @property
    def db_per_unit(self) -> float | None:
        """Decibels in one unit of the values; None where these are not logarithms of power."""

    @property
    def scaling(self) -> tuple[float, float] | None:
        """Mean and deviation that the network's input is scaled by; None: the data says them."""

    def n_frames(self, n_samples: int) -> int:
        """Return how many columns `n_samples` samples give."""

    def matrix(self, samples: Float32) -> Matrix:
        """Return the matrix of mono samples, `[n_rows, n_columns]`, in the stored type."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for model.json: `kind` and the settings."""


def context_columns(input_spec: InputSpec) -> int | None:
    """Return how many columns at the edges of some samples may see beyond them.

    A front end says it as `n_context_columns`. None, where it says nothing: a column may depend on
    all samples, so that a track is described as a whole, however long it is.
    """
    n_columns: int | None = getattr(input_spec, "n_context_columns", None)
    return n_columns


def stretch_columns(input_spec: InputSpec) -> int:
    """Return at a multiple of how many columns a track may be cut in stretches, a power of 2.

    64 where a front end does not say it as `stretch_columns`: what the kernels take at a time.
    """
    return int(getattr(input_spec, "stretch_columns", 64))


def unprepared(input_spec: InputSpec) -> InputSpec:
    """Return the front end itself of one that stands behind steps (`front_ends.prepared`)."""
    own: InputSpec = getattr(input_spec, "front_end", input_spec)
    return own


@dataclass(frozen=True)
class FrontEnd:
    """How model.json's values become a front end again."""

    kind: str
    """What `to_dict` says under `kind`."""
    from_dict: Callable[[Mapping[str, Any]], InputSpec]
    """From what `to_dict` gave, without `kind`. It may raise KeyError or TypeError where the
    settings are of another version."""


class Spec:
    """Base of the dataclasses that decide a matrix and are kept as json: plain values only."""

    called: ClassVar[str]
    """What messages call the spec, before the word itself: "Kaldi"."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for metadata and json."""
        return asdict(self)  # type: ignore[call-overload, no-any-return]

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Self:
        """Return the spec that `to_dict` gave; SpecMismatch when it holds unknown settings."""
        try:
            return cls(**values)
        except (TypeError, ValueError) as error:
            raise SpecMismatch(f"{cls.called} spec of another version: {error}") from error


class BandSpec(Protocol):
    """What the spec of a mel filter bank says, whatever else."""

    @property
    def sample_rate_hz(self) -> int:
        """Sample rate of the audio."""

    @property
    def n_fft(self) -> int:
        """Length of the FFT, in samples."""

    @property
    def hop(self) -> int:
        """Distance of frames, in samples."""

    @property
    def n_mels(self) -> int:
        """How many mel bands there are."""

    @property
    def f_min_hz(self) -> float:
        """Lower edge of the lowest band."""

    @property
    def f_max_hz(self) -> float | None:
        """Upper edge of the highest band; half the sample rate when None."""

    def n_frames(self, n_samples: int) -> int:
        """Return how many frames `n_samples` samples give."""

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for json."""


class BandInput:
    """What all inputs of mel bands have in common: a spec says their size."""

    kind: ClassVar[str]
    """What model.json calls the front end."""
    spec: BandSpec

    @property
    def sample_rate_hz(self) -> int:
        """Rate that the samples must have."""
        return self.spec.sample_rate_hz

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        return self.spec.hop

    @property
    def n_rows(self) -> int:
        """How many rows the matrix has: its mel bands."""
        return self.spec.n_mels

    @property
    def n_context_columns(self) -> int:
        """Columns that reach beyond the edges of some samples (`context_columns`)."""
        return 2 + self.spec.n_fft // self.hop

    def n_frames(self, n_samples: int) -> int:
        """Return how many frames `n_samples` samples give."""
        return self.spec.n_frames(n_samples)

    def to_dict(self) -> dict[str, Any]:
        """Return the front end as plain values, as model.json keeps it."""
        return {"kind": self.kind, **self.spec.to_dict()}
