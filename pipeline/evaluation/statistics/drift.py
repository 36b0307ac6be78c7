"""How far each class has moved between two runs, by histograms and counts of labels. PURE.

A run tags what is new, so two runs have tagged different tracks: what moves may be the music (an
album of piano) as well as the model or the files. The tests say what is more than chance, not why.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from pipeline.arrays import Float64, Int64
from pipeline.evaluation.runs.tally import N_BINS
from pipeline.evaluation.statistics.significance import holm
from schemas.tagging_run import TaggingRun

ENOUGH_TRACKS = 50
"""With fewer in either run, nothing is tested."""
STABLE_BELOW, CHANGED_ABOVE = 0.1, 0.25
"""The usual reading of the population stability index."""
STABLE, LOOK, CHANGED, TOO_FEW = "stable", "look", "changed", "too few to tell"
FIRST_RUN = "first run"

_LEVEL = 0.05
_MIN_SHARE = 0.05  # of a bin of the index: emptier ones are joined, their logarithms are noise


@dataclass(frozen=True)
class ClassDrift:
    """How far one class has moved from the run before to this one; None where nothing is tested."""

    code: str
    n_before: int
    """Tracks that have a score, in the run before."""
    n_now: int
    """The same, in this run."""
    share_before: float | None
    """Tracks that were given the label, of those tagged."""
    share_now: float | None
    """The same, in this run."""
    reading: str = TOO_FEW
    """stable, look, changed, too few to tell or first run."""
    psi: float | None = None
    """Population stability index of the scores."""
    psi_by_chance: float | None = None
    """What the index stays below in 95 % of pairs of runs in which no class has moved."""
    ks: float | None = None
    """Kolmogorov and Smirnov's distance of the scores: the widest gap of the two shares below x."""
    ks_p: float | None = None
    """Its p, corrected for the number of classes."""
    share_p: float | None = None
    """p of Fisher's exact test that the two shares are one, corrected in the same way."""


def class_drift(now: TaggingRun, before: TaggingRun | None) -> list[ClassDrift]:
    """Return how far each class has moved between two runs (see run.json), in the classes' order.

    A class is read by its index, as usual: below 0.1 stable, above 0.25 changed, and worth a look
    between. But the index grows as tracks get fewer, and with 60 of them it passes 0.25 by chance:
    what does not pass what chance gives is `too few to tell`, not changed.
    """
    codes = list(now.class_names)
    rows = [_one_class(code, now, before, len(codes)) for code in codes]
    tested = [k for k, row in enumerate(rows) if row.psi is not None]
    ks = holm([rows[k].ks_p or 0.0 for k in tested])
    share = holm([rows[k].share_p or 0.0 for k in tested])
    for k, ks_p, share_p in zip(tested, ks, share, strict=True):
        rows[k] = replace(rows[k], ks_p=ks_p, share_p=share_p)
    return rows


def _one_class(code: str, now: TaggingRun, before: TaggingRun | None, n_classes: int) -> ClassDrift:
    new, old = histogram(now, code), histogram(before, code)
    row = ClassDrift(
        code,
        n_before=int(old.sum()),
        n_now=int(new.sum()),
        share_before=label_share(before, code) if before else None,
        share_now=label_share(now, code),
    )
    if before is None:
        return replace(row, reading=FIRST_RUN)
    if len(new) != len(old) or min(row.n_before, row.n_now) < ENOUGH_TRACKS:
        return row
    psi, by_chance = stability_index(new, old, level=_LEVEL / n_classes)
    ks, ks_p = binned_ks(new, old)
    return replace(
        row,
        reading=_reading(psi, by_chance),
        psi=psi,
        psi_by_chance=by_chance,
        ks=ks,
        ks_p=ks_p,
        share_p=same_share_p(_labelled(now, code), _labelled(before, code)),
    )


