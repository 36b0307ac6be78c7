"""Where the tracks that are left are tagged: in this process, or by Ray."""

from __future__ import annotations

import os
import sys

from pipeline.store.tags.work.worklist import Sizes

SMALL_BYTES = 128 << 20
"""Audio that the job's own process tags, at most: about 90 minutes of mp3s of 192 kbit/s. To start
Ray takes about as long as to tag that much (docs/design.md); above it Ray's processes, one for each
core, are faster."""
_USUAL_BYTES = 8 << 20
"""Taken for the size of a track of which the catalogue does not say it, as of most web servers."""


def is_small(left: Sizes, *, gpu: bool, workers: int | None) -> bool:
    """Say whether tracks are tagged in this process, without Ray.

    Ray has them where there is more than `SMALL_BYTES` of audio, and wherever it is asked for: by
    RAY_ADDRESS, by `gpu` or `workers`, or because this process has a Ray already.

    >>> is_small(Sizes(n_bytes=1000, n_unsized=1), gpu=False, workers=2)
    False
    """
    on_ray = asks_for_ray(gpu=gpu) or workers is not None or _has_ray()
    return not on_ray and n_bytes(left) <= SMALL_BYTES


def asks_for_ray(*, gpu: bool) -> bool:
    """Say whether a user asks for Ray's processes: by a cluster's address or for a GPU."""
    return gpu or "RAY_ADDRESS" in os.environ


def n_bytes(left: Sizes) -> int:
    """Return how much audio some tracks have; an unknown size counts as a usual track.

    >>> n_bytes(Sizes(n_bytes=1000, n_unsized=1)) == 1000 + (8 << 20)
    True
    """
    return left.n_bytes + left.n_unsized * _USUAL_BYTES


def _has_ray() -> bool:
    """Say whether this process has started or joined a Ray; that must not import it."""
    ray = sys.modules.get("ray")
    return ray is not None and bool(ray.is_initialized())
