"""Window scores `[n_windows, n_classes]` in, one score per class out. PURE.

A model hears short windows; a clip, or a whole track, wants one answer. The ways to get from the
one to the other have names, so that a job's flag, a model's json and a report mean the same. Each
is a file in `labels.aggregations`; what is made of them (topN, by segments) is here.
"""

from __future__ import annotations

import re
from argparse import ArgumentTypeError
from collections.abc import Callable, Mapping
from functools import partial
from types import MappingProxyType

import numpy as np

from pipeline.arrays import Floats
from pipeline.errors import UsageError
from pipeline.evaluation.labels.aggregations.base import Aggregation
from pipeline.seams import declared

EVIDENCE_WINDOWS = 3
"""What a class's confidence is the mean of: one loud false window is a third of it."""


class UnknownMethod(UsageError, ArgumentTypeError):
    """No aggregation has that name; argparse prints the message of such a type as it is."""


def highest_windows(window_scores: Floats, *, n_windows: int) -> Floats:
    """Return every class's mean over its highest windows, or over all where there are fewer.

    A class that sounds in a few bars of a long track keeps its score there, as with the largest
    window, but no single false window makes it.
    """
    highest = np.sort(window_scores, axis=0)[-n_windows:]
    return np.asarray(highest.mean(axis=0, dtype=np.float64))


