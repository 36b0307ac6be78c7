"""A file appears whole or not at all, locally and over a filesystem of pyarrow's."""

import errno
import fcntl
import multiprocessing
import os
import resource

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import StoreError, UsageError
from pipeline.store.catalogue import list_tracks
from pipeline.store.folder import Folder
from pipeline.store.track import open_track
from tests.waiting import wait_for


def test_roundtrip(tmp_path):
    folder = Folder(str(tmp_path / "new"))
    table = pa.table({"a": [1, 2]})
    folder.write_table("sub/t.parquet", table)
    folder.write_json("x.json", {"é": [1, None]})
    assert folder.read_table("sub/t.parquet").equals(table)
    assert folder.read_json("x.json") == {"é": [1, None]}
    assert folder.names("sub") == ["sub/t.parquet"]
    assert folder.names("nowhere") == []
    assert not folder.exists("sub")
    assert sorted(name for name, _, _ in folder.walk()) == ["sub/t.parquet", "x.json"]
    folder.delete("x.json")
    folder.delete("x.json")
    assert not folder.exists("x.json")


def test_a_path_with_odd_characters(tmp_path):
    folder = Folder(str(tmp_path / "a b%20#?é"))
    folder.write_bytes("x y.json", b"1")
    assert folder.read_bytes("x y.json") == b"1"
    assert (tmp_path / "a b%20#?é" / "x y.json").read_bytes() == b"1"


def test_a_uri_is_the_same_folder(tmp_path):
    Folder(f"file://{tmp_path}/d").write_bytes("x", b"1")
    assert Folder(str(tmp_path / "d")).read_bytes("x") == b"1"
    with pytest.raises(UsageError, match="nonsense"):
        Folder("nonsense://x")


def test_a_write_that_breaks_leaves_the_old_file_and_no_other(tmp_path):
    folder = Folder(str(tmp_path))
    folder.write_bytes("x", b"old")

    class Broken(Exception):
        pass

    with pytest.raises(Broken), folder._writing("x") as stream:
        stream.write(b"new")
        raise Broken
    assert folder.read_bytes("x") == b"old"
    assert os.listdir(tmp_path) == ["x"]


def test_a_full_disk_says_what_to_do(tmp_path):
    folder = Folder(str(tmp_path))
    with pytest.raises(StoreError, match=r"cannot write .*/x: .*free some space"):
        with folder._writing("x"):
            raise OSError(errno.ENOSPC, "No space left on device")


def test_a_file_that_does_not_fit_leaves_none(tmp_path):
    folder = Folder(str(tmp_path))
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, limits[1]))
    try:
        with pytest.raises(StoreError, match=r"cannot write .*/t\.parquet: .*free some space"):
            table = pa.table({"a": list(range(200_000))})
            folder.write_table("t.parquet", table, use_dictionary=False, compression="none")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert os.listdir(tmp_path) == []


def test_a_folder_that_is_not_there_has_no_files(tmp_path):
    folder = Folder(str(tmp_path / "none"))
    assert list(folder.walk()) == folder.names("") == []


def test_tracks_by_file_uris_open_again(tmp_path):
    for name in ("Is it? Yes/100% #1.mp3", "a b/é.mp3"):
        (tmp_path / name).parent.mkdir()
        (tmp_path / name).write_bytes(b"1")
    tracks = list_tracks(f"file://{tmp_path}").to_pylist()
    assert [open_track(track["uri"]).read_bytes() for track in tracks] == [b"1", b"1"]


def test_what_cannot_be_written_or_read_is_named(tmp_path):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(StoreError, match="file/x"):
        Folder(str(tmp_path / "file")).write_bytes("x", b"")
    with pytest.raises(StoreError, match="missing"):
        Folder(str(tmp_path)).read_table("missing")
    (tmp_path / "bad.json").write_text("{")
    with pytest.raises(StoreError, match=r"bad\.json: not json"):
        Folder(str(tmp_path)).read_json("bad.json")


def test_what_a_killed_writer_left_is_cleared(tmp_path):
    folder = Folder(str(tmp_path))
    folder.write_bytes("sub/x.parquet", b"1")
    (tmp_path / "sub" / ".y.parquet.0a1b2c3d.tmp").write_bytes(b"half")
    assert folder.names("sub") == ["sub/x.parquet"]
    folder.delete_temporary("sub")
    assert os.listdir(tmp_path / "sub") == ["x.parquet"]


def _hold(path, ready):
    with Folder(path).claimed():
        ready.set()
        multiprocessing.parent_process().join()  # until it is killed


def test_a_folder_has_one_writer_and_a_killed_one_frees_it(tmp_path):
    context = multiprocessing.get_context("spawn")
    ready = context.Event()
    holder = context.Process(target=_hold, args=(str(tmp_path), ready))
    holder.start()
    wait_for(ready.is_set, holder)
    told = rf"another job is writing there: .+ on .+ \(process {holder.pid}\), since 20\d\d-"
    with pytest.raises(UsageError, match=told):
        with Folder(str(tmp_path)).claimed():
            pass
    holder.kill()
    holder.join()
    with Folder(str(tmp_path)).claimed():
        pass


def test_a_lock_holds_where_there_is_no_room_to_say_whose_it_is(tmp_path):
    (tmp_path / ".lock").symlink_to("/dev/full")
    with Folder(str(tmp_path)).claimed():
        with pytest.raises(UsageError, match=r"another job is writing there$"):
            with Folder(str(tmp_path)).claimed():
                pass


def test_a_file_system_without_locks_is_said_once_and_serves(tmp_path, monkeypatch, caplog):
    def refuse(*_):
        raise OSError(errno.ENOTSUP, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", refuse)
    for _ in range(2):
        with Folder(str(tmp_path)).claimed():
            Folder(str(tmp_path)).write_bytes("a", b"1")
    (warning,) = caplog.messages
    assert str(tmp_path) in warning and "no locks" in warning


def test_a_file_in_a_folder_s_place_is_told(tmp_path):
    (tmp_path / "file").write_text("x")
    for uri in (tmp_path / "file", tmp_path / "file" / "below"):
        with pytest.raises(UsageError, match=r"file is a file; name a folder"):
            with Folder(str(uri)).claimed():
                pass


def test_a_table_is_plain_parquet(tmp_path):
    Folder(str(tmp_path)).write_table("t.parquet", pa.table({"a": [1]}))
    assert pq.read_table(tmp_path / "t.parquet").to_pydict() == {"a": [1]}
