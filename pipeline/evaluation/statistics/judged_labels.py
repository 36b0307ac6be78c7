"""Corrections in; how right a model's labels have been, by class, out. PURE."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scipy.stats import binomtest

from schemas.corrections import PRESENT

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Judged:
    """What people said of the labels that a model gave one class."""

    code: str
    n_judged: int
    """Tracks that had the label by the model, and of which a person said whether it is right."""
    n_right: int
    """Of those, how many have it."""
    precision: float | None
    """Their share; None where none was judged."""
    low: float | None
    """The interval's lower end, by Wilson (1927), at 95 %."""
    high: float | None
    """The interval's upper end, by Wilson (1927), at 95 %."""


def judged_labels(
    corrections: Iterable[Mapping[str, Any]], codes: Sequence[str], model_id: str
) -> list[Judged]:
    """Return how right a model's labels of whole tracks have been, a row a class.

    A correction counts where the person saw that model's label (`was_labelled`); of a content that
    was judged under several names, each name counts.
    """
    seen: dict[str, list[bool]] = {code: [] for code in codes}
    for row in corrections:
        is_of_model = row["was_labelled"] and row["model_id"] == model_id
        if is_of_model and row["start_s"] is None and row["code"] in seen:
            seen[row["code"]].append(row["verdict"] == PRESENT)
    return [_judged(code, right) for code, right in seen.items()]


def _judged(code: str, right: Sequence[bool]) -> Judged:
    n, k = len(right), sum(right)
    if not n:
        return Judged(code, 0, 0, None, None, None)
    interval = binomtest(k, n).proportion_ci(CONFIDENCE, method="wilson")
    return Judged(code, n, k, k / n, float(interval.low), float(interval.high))
