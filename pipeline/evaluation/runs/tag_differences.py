"""Which tracks the TAGS of two models share, and where their labels differ. PURE.

A million tracks are some hundred MB: strings stay in Arrow, labels and scores are arrays, and no
track is an object of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.stats import binomtest, rankdata

from pipeline.arrays import Bools, Float32, Float64, Int64
from pipeline.evaluation.statistics.significance import holm
from pipeline.store.matrices import label_lists, score_structs
from schemas.columns import CODES, column
from schemas.tags import BYTE_HASH, PACKET_HASH, scores_struct

Index = Int64

APART = pa.schema(
    [
        column("uri", pa.large_string(), "a track that is not compared"),
        column(
            "why", pa.string(), "only_a, only_b, other_bytes, failed_a, failed_b or failed_both"
        ),
    ]
)

_BLOCK = 1 << 16


@dataclass(frozen=True)
class Tagged:
    """What one model says of a catalogue: every column has a track once, in the same order."""

    uris: pa.Array
    fingerprints: pa.Array
    """Hash of each track's audio or bytes, null where unknown."""
    duration_s: Float64
    is_ok: Bools
    labels: Bools
    """Shape [n_tracks, n_classes], as `scores`."""
    scores: Float32
    """NaN where there are none."""


@dataclass(frozen=True)
class Pairs:
    """The tracks that both models have tagged: row k of every column is the same one."""

    uris: pa.Array
    fingerprints: pa.Array
    duration_s: Float64
    labels_a: Bools
    labels_b: Bools
    scores_a: Float32
    scores_b: Float32
    n_unverified: int
    """Of them, those paired by uri alone: one of the runs has no fingerprint, or they are of two
    kinds, one of packets and one of bytes."""


def pair(a: Tagged, b: Tagged) -> tuple[Pairs, pa.Table]:
    """Return the tracks that can be compared, in A's order, and as APART those that cannot.

    A track is the same where uri and fingerprint are; a missing fingerprint is no other one, as a
    file that could not be read has none, nor is one of another kind.
    """
    at = pc.index_in(a.uris, value_set=b.uris).fill_null(-1).to_numpy()
    in_a = np.flatnonzero(at >= 0)
    in_b = at[in_a]
    equal = _equal(a.fingerprints.take(in_a), b.fingerprints.take(in_b))
    same = np.asarray(equal.fill_null(True).to_numpy(zero_copy_only=False), np.bool_)
    ok_a, ok_b = a.is_ok[in_a], b.is_ok[in_b]
    both = same & ok_a & ok_b
    of_a, of_b = in_a[both], in_b[both]
    pairs = Pairs(
        a.uris.take(of_a),
        a.fingerprints.take(of_a),
        a.duration_s[of_a],
        a.labels[of_a],
        b.labels[of_b],
        a.scores[of_a],
        b.scores[of_b],
        n_unverified=int((equal.is_null().to_numpy(zero_copy_only=False) & both).sum()),
    )
    unmatched = {
        "only_a": a.uris.take(np.flatnonzero(at < 0)),
        "only_b": b.uris.take(np.delete(np.arange(len(b.uris)), in_b)),
        "other_bytes": a.uris.take(in_a[~same]),
        "failed_a": a.uris.take(in_a[same & ~ok_a & ok_b]),
        "failed_b": a.uris.take(in_a[same & ok_a & ~ok_b]),
        "failed_both": a.uris.take(in_a[same & ~ok_a & ~ok_b]),
    }
    why = pa.concat_arrays([pa.repeat(key, len(uris)) for key, uris in unmatched.items()])
    return pairs, pa.table([pa.concat_arrays(list(unmatched.values())), why], schema=APART)


def _equal(a: pa.Array, b: pa.Array) -> pa.Array:
    """Return whether fingerprints are equal; null where one is missing or they are of two kinds."""
    of_packets, of_bytes = (
        [pc.starts_with(one, kind) for one in (a, b)] for kind in (PACKET_HASH, BYTE_HASH)
    )
    are_two_kinds = pc.or_(pc.and_(of_packets[0], of_bytes[1]), pc.and_(of_bytes[0], of_packets[1]))
    return pc.if_else(are_two_kinds, pa.scalar(None, pa.bool_()), pc.equal(a, b))


def findings(pairs: Pairs, codes: Sequence[str]) -> dict[str, Any]:
    """Return where labels and scores differ, over all and by class, as plain values.

    Row i of `grid` is of the tracks with A's label i: column j counts those to which B newly gives
    label j, column i those on which it stays. The last row and column are no label at all.

    References
    ----------
    Cohen 1960 (kappa); McNemar 1947, exact by the binomial distribution; Holm 1979.
    """
    return {
        "labels": _over_all(pairs),
        "per_class": _per_class(pairs, codes),
        "grid": _grid(pairs).tolist(),
    }


def changed(pairs: Pairs) -> Index:
    """Return the tracks whose labels differ: most labels first, then the most distant scores."""
    n_labels = (pairs.labels_a ^ pairs.labels_b).sum(axis=1)
    rows = np.flatnonzero(n_labels)
    return rows[np.lexsort((-distance(pairs, rows), -n_labels[rows]))]


def distance(pairs: Pairs, rows: Index) -> Float32:
    """Return the root mean square of A's and B's scores' differences, of 0..1, for some tracks."""
    unmatched = pairs.scores_a[rows] - pairs.scores_b[rows]
    return np.asarray(
        np.sqrt(np.einsum("ij,ij->i", unmatched, unmatched) / max(1, unmatched.shape[1]))
    )


