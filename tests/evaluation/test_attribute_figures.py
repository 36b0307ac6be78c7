"""Figures of attributes over batches of rows: those of all rows at once."""

import numpy as np
import pyarrow as pa
import pytest

from pipeline.evaluation.runs.attribute_figures import AttributeSummary
from schemas.attributes import attribute

FIELD = attribute("made", "a", "more of it", of_track="", unit="", range="0..100")


def rows(values, first=0) -> pa.Table:
    uris = [f"u{first + k:03d}" for k in range(len(values))]
    return pa.table({"uri": uris, "made_a": pa.array(values, pa.float32())})


def test_known_numbers():
    summary = AttributeSummary([FIELD])
    summary.add(rows([10.0, None, 50.0, float("nan")]))
    summary.add(rows([-5.0, 130.0, 50.0, 10.0], 4))
    (one,) = summary.figures()
    assert (one.name, one.meaning, one.range) == ("made_a", "more of it", (0, 100))
    values = [10, 50, -5, 130, 50, 10]
    assert (one.n_tracks, one.mean) == (6, pytest.approx(np.mean(values)))
    assert one.deviation == pytest.approx(np.std(values))
    assert {k: n for k, n in enumerate(one.counts) if n} == {0: 1, 2: 2, 12: 2, 24: 1}
    assert one.lowest == [(-5, "u004"), (10, "u000"), (10, "u007")]
    assert one.highest == [(130, "u005"), (50, "u002"), (50, "u006")]


def test_batches_make_no_difference(rng):
    values = rng.normal(50, 30, 500)
    whole, parts = AttributeSummary([FIELD]), AttributeSummary([FIELD])
    whole.add(rows(values))
    for start in range(0, 500, 7):
        parts.add(rows(values[start : start + 7], start))
    (a,), (b,) = whole.figures(), parts.figures()
    assert (a.counts, a.lowest, a.highest, a.n_tracks) == (b.counts, b.lowest, b.highest, 500)
    assert b.mean == pytest.approx(a.mean) and b.deviation == pytest.approx(a.deviation)


def test_no_values_at_all():
    summary = AttributeSummary([FIELD])
    summary.add(rows([None, None]))
    (one,) = summary.figures()
    assert (one.n_tracks, sum(one.counts), one.lowest, one.highest) == (0, 0, [], [])
    assert np.isnan(one.mean) and np.isnan(one.deviation)
