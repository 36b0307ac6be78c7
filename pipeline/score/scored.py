"""Items with their truth and scores in, SCORES out, and back. PURE."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from schemas.scores import scores_schema

Truth = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.floating[Any]]


@dataclass(frozen=True)
class Scored:
    """Items, what they have, and what a model says of them."""

    uris: list[str]
    codes: list[str]
    truth: Truth
    """Shape [n_items, n_classes], as `scores`."""
    scores: Scores
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
    """Return SCORES, a row an item, in their order."""
    rows = [
        {
            "uri": uri,
            "group": group,
            "truth": [code for code, there in zip(scored.codes, has, strict=True) if there],
            "scores": dict(zip(scored.codes, row, strict=True)),
        }
        for uri, group, has, row in zip(
            scored.uris, scored.groups, scored.truth.tolist(), scored.scores.tolist(), strict=True
        )
    ]
    return pa.Table.from_pylist(rows, scores_schema(scored.codes))


def from_table(table: pa.Table) -> Scored:
    """Return the items of SCORES; the classes are the fields of its scores.

    Tables of older versions have no groups: each item is one.
    """
    codes = [field.name for field in table.schema.field("scores").type]
    rows = table.to_pylist()
    shape = (len(rows), len(codes))
    truth = np.array([[c in row["truth"] for c in codes] for row in rows], bool)
    scores = np.array([[row["scores"][c] for c in codes] for row in rows], np.float64)
    uris = table["uri"].to_pylist()
    groups = table["group"].to_pylist() if "group" in table.column_names else uris
    return Scored(uris, codes, truth.reshape(shape), scores.reshape(shape), groups)
