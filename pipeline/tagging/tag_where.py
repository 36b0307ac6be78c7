"""Where the tracks that are left are tagged: in this process, or by Ray."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterable

import pyarrow as pa
import pyarrow.compute as pc

SMALL_BYTES = 128 << 20
"""Audio that the job's own process tags, at most: about 90 minutes of mp3s of 192 kbit/s. To start
Ray takes about as long as to tag that much (docs/design.md); above it Ray's processes, one for each
core, are faster."""
_USUAL_BYTES = 8 << 20
"""Taken for the size of a track of which the catalogue does not say it, as of most web servers."""


def is_small(left: Iterable[pa.Table], *, gpu: bool, workers: int | None) -> bool:
    """Say whether tracks are tagged in this process, without Ray.

    Ray has them where there is more than `SMALL_BYTES` of audio, and wherever it is asked for: by
    RAY_ADDRESS, by `gpu` or `workers`, or because this process has a Ray already.

    >>> is_small([pa.table({"size_bytes": [1000, None]})], gpu=False, workers=2)
    False
    """
    asks_for_ray = gpu or workers is not None or "RAY_ADDRESS" in os.environ or _has_ray()
    return not asks_for_ray and sum(map(n_bytes, left)) <= SMALL_BYTES


def n_bytes(left: pa.Table) -> int:
    """Return how much audio some tracks have; an unknown size counts as a usual track.

    >>> n_bytes(pa.table({"size_bytes": [1000, None]})) == 1000 + (8 << 20)
    True
    """
    return int(pc.sum(pc.fill_null(left["size_bytes"], _USUAL_BYTES)).as_py() or 0)


def _has_ray() -> bool:
    """Say whether this process has started or joined a Ray; that must not import it."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())
