"""Labels of one track by hand, and of tables: the same, row by row, whatever the rows are."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipeline.errors import UsageError
from pipeline.evaluation.labels.aggregate import aggregate, confidence
from pipeline.evaluation.labels.labelling import changes, labels, labels_of_tags
from schemas.tags import tags_schema

CODES = ["cel", "pia", "voi"]
quick = settings(deadline=None, max_examples=50)
unit = st.floats(0, 1, width=32)
triple = st.lists(unit, min_size=3, max_size=3)


def row(scores, peaks, *, named=(), status="ok", n_active=5):
    structs = [None if v is None else dict(zip(CODES, v, strict=True)) for v in (scores, peaks)]
    return {
        "status": status,
        "labels": list(named),
        "scores": structs[0],
        "peaks": structs[1],
        "n_active": n_active,
    }


def table(*rows):
    return pa.Table.from_pylist(list(rows), tags_schema(CODES))


def named(tags, thresholds=(0.5, 0.5, 0.5), min_confidence=0.0):
    limits = dict(zip(CODES, thresholds, strict=True))
    return labels_of_tags(tags, thresholds=limits, min_confidence=min_confidence).to_pylist()


def test_score_and_evidence_must_both_suffice():
    scores, peaks = np.array([1.0, 0.7, 0.4]), np.array([0.5, 0.2, 0.9])
    options = {"thresholds": 0.5, "class_codes": CODES}
    assert labels(scores, peaks, min_confidence=0, **options) == ["cel", "pia"]
    assert labels(scores, peaks, min_confidence=0.3, **options) == ["cel"]
    assert labels(scores, peaks, min_confidence=0.5, **options) == ["cel"]
    assert labels(scores, peaks, min_confidence=0.51, **options) == []
    assert labels(scores, peaks, min_confidence=0.3, thresholds=[1, 0, 0.4], class_codes=CODES) == [
        "cel",
        "voi",
    ]


def test_no_windows_no_labels():
    """Even with limits of 0: what has not been heard is not there."""
    nothing = np.zeros((0, 3), np.float32)
    scores, peaks = aggregate(nothing, "s2"), confidence(nothing)
    assert labels(scores, peaks, thresholds=0, min_confidence=0, class_codes=CODES) == []
    assert named(table(row([0.0] * 3, [0.0] * 3, n_active=0)), (0, 0, 0)) == [[]]
    assert named(table(row([0.9] * 3, [0.9] * 3, n_active=0)), (0, 0, 0)) == [[]]


def test_the_gate_is_not_rounded_to_the_scores_type():
    """0.7 as a float32 is a little less than 0.7, 0.3 a little more."""
    low, high = np.array([0.7], np.float32), np.array([0.3], np.float32)
    one = np.ones(1, np.float32)
    assert labels(one, low, thresholds=0.5, min_confidence=0.7, class_codes=["cel"]) == []
    assert labels(one, high, thresholds=0.5, min_confidence=0.3, class_codes=["cel"]) == ["cel"]
    assert labels(low, one, thresholds=[0.7], min_confidence=0, class_codes=["cel"]) == []


def test_codes_and_scores_must_be_as_many():
    with pytest.raises(ValueError, match="zip"):
        labels(np.ones(2), np.ones(2), thresholds=0.5, min_confidence=0, class_codes=CODES)


@quick
@given(st.lists(st.tuples(triple, triple, st.integers(0, 3)), max_size=9), triple, unit)
def test_a_table_is_labelled_as_its_tracks(rows, thresholds, min_confidence):
    made = table(*(row(s, p, n_active=n) for s, p, n in rows))
    expected = [
        labels(
            np.array(scores, np.float32),
            np.array(peaks, np.float32),
            thresholds=thresholds,
            min_confidence=min_confidence,
            class_codes=CODES,
        )
        if n_active
        else []
        for scores, peaks, n_active in rows
    ]
    assert named(made, thresholds, min_confidence) == expected


def test_failed_rows_keep_what_they_have():
    failed = row(None, None, status="failed", n_active=None)
    odd = row([1.0] * 3, [1.0] * 3, named=["voi"], status="failed")
    good = row([1.0, 0, 0], [1.0, 0, 0], named=["voi"])
    assert named(table(failed, good, odd, failed), min_confidence=0.5) == [[], ["cel"], ["voi"], []]
    assert named(table(failed, failed)) == [[], []]


def test_tables_in_pieces_and_without_rows():
    whole = table(*(row([k / 9, 0.5, 0], [1.0] * 3) for k in range(10)))
    pieces = pa.concat_tables([whole.slice(3, 4), whole.slice(0, 0), whole.slice(7, 2)])
    assert named(pieces) == named(whole)[3:9]
    assert named(whole.slice(0, 0)) == []
    assert labels_of_tags(
        whole, thresholds=dict.fromkeys(CODES, 0.5), min_confidence=0
    ).type == pa.list_(pa.string())


def test_older_tables_know_no_gate():
    older = table(row([1.0, 0.6, 0.1], None)).drop_columns(["peaks", "n_active"])
    assert named(older) == [["cel", "pia"]]
    with pytest.raises(UsageError, match=r"confidence of 0\.3 .* of 1 rows"):
        named(older, min_confidence=0.3)
    failed = table(row(None, None, status="failed")).drop_columns(["peaks", "n_active"])
    assert named(failed, min_confidence=0.3) == [[]]


def test_rows_without_evidence_among_others():
    """Files may be joined: a row of before has null for what it does not know."""
    mixed = table(row([1.0] * 3, None, n_active=None), row([1.0] * 3, [0.6] * 3))
    assert named(mixed) == [CODES, CODES]
    with pytest.raises(UsageError, match="of 1 rows: they are from before peaks were written"):
        named(mixed, min_confidence=0.5)


def test_thresholds_must_be_of_the_classes():
    with pytest.raises(UsageError, match="expected cel, pia, voi"):
        labels_of_tags(table(row([1.0] * 3, [1.0] * 3)), thresholds={"cel": 0.5}, min_confidence=0)


def test_changes_are_counted_by_class():
    scores = [1.0] * 3
    before = table(
        row(scores, scores, named=["cel", "pia"]),
        row(scores, scores, named=["voi"]),
        row(scores, scores, named=["cel"]),
        row(None, None, named=["cel"], status="failed"),
    )
    after = [["pia", "voi"], [], ["cel"], []]
    new = before.set_column(
        before.schema.get_field_index("labels"), "labels", pa.array(after, pa.list_(pa.string()))
    )
    found = changes(before, new)
    assert (found.n_rows, found.n_failed, found.n_unlabelled, found.n_changed) == (4, 1, 1, 2)
    assert found.now == {"cel": 1, "pia": 1, "voi": 1}
    assert found.added == {"cel": 0, "pia": 0, "voi": 1}
    assert found.removed == {"cel": 1, "pia": 0, "voi": 1}
    twice = found + found
    assert (twice.n_rows, twice.removed["cel"]) == (8, 2)
