"""Pooled features and each clip's class in, ANOVA out: which rows differ between classes. PURE.

The groups of a one-way ANOVA are disjoint, so only clips with exactly one class count.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from scipy import stats
from sklearn.feature_selection import f_classif

from pipeline.arrays import Bools, Float64, Floats, Int64
from schemas.anova import ANOVA

Row = dict[str, Any]

P_LIMIT = 0.001
"""A row is significant when its p is smaller: the limit of the report that we reproduce."""

_MIN_CLIPS = 2  # one clip has no variance within its class


@dataclass(frozen=True)
class Anova:
    """One test a row; every array is `[n_rows]`, NaN where a row cannot be tested."""

    f_value: Float64
    p_value: Float64
    eta_squared: Float64
    n_clips: Int64
    """Clips that the row's test is made of."""


@dataclass(frozen=True)
class RowValues:
    """One statistic of one row of a feature, of all clips that count."""

    feature: str
    row: str
    statistic: str
    unit: str
    """What the statistic counts in, such as dB or Hz²; empty for plain numbers."""
    values: Floats
    """`[n_clips]`"""
    groups: Int64
    """Each clip's class, `[n_clips]`."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What ANOVA calls it."""
        return self.feature, self.row, self.statistic


def single_groups(labels: Bools) -> Int64:
    """Return each clip's class as its index, `[n_clips]`; -1 for none or several classes.

    Parameters
    ----------
    labels
        Which classes a clip has, `[n_clips, n_classes]`.
    """
    if not labels.shape[1]:
        return np.full(len(labels), -1)
    return np.where(labels.sum(axis=1) == 1, labels.argmax(axis=1), -1)


def by_recording(
    values: Floats, *, groups: Int64, recordings: Sequence[str]
) -> tuple[Float64, Int64]:
    """Return the means of clips that were cut from one recording, and these means' classes.

    Such clips are alike, and would count as so many independent ones: of 1,000 rows of pure noise
    over 60 recordings a class 143 have p < 0.001 with 3 clips each, and 842 with 10.

    Parameters
    ----------
    values
        A number a clip and row, `[n_clips, n_rows]`; what is not finite is left out of a mean.
    groups
        Each clip's class, `[n_clips]`.
    recordings
        What each clip was cut from.

    Returns
    -------
    values, groups
        Of every recording and class, `[n_recordings, n_rows]` and `[n_recordings]`.
    """
    finite = np.where(np.isfinite(values), values, np.nan).astype(np.float64)
    means = pd.DataFrame(finite).groupby([list(recordings), groups], sort=False).mean()
    return means.to_numpy(), means.index.get_level_values(1).to_numpy()


def anova(values: Floats, groups: Int64) -> Anova:
    """Return the one-way ANOVA of every row over the classes.

    Parameters
    ----------
    values
        A number a clip and row, `[n_clips, n_rows]`. A clip whose number is not finite does not
        count for that row.
    groups
        Each clip's class, `[n_clips]`; clips of a negative one do not count, nor do classes with
        fewer than 2 clips.

    Returns
    -------
    Anova
        A row without variance, or with fewer than 2 classes, has NaN. Where classes differ and
        no clip differs from its class, F is infinite and p is 0.

    References
    ----------
    scikit-learn 1.7, `feature_selection.f_classif`; eta squared is SS_between / SS_total.
    """
    counted = groups >= 0
    values, groups = np.asarray(values, np.float64)[counted], groups[counted]
    finite = np.isfinite(values)
    found = np.full((4, values.shape[1]), np.nan)
    for rows in _alike(finite):
        clips = np.flatnonzero(finite[:, rows[0]])
        clips = clips[_in_a_class(groups[clips])]
        found[:, rows] = _test(values[clips][:, rows], groups[clips])
    return Anova(found[0], found[1], found[2], found[3].astype(np.int64))


def _alike(finite: Bools) -> Iterator[list[int]]:
    """Yield the rows by which clips they have: those are tested together."""
    patterns: dict[bytes, list[int]] = {}
    for row in range(finite.shape[1]):
        patterns.setdefault(finite[:, row].tobytes(), []).append(row)
    yield from patterns.values()


def _in_a_class(groups: Int64) -> Bools:
    """Return which clips have others in their class."""
    return (np.bincount(groups) >= _MIN_CLIPS)[groups]


