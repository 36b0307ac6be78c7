"""One threshold per class, from truth and scores of validation items. PURE.

A class is named where its score reaches its threshold. Thresholds are chosen on validation items
and then kept: chosen on the items that are scored, they would flatter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, get_args

import numpy as np

from pipeline.arrays import Bools, Float64, Floats
from pipeline.errors import UsageError
from pipeline.evaluation.labels.aggregate import equal_on_clips
from pipeline.evaluation.labels.targets import Targets, is_known, is_there

DEFAULT = 0.5
TARGET_PRECISION = 0.9
Rule = Literal["own", "fixed", "tuned", "precision"]
RULES: tuple[Rule, ...] = get_args(Rule)
"""How a job's flag names them: the model's own, and what the three functions below return."""

ENOUGH_ITEMS = 25
"""Validation items with a class from which a threshold of it may be trusted."""

FROM_VALIDATION = ("tuned", "precision")
"""Those that are found on validation."""


@dataclass(frozen=True)
class Thresholds:
    """One threshold per class, and what could not be done."""

    values: dict[str, float]
    """By code, in the classes' order."""
    notes: tuple[str, ...] = ()
    few: Mapping[str, int] = field(default_factory=dict)
    """Items with the class, of classes whose threshold was found on fewer than `ENOUGH_ITEMS`."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """The notes, and a line that names the classes with few items."""
        if not self.few:
            return self.notes
        named = ", ".join(f"{code} {n}" for code, n in self.few.items())
        line = (
            f"fewer than {ENOUGH_ITEMS} validation clips have these classes ({named}): their "
            "thresholds may be far from those of other clips"
        )
        return (*self.notes, line)

    def array(self) -> Float64:
        """Return the thresholds in the classes' order, `[n_classes]`."""
        return np.array(list(self.values.values()), np.float64)


def check_share(what: str, value: Any) -> None:
    """Raise UsageError unless a threshold is a number from 0 to 1."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if not (is_number and 0 <= value <= 1):
        raise UsageError(f"{what} {value!r}: expected 0 to 1")


def fixed(class_codes: Sequence[str], *, value: float = DEFAULT) -> Thresholds:
    """Return the same threshold for every class."""
    return Thresholds(dict.fromkeys(class_codes, value))


def thresholds_for(
    by_method: Mapping[str, Mapping[str, float]], method: str, codes: Sequence[str]
) -> Float64:
    """Return a model's thresholds for an aggregation, `[n_classes]`.

    A model.json that is older than the aggregation does not name it. Of S2 over segments the
    thresholds are then those of S2, which were found on clips that both give the same scores; of
    another one the default stands in.

    >>> by_method = {"s2": {"cel": 0.4}}
    >>> thresholds_for(by_method, "s2", ["cel"]), thresholds_for(by_method, "max", ["cel"])
    (array([0.4]), array([0.5]))
    >>> thresholds_for(by_method, "s2-10s-top3", ["cel"])
    array([0.4])
    """
    known = by_method.get(method) or by_method.get(equal_on_clips(method), {})
    return np.array([known.get(code, DEFAULT) for code in codes], np.float64)


def tuned(
    truth: Targets, scores: Floats, *, class_codes: Sequence[str], default: float = DEFAULT
) -> Thresholds:
    """Return the thresholds of largest F1, class by class.

    Parameters
    ----------
    truth : bools, or floats of 0, 1 and NaN, shape [n_items, n_classes]
        NaN is unknown: such an item does not count for that class.
    scores : finite floats, shape [n_items, n_classes]
    class_codes : n_classes strings
    default : float
        For a class that no item has, and for one whose F1 there is as good as the best.

    Returns
    -------
    Thresholds
        Half-way between the lowest score that is named and the next one below, as both are as good
        on these items; of several best cuts the one next to the default.

    References
    ----------
    Lipton, Elkan and Naryanaswamy, "Optimal thresholding of classifiers to maximize F1 measure",
    ECML PKDD 2014.

    Examples
    --------
    >>> truth = np.array([[False], [True], [True]])
    >>> tuned(truth, np.array([[0.1], [0.2], [0.4]]), class_codes=["cel"]).values
    {'cel': 0.15000000000000002}
    """
    values, notes = {}, []
    for code, there, column in _columns(truth, scores, class_codes):
        if not there.any():
            values[code] = default
            notes.append(f"{code}: not in validation, so its threshold is {default:g}")
            continue
        cuts, hits, named = _cuts(there, column)
        f1 = 2 * hits / (there.sum() + named)
        best = cuts[f1 >= f1.max() * (1 - 1e-12)]
        at_default = _f1(there, column >= default)
        is_best = at_default >= f1.max() * (1 - 1e-12)
        values[code] = default if is_best else float(best[np.argmin(np.abs(best - default))])
    return Thresholds(values, tuple(notes), _few(truth, class_codes))


def for_precision(
    truth: Targets,
    scores: Floats,
    *,
    class_codes: Sequence[str],
    target: float = TARGET_PRECISION,
    default: float = DEFAULT,
) -> Thresholds:
    """Return the lowest thresholds at which the precision reaches a target, class by class.

    The lowest one names the most items, so it has the largest recall of all that reach the target.
    Where none does, the default stands and a note says so. The parameters are those of `tuned`.
    """
    if not 0 < target <= 1:
        raise UsageError(f"target precision {target:g}: expected more than 0 and at most 1")
    values, notes = {}, []
    for code, there, column in _columns(truth, scores, class_codes):
        cuts, hits, named = _cuts(there, column)
        reached = cuts[hits / named >= target - 1e-12]
        values[code] = float(reached.min()) if len(reached) else default
        if not len(reached):
            why = f"no threshold reaches precision {target:g} on" if there.any() else "not in"
            notes.append(f"{code}: {why} validation, so its threshold is {default:g}")
    return Thresholds(values, tuple(notes), _few(truth, class_codes))


def _few(truth: Targets, class_codes: Sequence[str]) -> dict[str, int]:
    counts = zip(class_codes, is_there(truth).sum(axis=0).tolist(), strict=True)
    return {code: n for code, n in counts if 0 < n < ENOUGH_ITEMS}


def _columns(
    truth: Targets, scores: Floats, class_codes: Sequence[str]
) -> list[tuple[str, Bools, Float64]]:
    """Return each class's code, truth and scores, of the items of which it is known."""
    wide = np.asarray(scores, np.float64)
    columns = zip(class_codes, is_there(truth).T, is_known(truth).T, wide.T, strict=True)
    return [(code, there[known], column[known]) for code, there, known, column in columns]


def _cuts(truth: Bools, scores: Float64) -> tuple[Float64, Float64, Float64]:
    """Return every cut between two scores, and how many are named rightly and named above it."""
    levels, where = np.unique(scores, return_inverse=True)
    named = np.bincount(where, minlength=len(levels))[::-1].cumsum()[::-1]
    hits = np.bincount(where, truth, len(levels))[::-1].cumsum()[::-1]
    below = np.append(levels[:1], levels[:-1])
    middle = (levels + below) / 2
    cuts = np.where(middle > below, middle, levels)  # nothing lies between neighbouring floats
    return cuts, hits, named.astype(np.float64)


def _f1(truth: Bools, named: Bools) -> float:
    both = truth.sum() + named.sum()
    return float(2 * (truth & named).sum() / both) if both else 0.0
