"""The tracks of a catalogue in, groups of them that are the same recording out.

Two tracks are taken for one recording where their embeddings agree and their lengths differ by no
more than what encoders add. Files with the same fingerprint are found as well. Only tracks of
almost one length are compared, all with all: a matrix product a block of tracks.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from pipeline.arrays import Float16, Float32, Float64, Int64
from pipeline.searching.catalogue import TaggedCatalogue
from pipeline.searching.vectors import unit

MIN_SIMILARITY = 0.85
"""Similarity of whitened embeddings from which two tracks are one recording."""
MIN_COSINE = 0.98
"""The same of embeddings as they are, in a small catalogue. docs/search.md says how both did."""
LEAST_TO_WHITEN, N_COMPONENTS = 500, 64
"""Tracks from which on embeddings are whitened, and into how many numbers."""
TOLERANCE_S, TOLERANCE = 0.5, 0.005
"""Tracks may differ in length by so many s, or by this share of it: encoders add up to 0.1 s,
masters have other silences at their ends."""
_SAMPLE = 100_000
"""Tracks of which the whitening is made."""
_BLOCK = 1024

DUPLICATES = pa.schema(
    [
        pa.field("group", pa.int64()),
        pa.field("uri", pa.string()),
        pa.field("duration_s", pa.float64()),
        pa.field("size_bytes", pa.int64()),
        pa.field("similarity", pa.float32()),
        pa.field("is_same_file", pa.bool_()),
        pa.field("fingerprint", pa.string()),
    ]
)
"""One row is a track of a group. `group` counts from 1; `similarity` is that with the group's first
track, the one with the most bytes; `is_same_file` says that both have one fingerprint: the same
packets of audio, or in older rows the same bytes."""


def find_duplicates(
    catalogue: TaggedCatalogue, where: str = "", *, min_similarity: float | None = None
) -> pa.Table:
    """Return the tracks that share a recording with another one, as DUPLICATES.

    Tracks in which nothing sounds are left out: they are all alike.

    Parameters
    ----------
    catalogue
        The tagged tracks, with their embeddings.
    where
        A question; only tracks that it finds are compared.
    min_similarity
        Least similarity of one recording, -1 to 1; what was found to be right where None.
    """
    sounding = f"{where}, n_active > 0" if where.strip() else "n_active > 0"
    vectors = catalogue.embeddings.exact()
    tracks = catalogue.tracks_with_vectors(vectors, sounding).sort_by("duration_s")
    rows = tracks["row"].to_numpy()
    is_white = len(rows) >= LEAST_TO_WHITEN
    points = (whitened if is_white else unit)(vectors.matrix[rows])
    least = (
        (MIN_SIMILARITY if is_white else MIN_COSINE) if min_similarity is None else min_similarity
    )
    pairs = [np.zeros((0, 2), np.int64), *_pairs(points, tracks, least), _same_fingerprint(tracks)]
    return _groups(tracks, points, np.concatenate(pairs))


def whitened(vectors: Float16) -> Float32:
    """Return vectors along their 64 directions of most variance, `[n, 64]`, with length 1.

    Each direction has variance 1 then. What all tracks of a catalogue share, and the few directions
    that tell instruments apart, no longer outweigh what tells recordings apart.
    """
    sample = vectors[:: max(1, len(vectors) // _SAMPLE)].astype(np.float32)
    mean = sample.mean(axis=0)
    variances, directions = np.linalg.eigh(np.cov(sample, rowvar=False))
    kept = np.flatnonzero(variances > 1e-6 * variances[-1])[-N_COMPONENTS:]
    basis = (directions[:, kept] / np.sqrt(variances[kept])).astype(np.float32)
    parts = range(0, len(vectors), _BLOCK)
    return np.concatenate([unit((vectors[k : k + _BLOCK] - mean) @ basis) for k in parts])


def _pairs(points: Float32, tracks: pa.Table, least: float) -> Iterator[Int64]:
    """Yield pairs of tracks, `[n, 2]`, that are one recording; tracks are sorted by length."""
    durations_s: Float64 = tracks["duration_s"].to_numpy()
    longest_s = durations_s + np.maximum(TOLERANCE_S, TOLERANCE * durations_s)
    ends = np.searchsorted(durations_s, longest_s, side="right")
    for start in range(0, len(points), _BLOCK):
        stop = min(start + _BLOCK, len(points))
        for first in range(start, int(ends[stop - 1]), _BLOCK):
            last = min(first + _BLOCK, int(ends[stop - 1]))
            k, j = np.nonzero(points[start:stop] @ points[first:last].T >= least)
            k, j = k + start, j + first
            is_pair = (k < j) & (j < ends[k])
            yield np.stack([k[is_pair], j[is_pair]], axis=1)


def _same_fingerprint(tracks: pa.Table) -> Int64:
    """Return pairs of tracks with the same fingerprint: each with the first of them."""
    codes = tracks["fingerprint"].combine_chunks().dictionary_encode().indices.to_numpy()
    _, first, of_row = np.unique(codes, return_index=True, return_inverse=True)
    pairs = np.stack([first[of_row], np.arange(len(codes))], axis=1)
    return np.asarray(pairs[pairs[:, 0] != pairs[:, 1]], np.int64)


def _groups(tracks: pa.Table, points: Float32, pairs: Int64) -> pa.Table:
    """Return DUPLICATES of tracks that pairs connect, the largest groups first."""
    n = tracks.num_rows
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    of_track = connected_components(graph, directed=False)[1]
    sizes = np.bincount(of_track, minlength=1)[of_track]
    kept = np.flatnonzero(sizes > 1)
    n_bytes = pc.fill_null(tracks["size_bytes"], 0).to_numpy()
    kept = kept[np.lexsort((kept, -n_bytes[kept], of_track[kept], -sizes[kept]))]
    begins = np.diff(of_track[kept], prepend=-1) != 0
    firsts = kept[begins][np.cumsum(begins) - 1]
    found, own = tracks.take(pa.array(kept)), tracks["fingerprint"]
    is_same = pc.equal(own.take(pa.array(kept)), own.take(pa.array(firsts)))
    values = {
        "group": pa.array(np.cumsum(begins)),
        "similarity": pa.array(np.sum(points[kept] * points[firsts], axis=1)),
        "is_same_file": pc.and_(is_same, pa.array(kept != firsts)),
        **{key: found[key] for key in ("uri", "duration_s", "size_bytes", "fingerprint")},
    }
    columns = [values[key] for key in DUPLICATES.names]
    return pa.table(columns, names=DUPLICATES.names).cast(DUPLICATES)