def label_share(run: TaggingRun, code: str) -> float | None:
    """Return the share of a run's newly tagged tracks that got a label; None where there are none.

    >>> label_share(TaggingRun(labels_of_run={"cel": 3}, tagged=12), "cel")
    0.25
    """
    hits, tagged = _labelled(run, code)
    return hits / tagged if tagged else None


def stability_index(
    now: npt.ArrayLike, before: npt.ArrayLike, *, level: float = _LEVEL
) -> tuple[float, float]:
    """Return the population stability index of two histograms, and what chance alone gives.

    Parameters
    ----------
    now, before
        Counts in the same bins, `[n_bins]`. Neighbouring bins are joined until each has 5 %.
    level
        How often the second number is passed though nothing has changed.

    References
    ----------
    Yurdakul and Naranjo, "Statistical properties of the population stability index", Journal of
    Risk Model Validation 14(4), 2020: without a change it is (1/n + 1/m) times a chi-squared.

    Examples
    --------
    >>> psi, by_chance = stability_index([50, 50], [80, 20])
    >>> round(psi, 2), round(by_chance, 2)
    (0.41, 0.08)
    """
    from scipy import stats  # here, as it takes a second and a run with nothing new does without

    new, old = np.asarray(now, np.float64), np.asarray(before, np.float64)
    starts = _joined_bins((new / new.sum() + old / old.sum()) / 2)
    new, old = np.add.reduceat(new, starts), np.add.reduceat(old, starts)
    p, q = (_smoothed(counts) for counts in (new, old))
    by_chance = stats.chi2.ppf(1 - level, max(1, len(starts) - 1)) * (1 / new.sum() + 1 / old.sum())
    return float(((p - q) * np.log(p / q)).sum()), float(by_chance)


def binned_ks(now: npt.ArrayLike, before: npt.ArrayLike) -> tuple[float, float]:
    """Return Kolmogorov and Smirnov's distance of two histograms and its p for two samples.

    Bins hide what differs within them, so the distance is at most, and p at least, that of the
    scores themselves.
    """
    from scipy import stats  # here, as it takes a second and a run with nothing new does without

    new, old = np.asarray(now, np.float64), np.asarray(before, np.float64)
    n, m = new.sum(), old.sum()
    distance = float(np.abs(new.cumsum() / n - old.cumsum() / m).max())
    return distance, float(stats.kstwo.sf(distance, round(n * m / (n + m))))


def same_share_p(now: tuple[int, int], before: tuple[int, int]) -> float:
    """Return p of Fisher's exact test that two (hits, trials) are of one share.

    >>> round(same_share_p((8, 10), (1, 10)), 4)
    0.0055
    """
    from scipy import stats  # here, as it takes a second and a run with nothing new does without

    table = [[hits, trials - hits] for hits, trials in (now, before)]
    return float(stats.fisher_exact(table).pvalue)


def _reading(psi: float, by_chance: float) -> str:
    if psi < STABLE_BELOW:
        return STABLE
    if psi <= by_chance:
        return TOO_FEW
    return CHANGED if psi > CHANGED_ABOVE else LOOK


def histogram(run: TaggingRun | None, code: str) -> Float64:
    """Return how many of a run's scores of a class lie in each bin; zeros where there is no run."""
    return np.asarray((run.histograms if run else {}).get(code, [0] * N_BINS), np.float64)


def _labelled(run: TaggingRun, code: str) -> tuple[int, int]:
    return run.labels_of_run.get(code, 0), run.tagged


def _smoothed(counts: Float64) -> Float64:
    """Return shares, with half a track more in every bin: none is empty."""
    return np.asarray((counts + 0.5) / (counts.sum() + 0.5 * len(counts)))


def _joined_bins(shares: Float64) -> Int64:
    """Return where the bins begin that have `_MIN_SHARE` or more each, from left to right."""
    starts, filled = [0], 0.0
    for k, share in enumerate(shares):
        if filled >= _MIN_SHARE and shares[k:].sum() >= _MIN_SHARE:
            starts.append(k)
            filled = 0.0
        filled += share
    return np.array(starts, np.int64)
