"""Embeddings in a file: the same numbers for other people's tools, and joined with older ones."""

import datasets
import duckdb
import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import SpecMismatch
from pipeline.store.folder import Folder
from pipeline.store.matrices import vector_lists, vector_matrix
from pipeline.store.tags.tagfiles import write_tags
from pipeline.store.tags.tagstore import TagStore
from schemas.timeline import VECTOR
from tests.searching.folders import write
from tests.tag_rows import MODEL, WHEN, track

VECTORS = np.array([[0.5, -1.25, 3e-5], [65504, 0, 1]], np.float32)
HALVES = VECTORS.astype(np.float16)


@pytest.fixture
def path(tmp_path):
    rows = pa.table({"uri": ["/a", "/b"], "embedding": vector_lists(VECTORS)})
    write_tags(Folder(str(tmp_path)), "a.parquet", rows, {"embeddings": rows})
    return tmp_path / "embeddings" / "a.parquet"


def test_other_people_s_tools_read_16_bits(path, tmp_path):
    assert pq.read_schema(path).field("embedding").type == VECTOR
    expected = HALVES.astype(float).tolist()
    assert [
        each for (each,) in duckdb.sql(f"select embedding from '{path}'").fetchall()
    ] == expected
    assert polars.read_parquet(path)["embedding"].to_list() == expected
    assert [each.tolist() for each in pd.read_parquet(path)["embedding"]] == expected
    loaded = datasets.load_dataset(
        "parquet", data_files=str(path), split="train", cache_dir=str(tmp_path / "cache")
    )
    assert [row["embedding"] for row in loaded] == expected


def test_what_16_bits_cannot_hold_is_their_largest_number():
    lists = vector_lists(np.array([[1e9, -1e9, 1.0]]))
    assert lists.to_pylist() == [[65504.0, -65504.0, 1.0]]


def test_lists_and_matrices_are_the_same_in_chunks_and_slices():
    lists = pa.chunked_array([vector_lists(VECTORS), vector_lists(VECTORS).slice(1)])
    assert vector_matrix(lists).tolist() == [*HALVES.tolist(), HALVES[1].tolist()]
    assert vector_matrix(lists.slice(1, 1)).tolist() == [HALVES[1].tolist()]
    assert vector_matrix(pa.chunked_array([], VECTOR)).shape == (0, 0)
    with pytest.raises(SpecMismatch, match="several lengths"):
        vector_matrix(pa.chunked_array([pa.array([[1.0], [1.0, 2.0]], pa.list_(pa.float32()))]))


def test_files_of_32_and_of_16_bits_become_one(tmp_path):
    folder = Folder(str(tmp_path))
    write(folder, [track("/a")], [[1, 2, 3]], "a")
    write(folder, [track("/b", tagged_at=WHEN)], [[4, 5, 6]], "b")
    (old, _) = sorted(tmp_path.glob("embeddings/**/*.parquet"))
    rows = pq.read_table(old, partitioning=None)
    wide = rows["embedding"].cast(pa.list_(pa.float32()))
    pq.write_table(rows.set_column(3, "embedding", wide), old)
    TagStore(folder).compact(MODEL)
    (joined,) = tmp_path.glob("embeddings/**/*.parquet")
    found = pq.read_table(joined, partitioning=None)
    assert found.schema.field("embedding").type == VECTOR
    assert found["embedding"].to_pylist() == [[1, 2, 3], [4, 5, 6]]
