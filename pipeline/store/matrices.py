"""Columns of labels and scores in, matrices `[n_rows, n_classes]` out, and back. PURE.

Tables hold a track's labels as a list of codes and its scores as a struct with a float a class.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.arrays import Bools, Floats
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