def differences_table(pairs: Pairs, codes: Sequence[str]) -> pa.Table:
    """Return a row for every track whose labels differ, in the order of `changed`."""
    rows = changed(pairs)
    a, b = pairs.labels_a[rows], pairs.labels_b[rows]
    columns = {
        "uri": pairs.uris.take(rows),
        "fingerprint": pairs.fingerprints.take(rows),
        "duration_s": pa.array(pairs.duration_s[rows], from_pandas=True),
        "labels_a": label_lists(a, codes),
        "labels_b": label_lists(b, codes),
        "added": label_lists(b & ~a, codes),
        "removed": label_lists(a & ~b, codes),
        "scores_a": score_structs(pairs.scores_a[rows], codes),
        "scores_b": score_structs(pairs.scores_b[rows], codes),
        "distance": pa.array(distance(pairs, rows), from_pandas=True),
    }
    return pa.table(columns).cast(differences_schema(codes))


def differences_schema(codes: Sequence[str]) -> pa.Schema:
    """One row is a track that the two models label differently, in the classes both know."""
    scores = scores_struct(codes)
    return pa.schema(
        [
            column("uri", pa.large_string(), "the track, as in TAGS"),
            column(
                "fingerprint",
                pa.large_string(),
                "as in TAGS; null where unknown",
            ),
            column("duration_s", pa.float64(), "its length as A decoded it", unit="s"),
            column("labels_a", CODES, "codes that A gives it"),
            column("labels_b", CODES, "codes that B gives it"),
            column("added", CODES, "codes that only B gives it"),
            column("removed", CODES, "codes that only A gives it"),
            column("scores_a", scores, "A's score per class", range="0..1"),
            column("scores_b", scores, "B's score per class", range="0..1"),
            column("distance", pa.float32(), "RMS of the scores' differences", range="0..1"),
        ]
    )


def mcnemar(n_only_a: int, n_only_b: int) -> float:
    """Return the two-sided p of so many one-sided differences if both sides were as likely."""
    n_differ = n_only_a + n_only_b
    return float(binomtest(n_only_a, n_differ, 0.5).pvalue) if n_differ else 1.0


def _over_all(pairs: Pairs) -> dict[str, Any]:
    a, b = pairs.labels_a, pairs.labels_b
    n_a, n_b, n_both = a.sum(axis=1), b.sum(axis=1), (a & b).sum(axis=1)
    n_any = n_a + n_b - n_both
    n_changed = int((n_any > n_both).sum())
    return {
        "changed": n_changed,
        "changed_share": n_changed / len(a),
        "identical_share": 1 - n_changed / len(a),
        # Two tracks without labels agree.
        "jaccard_mean": float(np.where(n_any, n_both / np.maximum(n_any, 1), 1.0).mean()),
        "added": int((n_b - n_both).sum()),
        "removed": int((n_a - n_both).sum()),
        "lost_all": int(((n_a > 0) & (n_b == 0)).sum()),
        "gained_first": int(((n_a == 0) & (n_b > 0)).sum()),
        "per_track_a": float(n_a.mean()),
        "per_track_b": float(n_b.mean()),
    }


def _per_class(pairs: Pairs, codes: Sequence[str]) -> list[dict[str, Any]]:
    rows = [
        {"code": code} | _agreement(pairs, k) | _scores(pairs, k) for k, code in enumerate(codes)
    ]
    for row, p in zip(rows, holm([row["p_value"] for row in rows]), strict=True):
        row["p_holm"] = p
    return rows


def _agreement(pairs: Pairs, k: int) -> dict[str, Any]:
    a, b = pairs.labels_a[:, k], pairs.labels_b[:, k]
    n, both, n_a, n_b = len(a), int((a & b).sum()), int(a.sum()), int(b.sum())
    neither = n - n_a - n_b + both
    by_chance = (n_a * n_b + (n - n_a) * (n - n_b)) / n**2
    seen = (both + neither) / n
    return {
        "both": both,
        "only_a": n_a - both,
        "only_b": n_b - both,
        "neither": neither,
        "share_a": n_a / n,
        "share_b": n_b / n,
        "kappa": (seen - by_chance) / (1 - by_chance) if by_chance < 1 else None,
        "p_value": mcnemar(n_a - both, n_b - both),
    }


def _scores(pairs: Pairs, k: int) -> dict[str, Any]:
    a, b = known_scores(pairs, k)
    return {
        "mean_difference": float(np.mean(b - a)) if len(a) else None,
        "pearson": _correlation(a, b),
        "spearman": _correlation(rankdata(a), rankdata(b)),
    }


def known_scores(pairs: Pairs, k: int) -> tuple[Float64, Float64]:
    """Return A's and B's scores of a class, of the tracks for which both have one."""
    a, b = pairs.scores_a[:, k].astype(np.float64), pairs.scores_b[:, k].astype(np.float64)
    known = np.isfinite(a) & np.isfinite(b)
    return a[known], b[known]


def _correlation(a: Float64, b: Float64) -> float | None:
    if len(a) < 2 or not np.ptp(a) or not np.ptp(b):
        return None
    return float(np.corrcoef(a, b)[0, 1])


def _grid(pairs: Pairs) -> Index:
    n_classes = pairs.labels_a.shape[1]
    grid = np.zeros((n_classes + 1, n_classes + 1))
    for start in range(0, len(pairs.labels_a), _BLOCK):
        block = slice(start, start + _BLOCK)
        a, b = pairs.labels_a[block], pairs.labels_b[block]
        given, new = (
            np.column_stack([labels, ~any_of.any(axis=1)]).astype(np.float64)
            for labels, any_of in ((a, a), (b & ~a, b))
        )
        grid += given.T @ new  # whole numbers, exact in float64, and BLAS is fast
        grid[range(n_classes), range(n_classes)] += (a & b).sum(axis=0)
    return grid.astype(np.int64)
