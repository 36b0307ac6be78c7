"""The stretches in which each instrument sounds, from a track's windows and scores. PURE.

A single window is judged by its sigmoids alone: thresholds belong to an aggregation over a whole
track (S2 divides by the loudest class), and mean nothing for one window. Those of a mean of windows
do, so pretrained taggers, whose sigmoids hardly reach a half, bring limits of their own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from pipeline.arrays import Float64, Floats

LEAST_SCORE = 0.5
"""From here on a model says yes rather than no."""
_TOUCHING_S = 1e-6  # beginnings and ends are sums of floats


@dataclass(frozen=True)
class Interval:
    """A stretch of a track in which one instrument sounds without a break."""

    code: str
    """Code of the instrument that sounds."""
    start_s: float
    """Where its first window begins."""
    end_s: float
    """Where its last window ends."""
    score: float
    """Mean score of the windows in which it sounds."""


def interval_threshold(min_confidence: float) -> float:
    """Return the sigmoid from which a class counts as sounding in a window.

    That is 0.5, or `min_confidence` where it is higher: a confidence is a mean of such sigmoids, so
    what is too low for a label does not count in a window either.
    """
    return max(min_confidence, LEAST_SCORE)


def merged_intervals(
    window_scores: Floats,
    start_s: npt.ArrayLike,
    end_s: npt.ArrayLike,
    is_active: npt.ArrayLike,
    *,
    min_confidence: float,
    codes: Sequence[str],
    max_gap_s: float = 0.0,
    limits: npt.ArrayLike | None = None,
) -> list[Interval]:
    """Return where each class sounds, by class, and in the track's order.

    Parameters
    ----------
    window_scores : floats of 0..1, shape [n_windows, n_classes]
    start_s, end_s : floats, shape [n_windows]
        Where the windows are, both in rising order. Windows that overlap or touch make one
        interval, so with a hop below the window's length a window in which the class does not sound
        may lie between its neighbours' ends.
    is_active : bools, shape [n_windows]
        In silence and noise nothing counts.
    min_confidence : float of 0..1
        See `interval_threshold`.
    codes : n_classes strings
    max_gap_s : float
        Breaks up to this long are bridged; none by default, so a break is never hidden.
    limits : floats of 0..1, shape [n_classes]
        Sigmoids from which a class counts as sounding; without them `interval_threshold` is that
        of all classes.

    Examples
    --------
    >>> scores = np.array([[0.9], [0.7], [0.2], [0.6]])
    >>> found = merged_intervals(
    ...     scores, [0, 1, 2, 3], [1, 2, 3, 4], [True] * 4, min_confidence=0.3, codes=["cel"]
    ... )
    >>> [(one.start_s, one.end_s, round(one.score, 2)) for one in found]
    [(0.0, 2.0, 0.8), (3.0, 4.0, 0.6)]
    """
    starts, ends = np.asarray(start_s, np.float64), np.asarray(end_s, np.float64)
    scores = np.asarray(window_scores, np.float64)
    reached = (
        scores >= (interval_threshold(min_confidence) if limits is None else np.asarray(limits))
    ) & np.asarray(is_active, bool)[:, None]
    found: list[Interval] = []
    for code, there, column in zip(codes, reached.T, scores.T, strict=True):
        stretches = _merged(starts[there], ends[there], column[there], max_gap_s)
        found += [Interval(code, *stretch) for stretch in stretches]
    return found


def _merged(
    starts: Float64, ends: Float64, scores: Float64, max_gap_s: float
) -> Iterator[tuple[float, float, float]]:
    """Yield beginning, end and mean score of windows that follow each other without a break."""
    if not len(starts):
        return
    breaks = np.flatnonzero(starts[1:] > ends[:-1] + max_gap_s + _TOUCHING_S) + 1
    for piece in np.split(np.arange(len(starts)), breaks):
        first, last = piece[0], piece[-1]
        yield float(starts[first]), float(ends[last]), float(scores[piece].mean())
