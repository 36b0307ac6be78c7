"""Rows in memory and in a file: whatever is asked for, both give the same."""

import pickle

import pyarrow as pa
import pytest

from pipeline.store.folder import Folder
from pipeline.store.tags.work import work_table
from pipeline.store.tags.work.work_table import WorkTable

ROWS = pa.table({"k": range(100), "text": [f"track {k}" for k in range(100)]})


@pytest.mark.parametrize(
    ("first", "n_rows"), [(0, 100), (0, 1), (8, 8), (7, 20), (95, 99), (99, 1)]
)
def test_slices_are_those_of_the_table(tmp_path, monkeypatch, first, n_rows):
    monkeypatch.setattr(work_table, "_ROWS_A_GROUP", 8)
    in_file = WorkTable.in_file(ROWS, Folder(str(tmp_path)), "work/x.parquet")
    wanted = ROWS.slice(first, n_rows)
    for whole in (in_file, WorkTable.in_memory(ROWS)):
        some = whole.slice(first, n_rows)
        assert some.n_rows == wanted.num_rows
        assert some.read() == wanted
        assert some.slice(0, 1).read() == wanted.slice(0, 1)


def test_what_is_in_a_file_is_small(tmp_path):
    folder = Folder(str(tmp_path))
    in_file = WorkTable.in_file(ROWS, folder, "work/x.parquet")
    assert len(pickle.dumps(in_file)) < 1000
    assert pickle.loads(pickle.dumps(in_file)).read() == ROWS
