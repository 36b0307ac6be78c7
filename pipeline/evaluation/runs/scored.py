"""Items with their truth and scores in, SCORES out, and back. PURE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from pipeline.arrays import Floats
from pipeline.evaluation.labels.targets import Targets, is_known, is_there, target_matrix
from pipeline.store.matrices import codes_of, label_lists, score_matrix, score_structs
from schemas.scores import scores_schema


@dataclass(frozen=True)
class Scored:
    """Items, what they have, and what a model says of them."""

    uris: list[str]
    codes: list[str]
    truth: Targets
    """Shape [n_items, n_classes], as `scores`; NaN where it is unknown."""
    scores: Floats
    groups: list[str]
    """What each item was cut from: a video, a song; the item itself where nothing is known."""

    def ordered(self, uris: Sequence[str], codes: Sequence[str]) -> Scored:
        """Return the same with its items and classes in another order."""
        item_at = {uri: i for i, uri in enumerate(self.uris)}
        rows = np.array([item_at[uri] for uri in uris], np.intp)[:, None]
        columns = np.array([self.codes.index(code) for code in codes], np.intp)
        return Scored(
            list(uris),
            list(codes),
            self.truth[rows, columns],
            self.scores[rows, columns],
            [self.groups[item_at[uri]] for uri in uris],
        )


def to_table(scored: Scored) -> pa.Table:
    """Return SCORES, one row per item, in their order."""
    codes = scored.codes
    columns = {
        "uri": scored.uris,
        "group": scored.groups,
        "truth": label_lists(is_there(scored.truth), codes),
        "unknown": label_lists(~is_known(scored.truth), codes),
        "scores": score_structs(scored.scores, codes),
    }
    return pa.table(columns, schema=scores_schema(codes))


def from_table(table: pa.Table) -> Scored:
    """Return the items of SCORES; the classes are the fields of its scores.

    Tables of older versions have no groups, each item is one, and nothing that is unknown.
    """
    codes = codes_of(table.schema)
    uris = table["uri"].to_pylist()
    unknown = _column(table, "unknown") or [None] * len(uris)
    truth = target_matrix(table["truth"].to_pylist(), unknown, codes)
    scores = score_matrix(table["scores"], codes).astype(np.float64)
    return Scored(uris, codes, truth, scores, _column(table, "group") or uris)


def _column(table: pa.Table, name: str) -> list[Any]:
    """Return the values of a column; none where an older table does not have it."""
    return list(table[name].to_pylist()) if name in table.column_names else []
