"""The targets of a regressor: values in their own units in, 0..1 out, and back. PURE.

Each target is scaled by the least and the largest value that the training clips have. What other
clips have may lie outside 0..1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from pipeline.arrays import Float64, Floats
from schemas.regression import TargetRange

RATING = "rating"
"""Unit of the timbral descriptors: listeners' ratings of 0 to 100, and a little beyond."""


@dataclass(frozen=True)
class Regression:
    """What the outputs of a regressor are, in their order."""

    targets: tuple[TargetRange, ...]

    @classmethod
    def of(cls, names: Sequence[str], values: Floats) -> Regression:
        """Return the targets of training clips: `values` are `[n_clips, n_targets]`, NaN unknown.

        Each target has a value in one clip at least.
        """
        return cls(
            tuple(
                TargetRange(
                    name,
                    RATING,
                    float(np.nanmin(column)),
                    float(np.nanmax(column)),
                    float(np.nanmedian(column)),
                )
                for name, column in zip(names, values.T, strict=True)
            )
        )

    @property
    def names(self) -> list[str]:
        """The targets, in the order of the outputs."""
        return [one.name for one in self.targets]

    def scaled(self, values: Floats) -> Float64:
        """Return values in their own units, `[n, n_targets]`, as shares of the training range.

        A target that had one value only in training is 0 there.
        """
        least, span = self._least_and_span()
        return np.asarray((values - least) / np.where(span > 0, span, 1.0), np.float64)

    def unscaled(self, shares: Floats) -> Float64:
        """Return shares of the training range, `[n, n_targets]`, in the targets' own units."""
        least, span = self._least_and_span()
        return np.asarray(least + shares * np.where(span > 0, span, 1.0), np.float64)

    def _least_and_span(self) -> tuple[Float64, Float64]:
        least = np.array([one.minimum for one in self.targets], np.float64)
        return least, np.array([one.maximum for one in self.targets], np.float64) - least

    def to_dict(self) -> dict[str, Any]:
        """Return plain values, for model.json."""
        return {"targets": [one.to_dict() for one in self.targets]}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Regression:
        """Return the regression that `to_dict` gave."""
        return cls(tuple(TargetRange(**one) for one in values["targets"]))
