"""Columns of labels, scores and vectors in, matrices `[n_rows, n]` out, and back. PURE.

Tables hold a track's labels as a list of codes, its scores as a struct with a float a class, and
its embedding as a list of 16-bit floats.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.arrays import Bools, Float16, Floats
from pipeline.errors import SpecMismatch
from schemas.columns import CODES
from schemas.tags import scores_struct


def codes_of(schema: pa.Schema) -> list[str]:
    """Return the classes of TAGS or SCORES, in the order of their scores."""
    return [field.name for field in schema.field("scores").type]


def label_matrix(
    lists: pa.ChunkedArray, codes: Sequence[str], *, ignore_others: bool = False
) -> Bools:
    """Return a column of lists of codes as bools; null is an empty list.

    A code that is not among `codes` raises SpecMismatch, or is left out with `ignore_others`.
    """
    column = lists.combine_chunks()
    named = column.flatten()
    found = pc.index_in(named, value_set=pa.array(list(codes), pa.string()))
    if found.null_count and not ignore_others:
        strangers = pc.unique(named.filter(found.is_null())).to_pylist()
        raise SpecMismatch(f"the table has classes {strangers}; expected only {list(codes)}")
    at = found.fill_null(-1).to_numpy(zero_copy_only=False)
    rows = pc.list_parent_indices(column).to_numpy(zero_copy_only=False)
    labels = np.zeros((len(column), len(codes)), np.bool_)
    labels[rows[at >= 0], at[at >= 0]] = True
    return labels


def score_matrix(structs: pa.ChunkedArray, codes: Sequence[str]) -> Floats:
    """Return a column of scores as floats of its own width; NaN where there are none."""
    scores = structs.combine_chunks()
    columns = [pc.struct_field(scores, code).to_numpy(zero_copy_only=False) for code in codes]
    return np.column_stack(columns) if columns else np.zeros((len(scores), 0))


def label_lists(labels: Bools, codes: Sequence[str]) -> pa.ListArray:
    """Return the lists of codes of which `label_matrix` makes the same bools."""
    ends = np.append(0, np.cumsum(labels.sum(axis=1))).astype(np.int32)
    named = pa.array(list(codes), pa.string()).take(pa.array(np.nonzero(labels)[1]))
    return pa.ListArray.from_arrays(pa.array(ends), named).cast(CODES)


def score_structs(scores: Floats, codes: Sequence[str]) -> pa.StructArray:
    """Return the structs of float32 of which `score_matrix` makes the same; NaN becomes null."""
    columns = [
        pa.array(np.ascontiguousarray(row, np.float32), from_pandas=True) for row in scores.T
    ]
    return pa.StructArray.from_arrays(columns, fields=list(scores_struct(codes)))


def vector_lists(vectors: Floats) -> pa.ListArray:
    """Return vectors, `[n_rows, n_features]`, as lists of 16-bit floats.

    What is beyond their range becomes their largest number, 65,504.
    """
    largest = float(np.finfo(np.float16).max)
    halves = np.clip(vectors, -largest, largest).astype(np.float16)
    n_rows, width = halves.shape
    ends = np.arange(n_rows + 1, dtype=np.int32) * width
    return pa.ListArray.from_arrays(pa.array(ends), pa.array(halves.reshape(-1)))


def vector_matrix(lists: pa.ChunkedArray) -> Float16:
    """Return a column of lists of one length, of 16-bit or 32-bit floats, as a matrix.

    SpecMismatch where the lists are of several lengths.
    """
    chunks = [chunk for chunk in lists.chunks if len(chunk)]
    if not chunks:
        return np.zeros((0, 0), np.float16)
    width = len(chunks[0][0])
    matrix = np.empty((len(lists), width), np.float16)
    at = 0
    for chunk in chunks:
        values = chunk.flatten().to_numpy(zero_copy_only=False)
        if len(values) != len(chunk) * width:
            raise SpecMismatch("the vectors of a column are of several lengths")
        matrix[at : at + len(chunk)] = values.reshape(len(chunk), width)
        at += len(chunk)
    return matrix
