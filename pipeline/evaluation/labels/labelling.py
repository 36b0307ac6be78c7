"""Scores and confidences in, labels out: of one track, or of a whole table of TAGS. PURE.

A class is named where its score reaches its threshold and its confidence reaches `min_confidence`.
The score ranks classes within a track, and after S2 one of them always has 1; the confidence, the
mean of a class's three highest windows, says whether the model was sure of it at all. A track
without any active window has no confidence, and no labels, whatever the limits.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.arrays import Bools, Floats
from pipeline.errors import UsageError
from pipeline.store.matrices import codes_of, label_lists, label_matrix, score_matrix
from pipeline.sums import Sums
from schemas.columns import CODES


def labels(
    scores: Floats,
    peaks: Floats,
    *,
    thresholds: npt.ArrayLike,
    min_confidence: float,
    class_codes: Sequence[str],
) -> list[str]:
    """Return the codes that a track is labelled with, in the classes' order.

    Parameters
    ----------
    scores : floats of 0..1, shape [n_classes]
        After aggregation over the track's active windows.
    peaks : floats of 0..1, shape [n_classes]
        The confidence of each class; all 0 where no window was active.
    thresholds : floats of 0..1, shape [n_classes], or one for all
    min_confidence : float of 0..1
        With 0 every confidence above 0 is enough.
    class_codes : n_classes strings

    Examples
    --------
    >>> scores, peaks = np.array([1.0, 0.7, 0.6]), np.array([0.5, 0.2, 0.4])
    >>> labels(scores, peaks, thresholds=0.5, min_confidence=0.3, class_codes=["cel", "pia", "voi"])
    ['cel', 'voi']
    """
    named = _named(scores, peaks, thresholds, min_confidence)
    return [code for code, there in zip(class_codes, named, strict=True) if there]


def labels_of_tags(
    tags: pa.Table, *, thresholds: Mapping[str, float], min_confidence: float
) -> pa.Array:
    """Return the labels of every row of TAGS, a list array; `labels` says the same of each row.

    Rows that failed keep what they have. TAGS of an older layout have no `peaks` and no `n_active`:
    with a `min_confidence` of 0 their scores decide alone, with another one that is a UsageError.
    """
    codes = codes_of(tags.schema)
    if set(codes) != set(thresholds):
        raise UsageError(f"thresholds for {', '.join(thresholds)}; expected {', '.join(codes)}")
    is_ok = _flags(pc.equal(tags["status"], "ok"))
    limits = np.array([thresholds[code] for code in codes], np.float64)
    scores = score_matrix(tags["scores"], codes)
    named = _named(scores, _peaks(tags, is_ok, min_confidence), limits, min_confidence)
    if "n_active" in tags.column_names:
        named &= _flags(pc.not_equal(tags["n_active"], 0), missing=True)[:, None]
    return _lists(named, codes, kept=tags["labels"], keeps=~is_ok)


@dataclass(frozen=True)
class Changes(Sums):
    """What became of the labels of some rows."""

    n_rows: int
    n_failed: int
    n_unlabelled: int
    """Rows that are ok and have no label now."""
    n_changed: int
    """Rows that have other labels now."""
    now: Counter[str]
    """Labels by code, as the other two."""
    added: Counter[str]
    removed: Counter[str]

    @classmethod
    def none(cls) -> Changes:
        """Return what no rows give."""
        return cls(0, 0, 0, 0, Counter(), Counter(), Counter())


def changes(before: pa.Table, after: pa.Table) -> Changes:
    """Return what new labels have changed in rows of TAGS; failed rows count as such alone."""
    codes = codes_of(after.schema)
    old, new = (
        label_matrix(table["labels"], codes, ignore_others=True) for table in (before, after)
    )
    is_ok = _flags(pc.equal(after["status"], "ok"))

    def counted(named: Bools) -> Counter[str]:
        return Counter(dict(zip(codes, named[is_ok].sum(axis=0).tolist(), strict=True)))

    return Changes(
        n_rows=after.num_rows,
        n_failed=int((~is_ok).sum()),
        n_unlabelled=int((is_ok & ~new.any(axis=1)).sum()),
        n_changed=int((is_ok & (old != new).any(axis=1)).sum()),
        now=counted(new),
        added=counted(new & ~old),
        removed=counted(old & ~new),
    )


def _named(
    scores: Floats, peaks: Floats, thresholds: npt.ArrayLike, min_confidence: float
) -> Bools:
    # In float64 throughout: a plain number would otherwise be rounded to float32.
    wide = np.asarray(peaks, np.float64)
    reached = np.asarray(scores, np.float64) >= np.asarray(thresholds, np.float64)
    return np.asarray(reached & (wide >= min_confidence) & (wide > 0))


def _peaks(tags: pa.Table, is_ok: Bools, min_confidence: float) -> Floats:
    """Return the confidence of every row, `[n_rows, n_classes]`: 1 where nobody asks for it."""
    if "peaks" in tags.column_names:
        peaks = score_matrix(tags["peaks"], codes_of(tags.schema))
        unknown = np.isnan(peaks).any(axis=1) & is_ok
    else:
        peaks = np.full((tags.num_rows, 1), np.nan)
        unknown = is_ok
    if min_confidence > 0 and unknown.any():
        raise UsageError(
            f"a lowest confidence of {min_confidence:g} cannot be asked of {int(unknown.sum())} "
            "rows: they are from before peaks were written; tag them again, or give no "
            "--min-confidence"
        )
    return np.where(unknown[:, None], 1.0, peaks)


def _flags(values: pa.ChunkedArray, *, missing: bool = False) -> Bools:
    return np.asarray(pc.fill_null(values, missing).to_numpy(), bool)


def _lists(named: Bools, codes: Sequence[str], *, kept: pa.ChunkedArray, keeps: Bools) -> pa.Array:
    """Return a list of codes a row, and where `keeps` is true the list that was there."""
    new = label_lists(named, codes)
    if not keeps.any():
        return new
    return pc.if_else(pa.array(keeps), kept.combine_chunks().cast(CODES), new)