def segments_of(window_scores: Floats, *, windows_per_segment: int) -> list[Floats]:
    """Return the windows of a track in segments of equal length, each with its own windows.

    A segment has at least `windows_per_segment` windows and fewer than twice as many, so a track of
    fewer than two segments' windows is one segment. Only active windows are given here: a segment
    holds so many seconds of music, whatever silence lies between them.

    >>> scores = np.arange(7.0)[:, None]
    >>> [len(part) for part in segments_of(scores, windows_per_segment=3)]
    [4, 3]
    """
    n_segments = max(1, len(window_scores) // windows_per_segment)
    return np.array_split(window_scores, n_segments)


def by_segments(
    window_scores: Floats,
    *,
    of_segment: Callable[[Floats], Floats],
    of_track: Callable[[Floats], Floats],
    windows_per_segment: int,
) -> Floats:
    """Return a track's scores by way of its segments: windows to a segment, segments to a track."""
    parts = segments_of(window_scores, windows_per_segment=windows_per_segment)
    return of_track(np.stack([of_segment(part) for part in parts]))


_DECLARED: list[Aggregation] = declared(
    "pipeline.evaluation.labels.aggregations", "AGGREGATION", first=("mean", "share", "loudest")
)
_PLAIN: Mapping[str, Callable[[Floats], Floats]] = MappingProxyType(
    {one.name: one.of_windows for one in _DECLARED}
)
TITLES: Mapping[str, str] = MappingProxyType({one.name: one.title for one in _DECLARED})
"""What each of them does, by name, for a page."""

TRACKS = "s2-10s-top3"
"""The default for whole tracks: S2 over segments of 10 s, then the mean of a class's highest three.

A clip shorter than 20 s is one segment, and its scores are those of S2."""

METHODS = (*_PLAIN, TRACKS)
"""What validation compares, by the names that model.json uses."""

NAMES = f"{', '.join(_PLAIN)}, mean or topN, such as top3, or by segments, such as {TRACKS}"
"""What `method_named` takes, for a user."""
CHOICES = (
    *(f"{name}: {title.rpartition(': ')[2]}" for name, title in TITLES.items()),
    "mean: the same as s1",
    "topN, such as top5: the mean of a class's N highest windows",
    f"by segments, such as {TRACKS}: S2 over 10 s each, then the mean of the highest three",
)
"""The same, each with what it does, for --help."""

_ADDED = [name for name in _PLAIN if name not in ("s1", "s2", "max")]  # their segments, too
_SEGMENTS = re.compile(
    rf"({'|'.join(['s1', 's2', 'mean', *_ADDED])})-0*([1-9]\d{{0,3}})s-"
    rf"({'|'.join(['s1', 'mean', 'max', *_ADDED])}|top\d+)"
)


def method_named(name: str) -> str:
    """Return the one name of an aggregation, that artefacts carry; for argparse's `type` too.

    >>> method_named("S2"), method_named("mean"), method_named("top5"), method_named("top1")
    ('s2', 's1', 'top5', 'max')
    >>> method_named("S2-010s-top1")
    's2-10s-max'
    """
    lower = name.lower()
    if lower in _PLAIN:
        return lower
    if lower == "mean":
        return "s1"
    if found := re.fullmatch(r"top0*([1-9]\d{0,3})", lower):
        return "max" if found[1] == "1" else f"top{found[1]}"
    if found := _SEGMENTS.fullmatch(lower):
        inner, seconds, outer = found.groups()
        return f"{method_named(inner)}-{seconds}s-{method_named(outer)}"
    raise UnknownMethod(f"aggregation {name!r}: expected one of {NAMES}")


def for_tracks(method: str) -> str:
    """Return what takes a clip's aggregation to whole tracks: S2 goes by segments, others stay.

    S2 divides by the class that sounds most over all of the track, so that a solo of 30 s in four
    minutes gets no label, however sure the model is of it.
    """
    return TRACKS if method == "s2" else method


def equal_on_clips(method: str) -> str:
    """Return the aggregation that gives a clip of one segment the same scores.

    >>> equal_on_clips("s2-10s-top3"), equal_on_clips("max")
    ('s2', 'max')
    """
    return method.partition("-")[0]


def aggregate(window_scores: Floats, method: str, *, hop_s: float = 1.0) -> Floats:
    """Return a clip's or a track's scores from those of its windows.

    Parameters
    ----------
    window_scores : floats of 0..1, shape [n_windows, n_classes]
        Sigmoid outputs of the active windows, in the order of time. They are summed in float64;
        only to segments does their order matter.
    method : str
        A name that `method_named` knows, in either case: "S1" or "mean", "S2", "max", "top5" (every
        class's mean over its five highest windows), "s2-10s-top3" (S2 over each segment of at least
        10 s, then every class's mean over its three highest segments).
    hop_s : float
        Distance of the windows' beginnings: how many of them make a segment.

    Returns
    -------
    floats of 0..1, shape [n_classes]
        Of the same type as `window_scores`; zeros where there are no windows.

    Raises
    ------
    UsageError
        If no method has that name.

    References
    ----------
    Han, Kim and Lee, "Deep convolutional neural networks for predominant instrument recognition in
    polyphonic music", IEEE/ACM TASLP 25(1), 2017: the two strategies S1 and S2.

    Examples
    --------
    >>> windows = np.array([[0.8, 0.1], [0.4, 0.2]])
    >>> aggregate(windows, "S1").round(3).tolist()
    [0.6, 0.15]
    >>> aggregate(windows, "S2").round(3).tolist()
    [1.0, 0.25]
    >>> solo = np.repeat([[0.9, 0.0], [0.9, 0.8]], [210, 30], axis=0)
    >>> aggregate(solo, "S2").round(2).tolist()
    [1.0, 0.11]
    >>> aggregate(solo, "s2-10s-top3").round(2).tolist()
    [1.0, 0.89]
    """
    of_windows = _function(method_named(method), hop_s)
    if window_scores.ndim != 2:
        raise ValueError(f"expected [n_windows, n_classes], got shape {window_scores.shape}")
    if not len(window_scores):
        return np.zeros_like(window_scores, shape=window_scores.shape[1:])
    return of_windows(window_scores).astype(window_scores.dtype)


def confidence(window_scores: Floats) -> Floats:
    """Return every class's mean over its three highest windows, `[n_classes]`.

    S2 always names a class; whether the model was sure of it anywhere, S2 does not say. The
    parameters and the type are those of `aggregate`.

    >>> confidence(np.array([[0.9], [0.1], [0.6], [0.3]])).round(3).tolist()
    [0.6]
    """
    return aggregate(window_scores, f"top{EVIDENCE_WINDOWS}")


def _function(method: str, hop_s: float) -> Callable[[Floats], Floats]:
    """Return the function of a name that `method_named` gave."""
    if found := _SEGMENTS.fullmatch(method):
        inner, seconds, outer = found.groups()
        n_windows = max(1, round(int(seconds) / hop_s))
        return partial(
            by_segments,
            of_segment=_function(inner, hop_s),
            of_track=_function(outer, hop_s),
            windows_per_segment=n_windows,
        )
    if method in _PLAIN:
        return _PLAIN[method]
    return partial(highest_windows, n_windows=int(method.removeprefix("top")))
