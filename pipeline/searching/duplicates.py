"""The tracks of a catalogue in, groups of them that are the same recording out.

Two tracks are taken for one recording where their embeddings agree (cosine similarity) and their
lengths differ by no more than what encoders add. Files with the same bytes are found as well. Only
tracks of almost one length are compared, all with all: a matrix product a block of tracks.
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
from pipeline.searching.vectors import Vectors

MIN_SIMILARITY = 0.97
"""Cosine similarity from which two tracks are one recording: docs/search.md says how it was found."""
TOLERANCE_S, TOLERANCE = 0.5, 0.005
"""Tracks may differ in length by this many s, or by this share of the longer one's length: encoders
add up to 0.1 s, masters have other silences at their ends."""
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
track, the one with the most bytes; `is_same_file` says that both have the same bytes."""


def find_duplicates(
    catalogue: TaggedCatalogue, where: str = "", *, min_similarity: float = MIN_SIMILARITY
) -> pa.Table:
    """Return the tracks that share a recording with another one, as DUPLICATES.

    Parameters
    ----------
    catalogue
        The tagged tracks, with their embeddings.
    where
        A question; only tracks that it finds are compared.
    min_similarity
        Least cosine similarity of the embeddings of one recording, -1 to 1.
    """
    vectors = catalogue.vectors()
    tracks = catalogue.tracks_with_vectors(where).sort_by("duration_s")
    rows = tracks["row"].to_numpy()
    pairs = np.concatenate(
        [np.zeros((0, 2), np.int64), *_pairs(vectors, rows, tracks, min_similarity)]
    )
    return _groups(tracks, vectors, rows, pairs)


def _pairs(
    vectors: Vectors, rows: Int64, tracks: pa.Table, min_similarity: float
) -> Iterator[Int64]:
    """Yield pairs of tracks, `[n, 2]`, that are one recording; tracks are sorted by length."""
    durations_s: Float64 = tracks["duration_s"].to_numpy()
    longest_s = durations_s + np.maximum(TOLERANCE_S, TOLERANCE * durations_s)
    ends = np.searchsorted(durations_s, longest_s, side="right")
    for start in range(0, len(rows), _BLOCK):
        stop = min(start + _BLOCK, len(rows))
        mine = _unit(vectors.matrix[rows[start:stop]])
        for first in range(start, int(ends[stop - 1]), _BLOCK):
            last = min(first + _BLOCK, int(ends[stop - 1]))
            others = _unit(vectors.matrix[rows[first:last]])
            k, j = np.nonzero(mine @ others.T >= min_similarity)
            k, j = k + start, j + first
            is_pair = (k < j) & (j < ends[k])
            yield np.stack([k[is_pair], j[is_pair]], axis=1)
    yield _same_bytes(tracks)


def _same_bytes(tracks: pa.Table) -> Int64:
    """Return pairs of tracks with the same bytes: each with the first of them."""
    codes = tracks["fingerprint"].combine_chunks().dictionary_encode().indices.to_numpy()
    _, first, of_row = np.unique(codes, return_index=True, return_inverse=True)
    pairs = np.stack([first[of_row], np.arange(len(codes))], axis=1)
    return pairs[pairs[:, 0] != pairs[:, 1]]


def _groups(tracks: pa.Table, vectors: Vectors, rows: Int64, pairs: Int64) -> pa.Table:
    """Return DUPLICATES of tracks that pairs connect, the largest groups first."""
    n = tracks.num_rows
    graph = coo_array((np.ones(len(pairs)), (pairs[:, 0], pairs[:, 1])), shape=(n, n))
    _, of_track = connected_components(graph, directed=False)
    sizes = np.bincount(of_track, minlength=1)[of_track]
    kept = np.flatnonzero(sizes > 1)
    n_bytes = pc.fill_null(tracks["size_bytes"], 0).to_numpy()
    kept = kept[np.lexsort((kept, -n_bytes[kept], of_track[kept], -sizes[kept]))]
    begins = np.r_[True, of_track[kept][1:] != of_track[kept][:-1]] if len(kept) else kept == 0
    numbers = np.cumsum(begins)
    firsts = kept[np.flatnonzero(begins)][numbers - 1]
    similarity = _each(vectors.matrix, rows[kept], rows[firsts])
    found = tracks.take(pa.array(kept))
    own, of_first = found["fingerprint"], tracks["fingerprint"].take(pa.array(firsts))
    values = {
        "group": pa.array(numbers),
        "similarity": pa.array(similarity),
        "is_same_file": pc.and_(pc.equal(own, of_first), pa.array(kept != firsts)),
        **{key: found[key] for key in ("uri", "duration_s", "size_bytes", "fingerprint")},
    }
    return pa.table([values[key] for key in DUPLICATES.names], names=DUPLICATES.names).cast(
        DUPLICATES
    )


def _each(matrix: Float16, rows: Int64, others: Int64) -> Float32:
    """Return the cosine similarity of each row with another one."""
    parts = [
        np.sum(_unit(matrix[rows[k : k + _BLOCK]]) * _unit(matrix[others[k : k + _BLOCK]]), axis=1)
        for k in range(0, len(rows), _BLOCK)
    ]
    return np.concatenate([np.zeros(0, np.float32), *parts])


def _unit(vectors: Float16) -> Float32:
    """Return vectors with a length of 1; those of length 0 stay, and are like none."""
    floats = vectors.astype(np.float32)
    length = np.linalg.norm(floats, axis=1, keepdims=True)
    return np.divide(floats, length, out=floats, where=length > 0)
