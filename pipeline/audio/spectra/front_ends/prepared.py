"""A front end behind steps that prepare the samples: low-pass, and noise taken away."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from math import ceil
from typing import Any

from pipeline.arrays import Float32
from pipeline.audio.description.noise_gate import HOP
from pipeline.audio.description.prepare import Step, apply_steps
from pipeline.audio.spectra.input_kinds import input_from_dict, is_below_peak
from pipeline.audio.spectra.input_spec import FrontEnd, InputSpec, Matrix, context_columns
from pipeline.errors import UsageError

_LOW_PASS_PERIODS = 20  # of the cutoff: by then the filter's answer has died away to 1e-10


@dataclass(frozen=True)
class PreparedInput:
    """A front end, and the steps that come before it, in training and tagging alike.

    Only steps by which a sample depends on its surroundings, and not on the whole recording: so a
    track gives what a clip of it gives. UsageError for others, and for steps of another rate.
    """

    front_end: InputSpec
    """What the prepared samples go into."""
    steps: tuple[Step, ...]
    """What is done to the samples, in this order."""
    stretch_columns = HOP
    """Whoever cuts a track in stretches cuts at a multiple of so many columns: the frames in which
    noise is taken away then begin where they begin in the whole track."""

    def __post_init__(self) -> None:
        for step in self.steps:
            _check(step, self.sample_rate_hz)

    @property
    def sample_rate_hz(self) -> int:
        """Rate that the samples must have."""
        return self.front_end.sample_rate_hz

    @property
    def hop(self) -> int:
        """Samples from one column to the next."""
        return self.front_end.hop

    @property
    def n_rows(self) -> int:
        """How many rows the matrix has."""
        return self.front_end.n_rows

    @property
    def dtype(self) -> str:
        """Type that the matrix is stored in."""
        return self.front_end.dtype

    @property
    def silence(self) -> float | Float32:
        """What stands beyond the end of a clip that is shorter than a window."""
        return self.front_end.silence

    @property
    def db_per_unit(self) -> float | None:
        """Decibels in one unit of the values; None where these are not logarithms of power."""
        return self.front_end.db_per_unit

    @property
    def scaling(self) -> tuple[float, float] | None:
        """Mean and deviation that the network's input is scaled by; None: the data says them."""
        return self.front_end.scaling

    @property
    def is_below_peak(self) -> bool:
        """Whether a network sees each window in dB below the window's own peak."""
        return is_below_peak(self.front_end)

    @property
    def level(self) -> str:
        """The level of what a model sees, as the front end has it (`input_kinds.LEVELS`)."""
        return getattr(self.front_end, "level", "recorded")

    @property
    def n_context_columns(self) -> int | None:
        """Columns that reach beyond the edges of some samples, the steps included."""
        own = context_columns(self.front_end)
        if own is None:
            return None
        n_samples = sum(_context(step, self.sample_rate_hz) for step in self.steps)
        n_columns = own + ceil(n_samples / self.hop)
        return ceil(n_columns / self.stretch_columns) * self.stretch_columns

    def n_frames(self, n_samples: int) -> int:
        """Return how many columns `n_samples` samples give."""
        return self.front_end.n_frames(n_samples)

    def matrix(self, samples: Float32) -> Matrix:
        """Return the front end's matrix of the prepared samples, `[n_rows, n_columns]`."""
        return self.front_end.matrix(self.prepared(samples))

    def prepared(self, samples: Float32) -> Float32:
        """Return samples, `[n_samples]`, after the steps."""
        return apply_steps(samples, self.steps, sample_rate_hz=self.sample_rate_hz)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for model.json: the steps, the noise's profile among them."""
        steps = [step.to_dict() for step in self.steps]
        return {"kind": "prepared", "steps": steps, "front_end": self.front_end.to_dict()}


def _check(step: Step, sample_rate_hz: int) -> None:
    """Raise UsageError for a step that a model cannot have."""
    if step.name == "lowpass":
        if step.values[0] >= sample_rate_hz / 2:
            raise UsageError(
                f"--prepare {step}: the model takes audio of {sample_rate_hz:,} Hz; give a cutoff "
                f"below {sample_rate_hz // 2:,} Hz"
            )
    elif step.noise is None:
        cure = (
            "give a clip of the noise, denoise:FILE" if step.name == "denoise" else "leave it out"
        )
        raise UsageError(
            f"--prepare {step}: before a model come only steps that need nothing of the rest of a "
            f"recording, and its rows are scaled anyway: {cure}"
        )
    elif step.noise.sample_rate_hz != sample_rate_hz:
        raise UsageError(
            f"--prepare {step}: the noise is of {step.noise.sample_rate_hz:,} Hz and the model's "
            f"audio of {sample_rate_hz:,} Hz: give the clip of noise again"
        )


def _context(step: Step, sample_rate_hz: int) -> int:
    """Return the samples on either side of a moment on which it depends."""
    if step.noise is not None:
        return step.noise.context
    return ceil(_LOW_PASS_PERIODS / step.values[0] * sample_rate_hz)


def _from_dict(settings: Mapping[str, Any]) -> InputSpec:
    steps = tuple(map(Step.from_dict, settings["steps"]))
    return PreparedInput(input_from_dict(settings["front_end"]), steps)


FRONT_END = FrontEnd("prepared", _from_dict)
