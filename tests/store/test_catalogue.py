"""A catalogue in every form it may have, and what of it is left to tag."""

import os

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import DecodeError, TableError, UsageError
from pipeline.store.catalogue import list_tracks, open_track
from pipeline.store.folder import Folder
from pipeline.store.tagstore import TagStore, left_to_tag
from schemas.tags import tags_schema


@pytest.fixture
def music(tmp_path):
    for name in ["b.mp3", "a.wav", "sub/ü 'x\".FLAC", "notes.txt", "cover.jpg"]:
        path = tmp_path / "music" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(name.encode())
    return tmp_path / "music"


def uris(catalog) -> list[str]:
    return list_tracks(str(catalog))["uri"].to_pylist()


def test_a_folder_gives_its_audio_files(music):
    assert uris(music) == [str(music / n) for n in ("a.wav", "b.mp3", "sub/ü 'x\".FLAC")]


def test_a_glob_gives_what_it_matches(music):
    assert uris(music / "*.mp3") == [str(music / "b.mp3")]
    assert len(uris(music / "**" / "*")) == 3


def test_one_file_is_a_catalogue(music):
    assert uris(music / "a.wav") == [str(music / "a.wav")]


def test_a_uri_is_listed(music):
    assert len(uris(f"file://{music}")) == 3


def test_manifests_keep_every_row_and_count_relative_paths_from_themselves(music):
    (music / "m.csv").write_text("title,uri\nx,a.wav\ny,gone.wav\nx,a.wav\n")
    pq.write_table(pa.table({"uri": ["b.mp3", str(music / "a.wav")]}), music / "m.parquet")
    tracks = list_tracks(str(music / "m.csv"))
    assert tracks["uri"].to_pylist() == [str(music / "a.wav"), str(music / "gone.wav")]
    assert tracks["size_bytes"].to_pylist() == [5, None]
    assert uris(music / "m.parquet") == [str(music / "a.wav"), str(music / "b.mp3")]


def test_what_is_no_catalogue_is_told(music, tmp_path):
    (music / "bad.csv").write_text("path\na.wav\n")
    (music / "empty.csv").write_text("uri\n")
    (music / "gap.csv").write_text("uri,x\na.wav,1\n,2\n")
    (music / "text.parquet").write_text("x")
    with pytest.raises(TableError, match=r"bad\.csv:1: .*expected a column 'uri'"):
        list_tracks(str(music / "bad.csv"))
    with pytest.raises(TableError, match=r"gap\.csv:3: found an empty value"):
        list_tracks(str(music / "gap.csv"))
    for catalog in (music / "empty.csv", tmp_path / "nowhere", music / "*.aiff"):
        with pytest.raises(UsageError, match="no tracks"):
            list_tracks(str(catalog))
    with pytest.raises(UsageError, match=r"text\.parquet"):
        list_tracks(str(music / "text.parquet"))


def test_a_fingerprint_is_of_the_bytes_not_the_name(music):
    (music / "copy.wav").write_bytes((music / "a.wav").read_bytes())
    prints = [open_track(str(music / n))[1] for n in ("a.wav", "copy.wav", "b.mp3")]
    assert prints[0] == prints[1] != prints[2]
    assert prints[0].startswith("blake2b:")


@pytest.mark.parametrize("uri", ["/nowhere/x.wav", "/", "s3x://b/x.wav"])
def test_a_track_that_cannot_be_read_is_a_fault_of_the_track(uri):
    with pytest.raises(DecodeError, match="unreadable"):
        open_track(uri)


def test_a_fifo_does_not_hang(tmp_path):
    os.mkfifo(tmp_path / "x.wav")
    with pytest.raises(DecodeError, match="not a regular file"):
        open_track(str(tmp_path / "x.wav"))


def tags(rows: list[tuple[str, int]], model_id: str = "m") -> pa.Table:
    return pa.Table.from_pylist(
        [{"uri": u, "size_bytes": n, "modified_ns": n, "model_id": model_id} for u, n in rows],
        tags_schema(["cel"]),
    )


def test_only_what_is_new_or_changed_is_left(tmp_path):
    store = TagStore(Folder(str(tmp_path)))
    store.commit(tags([("a", 1), ("b", 1)]))
    store.commit(tags([("c", 1), ("d", 1)], model_id="other"))
    tracks = tags([("a", 1), ("b", 2), ("c", 1)]).select(["uri", "size_bytes", "modified_ns"])
    left, changed = left_to_tag(tracks, store.known("m"))
    assert left["uri"].to_pylist() == ["b", "c"]
    assert changed.to_pylist() == ["b"]
    store.forget(changed, "m")
    store.commit(tags([("b", 2), ("c", 1)]))
    rows = store.read(["uri", "size_bytes", "model_id"]).to_pylist()
    assert sorted((r["model_id"], r["uri"], r["size_bytes"]) for r in rows) == [
        ("m", "a", 1), ("m", "b", 2), ("m", "c", 1), ("other", "c", 1), ("other", "d", 1)
    ]  # fmt: skip


def test_a_batch_written_twice_is_there_once(tmp_path):
    store = TagStore(Folder(str(tmp_path)))
    for _ in range(2):
        store.commit(tags([("a", 1)]))
    assert store.read().num_rows == 1
