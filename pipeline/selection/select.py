"""AudioSet rows and a vocabulary in, selected segments out: `segment_id ... classes, unknown`.

A class is there, not there, or unknown (see `instruments.toml`). PURE.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from pipeline.selection.vocabulary import Vocabulary
from schemas.columns import CODES

Masks = npt.NDArray[np.uint64]

_WORD_BITS = 64


def select(rows: pa.Table, vocabulary: Vocabulary) -> pa.Table:
    """Return the rows that have a class, in their order, with `segment_id, classes, unknown`.

    A segment that stands in several files is kept once, with the labels of its first row.
    """
    masks = class_masks(rows["mids"].combine_chunks(), vocabulary)
    has_class = masks.any(axis=1)
    chosen = rows.filter(pa.array(has_class))
    unknown = unknown_masks(chosen["mids"].combine_chunks(), vocabulary)
    chosen = chosen.append_column("classes", _codes_of(masks[has_class], vocabulary.codes))
    chosen = chosen.append_column("unknown", _codes_of(unknown, vocabulary.codes))
    chosen = chosen.add_column(0, "segment_id", segment_ids(chosen["ytid"], chosen["start_s"]))
    _, first = np.unique(
        pc.dictionary_encode(chosen["segment_id"].combine_chunks()).indices.to_numpy(),
        return_index=True,
    )
    return chosen.take(np.sort(first))


def select_counts(rows: pa.Table, chosen: pa.Table, vocabulary: Vocabulary) -> dict[str, int]:
    """Return how many rows were read and chosen, and why the others were not."""
    mids = rows["mids"].combine_chunks()
    excluded = _masks(mids, vocabulary, "any_of") & _masks(mids, vocabulary, "none_of")
    has_class, is_excluded = class_masks(mids, vocabulary).any(axis=1), excluded.any(axis=1)
    return {
        "rows": rows.num_rows,
        "without_class": int((~has_class & ~is_excluded).sum()),
        "excluded": int((~has_class & is_excluded).sum()),
        "lost_a_class": int((has_class & is_excluded).sum()),
        "repeated": int(has_class.sum()) - chosen.num_rows,
        "chosen": chosen.num_rows,
    }


def class_masks(mids: pa.ListArray, vocabulary: Vocabulary) -> Masks:
    """Return bit masks, `[n_rows, n_words]`: bit k of a row's words is set for the k-th class."""
    return _masks(mids, vocabulary, "any_of") & ~_masks(mids, vocabulary, "none_of")


def unknown_masks(mids: pa.ListArray, vocabulary: Vocabulary) -> Masks:
    """Return bit masks like `class_masks`: of the classes of which the labels say nothing.

    Those that `none_of` took away, and those that an id of `unknown_if` leaves open. Such an id of
    several classes says nothing of any where one of them is labelled.
    """
    named = _masks(mids, vocabulary, "any_of")
    families = _entry_masks(mids, vocabulary, "unknown_if")  # [n_labels, n_words]
    named_by_row = np.repeat(named, np.diff(mids.offsets.to_numpy()), axis=0)
    families[(families & named_by_row).any(axis=1)] = 0
    return (named & _masks(mids, vocabulary, "none_of")) | (_by_row(families, mids) & ~named)


def segment_ids(ytid: pa.ChunkedArray, start_s: pa.ChunkedArray) -> pa.ChunkedArray:
    """Return the key of every segment: '{ytid}_{start in ms}'."""
    start_ms = pc.cast(pc.round(pc.multiply(start_s, 1000.0)), pa.int64())
    return pc.binary_join_element_wise(ytid, pc.cast(start_ms, pa.string()), "_")


def _masks(mids: pa.ListArray, vocabulary: Vocabulary, rule: str) -> Masks:
    """Return bit masks a row: bit k is set when the row has an id of the k-th class's rule."""
    return _by_row(_entry_masks(mids, vocabulary, rule), mids)


def _entry_masks(mids: pa.ListArray, vocabulary: Vocabulary, rule: str) -> Masks:
    """Return the same for every single id of the rows, one after the other."""
    ids = pc.dictionary_encode(mids.flatten())
    row_of = {mid: row for row, mid in enumerate(ids.dictionary.to_pylist())}
    n_words = -(-len(vocabulary.instruments) // _WORD_BITS)
    table = np.zeros((len(row_of), n_words), np.uint64)
    for k, instrument in enumerate(vocabulary.instruments):
        for mid in getattr(instrument, rule):
            if mid in row_of:
                table[row_of[mid], k // _WORD_BITS] |= np.uint64(1 << k % _WORD_BITS)
    entries: Masks = table[ids.indices.to_numpy()]
    return entries


def _by_row(entries: Masks, mids: pa.ListArray) -> Masks:
    """Return the bits of all the ids of a row, joined."""
    none = np.zeros((1, entries.shape[1]), np.uint64)  # a slot for empty last rows
    values = np.concatenate([entries, none])
    offsets = mids.offsets.to_numpy().astype(np.int64) - mids.offsets[0].as_py()
    per_row = np.bitwise_or.reduceat(values, offsets[:-1]) if len(offsets) > 1 else values[:0]
    per_row[np.diff(offsets) == 0] = 0
    return per_row


def _codes_of(masks: Masks, codes: Sequence[str]) -> pa.ListArray:
    distinct, index = np.unique(masks, axis=0, return_inverse=True)
    lists = [
        [c for k, c in enumerate(codes) if int(words[k // _WORD_BITS]) >> k % _WORD_BITS & 1]
        for words in distinct
    ]
    return pa.array(lists, CODES).take(pa.array(index))
