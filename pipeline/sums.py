"""Counts that add up: over batches, clips, shards, parts and machines."""

from __future__ import annotations

from typing import Self


class Sums:
    """Base of dataclasses whose sum has, in each field, the sum of both. PURE."""

    def __add__(self, other: Self) -> Self:
        """Return the sum of both, field by field."""
        pairs = zip(vars(self).values(), vars(other).values(), strict=True)
        return type(self)(*(one + two for one, two in pairs))
