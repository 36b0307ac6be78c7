"""What a manifest says of its tracks besides: plain columns, joinable by the uri as it has it."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.store.catalogue import track_batches
from pipeline.store.manifests.manifest_columns import joined


@pytest.fixture
def music(tmp_path) -> Path:
    for name in ("a.mp3", "b.mp3"):
        (tmp_path / name).write_bytes(b"12345")
    return tmp_path


def rows(path: Path) -> list[dict[str, Any]]:
    return joined(track_batches(str(path))).to_pylist()


def own(path: Path) -> list[dict[str, Any]]:
    """Return what the manifest has of its own, without what is said of files."""
    of_files = ("uri", "size_bytes", "modified_ns")
    return [{key: value for key, value in row.items() if key not in of_files} for row in rows(path)]


def test_a_csv_s_columns_are_text_and_an_empty_cell_is_null(music):
    (music / "m.csv").write_text(
        'uri,id,artist,size_bytes\na.mp3,007,"Ada, B",5\nsub/../b.mp3,,,\n'
    )
    assert own(music / "m.csv") == [
        {"catalog_uri": "a.mp3", "id": "007", "artist": "Ada, B"},
        {"catalog_uri": "sub/../b.mp3", "id": None, "artist": None},
    ]
    assert [row["uri"] for row in rows(music / "m.csv")] == [
        str(music / "a.mp3"), str(music / "b.mp3"),
    ]  # fmt: skip


def test_names_of_tags_get_a_prefix(music):
    (music / "m.csv").write_text("uri,labels,catalog,gone_since\na.mp3,x,y,z\n")
    assert own(music / "m.csv") == [
        {"catalog_uri": "a.mp3", "catalog_labels": "x", "catalog_catalog": "y",
         "catalog_gone_since": "z"},
    ]  # fmt: skip


def test_lines_need_not_have_the_same_keys_nor_types(music):
    said = [
        {"uri": "a.mp3", "id": 1, "year": 1999, "tags": ["x", "ü"], "mixed": 1, "live": True},
        {"uri": "b.mp3", "id": 2, "loud": -9.5, "mixed": "two"},
    ]
    (music / "m.jsonl").write_text("".join(json.dumps(one) + "\n" for one in said))
    assert own(music / "m.jsonl") == [
        {"catalog_uri": "a.mp3", "id": 1, "year": 1999, "tags": '["x", "ü"]', "mixed": "1",
         "live": True, "loud": None},
        {"catalog_uri": "b.mp3", "id": 2, "year": None, "tags": None, "mixed": "two",
         "live": None, "loud": -9.5},
    ]  # fmt: skip


@pytest.mark.parametrize("is_stated", [True, False])
def test_parquet_keeps_its_types_but_lists_and_bytes(music, is_stated):
    """Both ways that it is read: as a whole, and row by row where files have to be looked at."""
    table = pa.table(
        {
            "id": pa.array([1, None], pa.int32()),
            "uri": [str(music / "a.mp3"), str(music / "b.mp3")]
            if is_stated
            else ["a.mp3", "b.mp3"],
            "day": pa.array([date(2026, 1, 2), None]),
            "kind": pa.array(["x", "x"]).dictionary_encode(),
            "cover": pa.array([b"1", b"2"]),
            "moods": pa.array([["a"], None]),
            "vector": pa.array([[0.5], [0.25]]),
            "box": pa.array([{"a": 1}, None]),
        }
    )
    if is_stated:
        table = table.append_column("size_bytes", pa.array([5, 5]))
        table = table.append_column("modified_ns", pa.array([1, 1]))
    pq.write_table(table, music / "m.parquet")
    found = own(music / "m.parquet")
    uris = table["uri"].to_pylist()
    assert found == [
        {"catalog_uri": uris[0], "id": 1, "day": date(2026, 1, 2), "kind": "x", "moods": '["a"]'},
        {"catalog_uri": uris[1], "id": None, "day": None, "kind": "x", "moods": None},
    ]


def test_a_folder_has_none_and_a_playlist_has_its_uris(music):
    assert own(music) == [{}, {}]
    (music / "p.m3u").write_text("a.mp3\n")
    assert own(music / "p.m3u") == [{"catalog_uri": "a.mp3"}]


def test_types_that_differ_from_table_to_table_have_a_common_one():
    tables = [
        pa.table({"a": [1], "b": [1], "c": [None]}),
        pa.table({"a": [0.5], "b": ["x"], "d": [True]}),
    ]
    assert joined(tables).to_pylist() == [
        {"a": 1.0, "b": "1", "c": None, "d": None},
        {"a": 0.5, "b": "x", "c": None, "d": True},
    ]
