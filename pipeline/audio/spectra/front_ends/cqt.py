"""The constant-Q transform in dB: a row a semitone, so that an interval is a distance in rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from math import ceil
from typing import Any

import numpy as np

from pipeline.arrays import Float32
from pipeline.audio.description.analysis import N_OCTAVES, Analysis, FrameSpec, constant_q
from pipeline.audio.spectra.compiled import import_alone
from pipeline.audio.spectra.input_spec import FrontEnd, InputSpec, Matrix
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.errors import UsageError

_LEAST = 1e-5  # -100 dB, as the log-mel has it
_LEAST_RATE_HZ = 9_000  # the highest bin, B7, is at 3,951 Hz, and its band reaches above it
_CONTEXT_S = 1.0  # a filter at C1 is 0.5 s long; then what librosa's resampling reaches


@dataclass(frozen=True)
class CqtInput:
    """The magnitude of the constant-Q transform, C1 (32.7 Hz) to B7, in dB.

    Frame `t` is centred at sample `t * hop`. The tuning is fixed (A = 440 Hz), so nothing depends
    on the rest of the recording. A network sees each window below its own peak, as of a log-mel.

    References
    ----------
    Schörkhuber and Klapuri, "Constant-Q transform toolbox for music processing", SMC 2010; librosa
    0.11, `cqt`.
    """

    sample_rate_hz: int = 44_100
    """Sample rate of the audio in Hz; at least 9,000."""
    hop: int = 512
    """Distance of frames, in samples. The more often it can be halved, the faster librosa is."""
    bins_per_octave: int = 12
    """Rows an octave; there are seven octaves."""
    dtype = "<f2"
    silence = -100.0
    db_per_unit = 1.0
    scaling = None
    is_below_peak = True

    def __post_init__(self) -> None:
        if self.sample_rate_hz < _LEAST_RATE_HZ:
            raise UsageError(
                f"--input cqt: it reaches up to 4 kHz, so audio needs {_LEAST_RATE_HZ:,} Hz at "
                f"least; this is of {self.sample_rate_hz:,} Hz: take another input"
            )

    @property
    def n_rows(self) -> int:
        """How many bins there are, the lowest first."""
        return N_OCTAVES * self.bins_per_octave

    @property
    def n_context_columns(self) -> int:
        """Columns that reach beyond the edges of some samples: 1 s of them."""
        return ceil(_CONTEXT_S * self.sample_rate_hz / self.hop)

    def n_frames(self, n_samples: int) -> int:
        """Return how many frames `n_samples` samples give."""
        return 1 + n_samples // self.hop

    def matrix(self, samples: Float32) -> Matrix:
        """Return the transform, `[n_rows, n_frames]` in dB, at least -100."""
        import_alone()
        frames = FrameSpec(self.sample_rate_hz, hop=self.hop, n_fft=2 * self.hop)
        magnitude = constant_q(Analysis(samples, frames), bins_per_octave=self.bins_per_octave)
        return np.asarray(20 * np.log10(np.maximum(magnitude, _LEAST)), self.dtype)

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for model.json."""
        return {"kind": "cqt", **asdict(self)}


def _from_dict(settings: Mapping[str, Any]) -> InputSpec:
    return CqtInput(**settings)


def _of_log_mel(spec: LogMelSpec) -> InputSpec:
    return CqtInput(spec.sample_rate_hz, spec.hop)


FRONT_END = FrontEnd("cqt", _from_dict)
NETWORK_INPUT = _of_log_mel