def _test(values: Float64, groups: Int64) -> Float64:
    """Return F, p, eta squared and the number of clips, `[4, n_rows]`, of finite values."""
    found = np.full((4, values.shape[1]), np.nan)
    n_clips, n_classes = len(values), len(np.unique(groups))
    found[3] = n_clips
    if n_classes < 2:
        return found
    width = np.ptp(values, axis=0)
    varies = width > 0
    if varies.any():
        scaled = (values - values.mean(axis=0))[:, varies] / width[varies]
        f, p = _f_and_p(scaled, groups)
        between = f * (n_classes - 1) / (n_clips - n_classes)
        found[:3, varies] = f, p, 1 - 1 / (1 + between)
    return found


def _f_and_p(values: Float64, groups: Int64) -> tuple[Float64, Float64]:
    """Return F and p of every row of centred values, without warnings.

    scikit-learn takes sums of squares from each other: what should be 0 may come out a little
    below it. F is then far below 0 where the classes tell all, and just below it where nothing.
    """
    with warnings.catch_warnings(), np.errstate(divide="ignore", invalid="ignore"):
        warnings.simplefilter("ignore", UserWarning)  # rows that are constant within all classes
        f, p = f_classif(values, groups)
    f = np.where(f < -1, np.inf, np.maximum(f, 0))
    return f, np.where(np.isinf(f), 0.0, np.where(f == 0, 1.0, p))


def anova_table(result: Anova, *, feature: str, rows: Sequence[str], statistic: str) -> pa.Table:
    """Return the tests of one statistic of a feature as ANOVA; `rows` names its rows."""
    columns = {
        "feature": [feature] * len(rows),
        "row": list(rows),
        "statistic": [statistic] * len(rows),
        "f_value": result.f_value,
        "p_value": result.p_value,
        "n_clips": result.n_clips,
        "eta_squared": result.eta_squared,
    }
    return pa.table(columns, schema=ANOVA)


def ranked(table: pa.Table) -> list[Row]:
    """Return ANOVA's rows, the most significant first, those without a test at the end."""
    # Many p are 0 to the last bit: eta squared then says which row tells most.
    return sorted(
        table.to_pylist(),
        key=lambda row: (_or_inf(row["p_value"]), -_or_zero(row["eta_squared"]), row["feature"]),
    )


def best_of_each(table: pa.Table, *, n_rows: int) -> list[Row]:
    """Return the best row of every feature, then every second best, and so on: `n_rows` of them."""
    seen: Counter[str] = Counter()
    turns = []
    for row in ranked(table):
        if not math.isnan(row["p_value"]):
            turns.append((seen[row["feature"]], row))
            seen[row["feature"]] += 1
    return [row for _, row in sorted(turns, key=lambda turn: turn[0])[:n_rows]]


def by_feature(table: pa.Table) -> list[Row]:
    """Return what came out for each feature, in the table's order, as plain dicts.

    n_rows, of which `n_significant` have p < 0.001 and `n_untested` have no p; `best` and `worst`
    are the rows of the smallest and largest p, None where nothing could be tested.
    """
    return [_of_feature(name, table) for name in pc.unique(table["feature"]).to_pylist()]


def _of_feature(name: str, table: pa.Table) -> Row:
    rows = ranked(table.filter(pc.equal(table["feature"], name)))
    tested = [row for row in rows if not math.isnan(row["p_value"])]
    return {
        "feature": name,
        "n_rows": len(rows),
        "n_significant": sum(row["p_value"] < P_LIMIT for row in tested),
        "n_untested": len(rows) - len(tested),
        "best": tested[0] if tested else None,
        "worst": tested[-1] if tested else None,
    }


def eta_squared_limit(row: Row, n_classes: int) -> float:
    """Return the eta squared at which a row's p would be 0.001."""
    between, within = max(1, n_classes - 1), max(1, row["n_clips"] - n_classes)
    explained = float(stats.f.isf(P_LIMIT, between, within)) * between
    return float(explained / (explained + within))


def _or_inf(value: float) -> float:
    return math.inf if math.isnan(value) else value


def _or_zero(value: float) -> float:
    return 0.0 if math.isnan(value) else value
