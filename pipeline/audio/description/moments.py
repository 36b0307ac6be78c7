"""Values in, their count, mean and deviation out, in one pass that can be cut into pieces. PURE."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.sums import Sums


@dataclass(frozen=True)
class Moments(Sums):
    """Sums of values, which add up over clips, shards and machines."""

    n: int = 0
    """How many values have been added."""
    total: float = 0.0
    """Sum of the values, in float64."""
    total_of_squares: float = 0.0
    """The sum of their squares."""

    @classmethod
    def of(cls, values: npt.NDArray[Any]) -> Moments:
        """Return the moments of an array of any shape, summed in float64."""
        flat = values.reshape(-1).astype(np.float64)
        return cls(flat.size, float(flat.sum()), float(flat @ flat))

    @property
    def mean(self) -> float:
        """Their mean; 0 of none."""
        return self.total / self.n if self.n else 0.0

    @property
    def deviation(self) -> float:
        """Their standard deviation (of the whole, not of a sample)."""
        return math.sqrt(max(0.0, self.total_of_squares / self.n - self.mean**2)) if self.n else 0.0

    def to_dict(self) -> dict[str, float]:
        """Return plain values, for metadata and json."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Moments:
        """Return the moments that `to_dict` made plain values of."""
        return cls(**values)
