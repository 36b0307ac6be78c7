"""The few tracks that are worth a listen, from rows of TAGS, however many there are. PURE.

The surest of each frequent class, one at a threshold, and one without a label. Some are kept for
every reason, as a file may be gone by the time that it is opened again.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.arrays import Bools, Float64
from pipeline.store.matrices import label_matrix, score_matrix

MAX_BYTES = 256 << 20
"""Larger files are not read again for the sake of a page."""

_KEPT = 3
AT_THRESHOLD, UNLABELLED = "at the threshold", "unlabelled"


@dataclass(frozen=True)
class Candidate:
    """A track that may be shown, and what for."""

    rank: float
    """The larger the better, among those shown for the same reason."""
    code: str
    """The class that it is shown for."""
    reason: str
    """A class's code, or that it lies at a threshold, or has no label."""
    row: Mapping[str, Any]
    """The track's row of TAGS."""


class ExamplePicker:
    """The best candidates among the rows that have been added."""

    def __init__(self, thresholds: Mapping[str, float]) -> None:
        self._codes = list(thresholds)
        self._thresholds = np.array(list(thresholds.values()), np.float64)
        self._kept: dict[str, list[Candidate]] = {}

    def add(self, tags: pa.Table) -> None:
        """Look at rows of TAGS; only those that are ok and not too large count."""
        small = pc.fill_null(pc.less_equal(tags["size_bytes"], MAX_BYTES), True)
        is_ok = pc.and_(pc.equal(tags["status"], "ok"), pc.is_valid(tags["scores"]))
        tags = tags.filter(pc.and_(is_ok, small)).combine_chunks()
        if not tags.num_rows:
            return
        scores, peaks = (
            np.nan_to_num(score_matrix(tags[key], self._codes)).astype(np.float64)
            for key in ("scores", "peaks")
        )
        named = label_matrix(tags["labels"], self._codes, ignore_others=True)
        for k, code in enumerate(self._codes):
            # Where scores are shares of the loudest class, many are 1: then the confidence decides.
            self._offer(code, tags, scores[:, k] + 1e-3 * peaks[:, k], k, among=named[:, k])
        has_sound = np.asarray(pc.fill_null(tags["n_active"], 1)) > 0
        distance = np.abs(scores - self._thresholds)
        self._offer(
            AT_THRESHOLD, tags, -distance.min(axis=1), distance.argmin(axis=1), among=has_sound
        )
        bare = has_sound & ~named.any(axis=1)
        self._offer(UNLABELLED, tags, peaks.max(axis=1), peaks.argmax(axis=1), among=bare)

    def slots(self, n: int, frequent: Sequence[str]) -> list[list[Candidate]]:
        """Return up to `n` lists of candidates, the best one first; one of each list is shown.

        `frequent` are the classes, the commonest first.
        """
        classes = [self._kept[code] for code in frequent if code in self._kept]
        others = [self._kept[key] for key in (AT_THRESHOLD, UNLABELLED) if key in self._kept]
        n_first = max(1, n - len(others))
        return (classes[:n_first] + others + classes[n_first:])[:n]

    def _offer(
        self, reason: str, tags: pa.Table, ranks: Float64, classes: Any, *, among: Bools
    ) -> None:
        chosen = np.flatnonzero(among)
        best = chosen[np.argsort(-ranks[chosen], kind="stable")[:_KEPT]]
        codes = np.broadcast_to(classes, len(ranks))
        offered = [
            Candidate(
                float(ranks[i]), self._codes[codes[i]], reason, tags.slice(i, 1).to_pylist()[0]
            )
            for i in best.tolist()
        ]
        if offered:
            together = self._kept.get(reason, []) + offered
            self._kept[reason] = sorted(together, key=lambda one: -one.rank)[:_KEPT]
