"""Truth and scores `[n_items, n_classes]` in, confidence intervals and paired tests out. PURE.

A resample draws as many items as there are, with replacement; items of one group (the excerpts of a
song, say) are alike, so groups are drawn whole. It is held as how often each item was drawn: every
count of a resample is then a sum of these weights, so that a thousand resamples are a matrix
product and average precision needs each class's scores sorted once.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from pipeline.arrays import Bools, Float64, Floats, Int64
from pipeline.evaluation.labels.targets import Targets, is_known, is_there

Numbers = Int64

N_RESAMPLES = 1000
LEVEL = 0.95
FIGURES = ("macro_f1_present", "macro_f1", "micro_f1", "mean_average_precision")

_CHUNK_WEIGHTS = 4_000_000  # weights held at a time: 32 MB


@dataclass(frozen=True)
class ConfidenceInterval:
    """Between which two values a figure lies; None where too few resamples define it."""

    low: float | None
    high: float | None


@dataclass(frozen=True)
class Resampled:
    """The figures of every resample; NaN where its items leave one undefined."""

    macro_f1_present: Float64
    """Shape [n_resamples], as the three below; of the classes that the items have, drawn or not."""
    macro_f1: Float64
    micro_f1: Float64
    mean_average_precision: Float64
    f1: Float64
    """Shape [n_resamples, n_classes], as the one below."""
    average_precision: Float64
    hamming_score: Float64
    """Shape [n_resamples], as the two below."""
    macro_precision_present: Float64
    macro_recall_present: Float64


@dataclass(frozen=True)
class PairedTest:
    """How much better the first of two models is than the second, on the same items."""

    difference: float | None
    low: float | None
    high: float | None
    p_value: float | None


def resample(
    truth: Targets,
    scores: Floats,
    *,
    thresholds: npt.ArrayLike,
    groups: Sequence[str] | None = None,
    n_resamples: int = N_RESAMPLES,
    seed: int = 0,
) -> Resampled:
    """Return the figures of many sets of items, drawn from the given ones with replacement.

    Parameters
    ----------
    truth : bools, or floats of 0, 1 and NaN, shape [n_items, n_classes]
        NaN is unknown, and left out.
    scores : finite floats, shape [n_items, n_classes]
    thresholds : float, or floats of shape [n_classes]
        A class is named where its score reaches its threshold.
    groups : n_items strings, or None
        What each item was cut from; each its own when None.
    n_resamples, seed : int
        The same seed draws the same items, so two models' resamples can be subtracted.

    Returns
    -------
    Resampled
        F1 is NaN where a class that is there is neither in a resample's truth nor named, average
        precision where it is in none or all of its items; the means leave these out.

    References
    ----------
    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 6; Davison and Hinkley,
    "Bootstrap Methods and their Application", 1997, section 3.8 (groups are drawn, whole).
    """
    there = is_there(truth)
    predicted = (scores >= np.asarray(thresholds, np.float64)) & is_known(truth)
    parts = [
        (
            *_f1(there, predicted, weights),
            average_precisions(truth, scores, weights=weights),
            *_right_shares(truth, predicted, weights),
        )
        for weights in _weights(_numbered(len(truth), groups), n_resamples, seed)
    ]
    f1, micro, ap, *shares = (np.concatenate(column) for column in zip(*parts, strict=True))
    of_present = _nan_mean(f1[:, there.any(axis=0)])
    return Resampled(of_present, _nan_mean(f1), micro, _nan_mean(ap), f1, ap, *shares)


def intervals(
    truth: Targets,
    scores: Floats,
    *,
    thresholds: npt.ArrayLike,
    class_codes: Sequence[str],
    groups: Sequence[str] | None = None,
    n_resamples: int = N_RESAMPLES,
    level: float = LEVEL,
    seed: int = 0,
) -> dict[str, Any]:
    """Return percentile intervals of macro F1, micro F1, mAP and each class's F1 and AP.

    Macro F1 is given of the classes that are there, and of all. The parameters are those of
    `resample`; plain values come out, fit for json, with None where less than half of the
    resamples define a figure.

    References
    ----------
    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapter 13.
    """
    drawn = resample(
        truth, scores, thresholds=thresholds, groups=groups, n_resamples=n_resamples, seed=seed
    )
    return {
        "level": level,
        "n_resamples": n_resamples,
        "n_groups": len(set(groups)) if groups is not None else len(truth),
        "seed": seed,
        **{name: asdict(percentiles(getattr(drawn, name), level)) for name in FIGURES},
        "per_class": [
            {
                "code": code,
                "f1": asdict(percentiles(drawn.f1[:, k], level)),
                "average_precision": asdict(percentiles(drawn.average_precision[:, k], level)),
            }
            for k, code in enumerate(class_codes)
        ],
    }


def paired_test(
    first: Float64, second: Float64, *, observed: float | None, level: float = LEVEL
) -> PairedTest:
    """Test whether two models differ in a figure, from resamples of the same items.

    Parameters
    ----------
    first, second : floats, shape [n_resamples]
        The figure of either model in the same resamples: `resample` with one seed gives them.
    observed : float or None
        The first model's figure less the second's, on the items themselves.
    level : float of 0..1
        Of the interval of the difference.

    Returns
    -------
    PairedTest
        The two-sided p is twice the share of resamples in which the difference has the other sign
        or is 0, counting the items themselves as one more resample, so that it is never 0.

    References
    ----------
    Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, chapters 13 and 15; Koehn,
    "Statistical significance tests for machine translation evaluation", EMNLP 2004.

    Examples
    --------
    >>> paired_test(np.full(999, 0.6), np.full(999, 0.5), observed=0.1).p_value
    0.002
    >>> paired_test(np.full(999, 0.5), np.full(999, 0.5), observed=0.0).p_value
    1.0
    """
    differences = first - second
    differences = differences[np.isfinite(differences)]
    if observed is None or not len(differences):
        return PairedTest(observed, None, None, None)
    fewer = min((differences <= 0).sum(), (differences >= 0).sum())
    p_value = min(1.0, 2 * (1 + int(fewer)) / (1 + len(differences)))
    found = percentiles(differences, level)
    return PairedTest(float(observed), found.low, found.high, p_value)


def percentiles(values: Float64, level: float = LEVEL) -> ConfidenceInterval:
    """Return the interval that holds the middle `level` of the values, leaving NaN out.

    >>> percentiles(np.arange(101.0), 0.5)
    ConfidenceInterval(low=25.0, high=75.0)
    """
    known = values[np.isfinite(values)]
    if not len(known) or 2 * len(known) < len(values):
        return ConfidenceInterval(None, None)
    low, high = np.quantile(known, [(1 - level) / 2, (1 + level) / 2])
    return ConfidenceInterval(float(low), float(high))


def average_precisions(truth: Targets, scores: Floats, *, weights: Float64) -> Float64:
    """Return every class's average precision for many weightings of the items.

    `weights` says how often each item counts, `[n_resamples, n_items]`; NaN of `[n_resamples,
    n_classes]` where a class is in none or all of the weighted items of which it is known. With
    weights of 1 and nothing unknown it is
    scikit-learn's `average_precision_score`: the step-wise sum over the P-R curve.
    """
    there, known = is_there(truth).T, is_known(truth).T
    columns = [
        _average_precision(there[k, one], scores[one, k], weights[:, one])
        for k, one in enumerate(known)
    ]
    return np.stack(columns, axis=1)


def _average_precision(truth: Bools, scores: Floats, weights: Float64) -> Float64:
    if not len(truth):
        return np.full(len(weights), np.nan)
    order = np.argsort(-scores, kind="stable")
    ordered = scores[order]
    last_of_ties = np.append(np.flatnonzero(np.diff(ordered)), len(ordered) - 1)
    drawn = weights[:, order]
    named = drawn.cumsum(axis=1)[:, last_of_ties]
    hits = (drawn * truth[order]).cumsum(axis=1)[:, last_of_ties]
    n_positive, n_all = hits[:, -1], named[:, -1]
    steps = np.diff(hits, axis=1, prepend=0.0)
    total = (steps * hits / np.maximum(1, named)).sum(axis=1)
    is_known = (n_positive > 0) & (n_positive < n_all)
    return np.where(is_known, total / np.maximum(1, n_positive), np.nan)


def _f1(truth: Bools, predicted: Bools, weights: Float64) -> tuple[Float64, Float64]:
    """Return F1 by class, `[n_resamples, n_classes]`, and of all answers as one list.

    A class that is there, but not drawn, is NaN: a perfect tagger is not to lose by the draw. One
    that no item has is 0, drawn or not: naming it in vain is not to gain by the draw.
    """
    hits = weights @ (truth & predicted).astype(np.float64)
    both = weights @ (truth.astype(np.float64) + predicted)
    one_list = 2 * hits.sum(axis=1) / np.maximum(1, both.sum(axis=1))
    is_undrawn = (both == 0) & truth.any(axis=0)
    return np.where(is_undrawn, np.nan, 2 * hits / np.maximum(1, both)), one_list


def _right_shares(truth: Targets, predicted: Bools, weights: Float64) -> tuple[Float64, ...]:
    """Return Hamming score, macro precision and macro recall, `[n_resamples]` each.

    The macro figures are of the classes that are there; one that is not drawn counts in no mean, as
    in `_f1`, unless it was named.
    """
    present = is_there(truth)[:, is_there(truth).any(axis=0)].astype(np.float64)
    named_present = predicted[:, is_there(truth).any(axis=0)].astype(np.float64)
    there, named = weights @ present, weights @ named_present
    hits = weights @ (present * named_present)
    precision = np.where((there == 0) & (named == 0), np.nan, hits / np.maximum(1, named))
    recall = np.where(there == 0, np.nan, hits / np.maximum(1, there))
    known = is_known(truth)
    n_answers = weights @ known.sum(axis=1).astype(np.float64)
    right = weights @ (known & (is_there(truth) == predicted)).sum(axis=1).astype(np.float64)
    hamming = np.where(n_answers > 0, right / np.maximum(1, n_answers), np.nan)
    return hamming, _nan_mean(precision), _nan_mean(recall)


def _numbered(n_items: int, groups: Sequence[str] | None) -> Numbers:
    """Return the number of each item's group, in the order in which they come."""
    if groups is None:
        return np.arange(n_items)
    numbers = {group: k for k, group in enumerate(dict.fromkeys(groups))}
    return np.array([numbers[group] for group in groups], np.int64)


def _weights(group_of: Numbers, n_resamples: int, seed: int) -> Iterator[Float64]:
    """Yield, in chunks, how often each item is drawn, with its group: `[n, n_items]` floats."""
    rng = np.random.default_rng(seed)
    chunk = max(1, _CHUNK_WEIGHTS // max(1, len(group_of)))
    n_groups = int(group_of.max(initial=-1)) + 1
    for start in range(0, n_resamples, chunk):
        n = min(chunk, n_resamples - start)
        if not n_groups:
            yield np.zeros((n, 0))
            continue
        at = rng.integers(n_groups, size=(n, n_groups)) + n_groups * np.arange(n)[:, None]
        counts = np.bincount(at.ravel(), minlength=n * n_groups)
        yield counts.reshape(n, n_groups)[:, group_of].astype(np.float64)


def _nan_mean(values: Float64) -> Float64:
    """Return the mean of each row's known values; NaN, without a warning, where it has none."""
    is_known = np.isfinite(values)
    n_known = is_known.sum(axis=1)
    total = np.where(is_known, values, 0.0).sum(axis=1)
    return np.where(n_known > 0, total / np.maximum(1, n_known), np.nan)
