"""Pooled features and each clip's class in, ANOVA out: which rows differ between classes. PURE.

The groups of a one-way ANOVA are disjoint, so only clips with exactly one class count.
"""

from __future__ import annotations

import math
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
from scipy import stats

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
    """The statistic of each clip, in `unit`, `[n_clips]`."""
    groups: Int64
    """The class of each clip, as its index, `[n_clips]`."""

    @property
    def key(self) -> tuple[str, str, str]:
        """What names the row in ANOVA: feature, row and statistic."""
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
        One number per clip and row, `[n_clips, n_rows]`; what is not finite is left out of a mean.
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
        One number per clip and row, `[n_clips, n_rows]`. A clip whose number is not finite does not
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
    scipy's `stats.f_oneway`; eta squared is SS_between / SS_total.
    """
    tests = [_test(column, groups) for column in np.asarray(values, np.float64).T]
    f, p, eta_squared, n_clips = np.reshape(tests, (-1, 4)).T
    return Anova(f, p, eta_squared, n_clips.astype(np.int64))


def _test(column: Float64, groups: Int64) -> tuple[float, float, float, int]:
    """Return F, p, eta squared and the number of clips of one row."""
    finite = np.isfinite(column)
    samples = [column[finite & (groups == k)] for k in np.unique(groups[groups >= 0])]
    samples = [sample for sample in samples if len(sample) >= _MIN_CLIPS]
    n_clips = sum(map(len, samples))
    if len(samples) < 2:
        return math.nan, math.nan, math.nan, n_clips
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.ConstantInputWarning)
        f, p = map(float, stats.f_oneway(*samples))
    if f < 0:  # sums of squares are subtracted: what is 0 may come out a little below it
        f, p = (math.inf, 0.0) if f < -1 else (0.0, 1.0)
    between = f * (len(samples) - 1) / (n_clips - len(samples))
    return f, p, 1 - 1 / (1 + between), n_clips


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
        key=lambda row: (
            math.isnan(row["p_value"]),
            *((0.0, 0.0) if math.isnan(row["p_value"]) else (row["p_value"], -row["eta_squared"])),
            row["feature"],
        ),
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
