"""A tagging folder, here and in a bucket: its last rows, by questions and by likeness."""

from datetime import timedelta

import numpy as np
import pyarrow as pa
import pytest

from pipeline.errors import SpecMismatch, StoreError, UsageError
from pipeline.searching.catalogue import TaggedCatalogue
from pipeline.store.folder import Folder
from pipeline.store.tags.tagstore import TagStore
from schemas.attributes import attribute
from tests.s3 import S3Server
from tests.searching.folders import write, write_run
from tests.tag_rows import MODEL, WHEN, failed, track

VECTORS = [[1, 0, 0], [0.9, 0.1, 0], [0, 1, 0], [0, 0, 1]]
BRIGHTNESS = attribute("timbral", "brightness", "", of_track="", unit="", range="0..100")


def fill(folder):
    """Write two files: four tracks that are ok, of which one is long, and one that failed."""
    first = [track("/m/a.mp3"), track("/m/b.mp3", ("cel", "pia"), 0.5), failed("/m/broken.mp3")]
    second = [track("/m/c.mp3", ("pia",), duration_s=600.0), track("/m/d.mp3", ())]
    windows = {"/m/a.mp3": [[1, 0, 0], [0.5, 0, 0.5]], "/m/b.mp3": [[0, 0, 1]]}
    write(folder, first, VECTORS[:2], windows=windows)
    write(folder, second, VECTORS[2:], "b", windows={"/m/d.mp3": [[0, 0.1, 1]]})
    write_run(folder)
    return folder


@pytest.fixture
def folder(tmp_path):
    return fill(Folder(str(tmp_path / "run")))


def uris(table):
    return [uri.removeprefix("/m/").removesuffix(".mp3") for uri in table["uri"].to_pylist()]


@pytest.mark.parametrize("in_memory", [False, True])
def test_tracks_by_labels_scores_and_columns(folder, in_memory):
    catalogue = TaggedCatalogue.open(folder.uri, in_memory=in_memory)
    assert (catalogue.codes, catalogue.attributes, catalogue.model_id) == (
        ["cel", "pia"],
        [],
        MODEL,
    )
    assert uris(catalogue.find()) == ["a", "b", "c", "d"]
    assert uris(catalogue.find("cello and not piano")) == ["a"]
    assert uris(catalogue.find("cel > 0.2", order_by="cel desc")) == ["a", "b"]
    assert uris(catalogue.find(order_by="uri desc", limit=2, offset=1)) == ["c", "b"]
    assert uris(catalogue.find("duration > 60, n_labels = 1")) == ["c"]
    assert uris(catalogue.find("status = failed")) == ["broken"]
    assert uris(catalogue.find('tagged_at >= "2026-11-21", cel')) == ["a", "b"]
    assert catalogue.find('tagged_at > "2026-11-22"').num_rows == 0
    assert (catalogue.count(), catalogue.count("not cel"), catalogue.count("reason=empty")) == (
        4,
        2,
        1,
    )
    (row,) = catalogue.find('uri ~ "/A."', columns=["uri", "duration_s"]).to_pylist()
    assert row == {"uri": "/m/a.mp3", "duration_s": 10.0}
    with pytest.raises(UsageError, match=r"--sort 'durtion': .*\(did you mean duration\?\)"):
        catalogue.find(order_by="durtion")


def test_a_track_has_its_last_row_whatever_a_killed_run_left(folder):
    later = WHEN + timedelta(days=1)
    again = [track("/m/a.mp3", ("pia",), fingerprint="blake2b:new", tagged_at=later)]
    write(folder, again, [[0, 0.7, 0.7]], "again")
    write(folder, [track("/m/d.mp3", ())], [VECTORS[3]], "twice")
    catalogue = TaggedCatalogue.open(folder.uri)
    assert sorted(uris(catalogue.find())) == ["a", "b", "c", "d"]
    assert catalogue.find("uri ~ a.mp3")["labels"].to_pylist() == [["pia"]]
    near = catalogue.like(np.array([1, 0, 0], np.float32), limit=9)
    assert uris(near) == ["b", "a", "c", "d"]
    assert near["similarity"].to_pylist()[1] == 0


def test_after_a_night_the_rows_are_not_read_to_know_the_last(folder, monkeypatch):
    store = TagStore.open(folder.uri)
    store.compact(MODEL)
    monkeypatch.setattr(TagStore, "current_rows", lambda *_, **__: pytest.fail("rows were read"))
    assert store.replaced_rows(MODEL) == {}
    assert TaggedCatalogue.open(folder.uri).count() == 4
    write(folder, [track("/m/new.mp3")], [VECTORS[0]], "new")
    with pytest.raises(pytest.fail.Exception, match="rows were read"):
        store.replaced_rows(MODEL)


def test_files_of_several_versions_are_one_catalogue(folder):
    bright = [track("/m/bright.mp3", timbral_brightness=70.0, attributes=["timbral"])]
    write(folder, bright, [VECTORS[0]], "bright", attributes=(BRIGHTNESS,))
    old = pa.Table.from_pylist([track("/m/old.mp3")]).drop_columns(["peaks", "size_bytes"])
    place = f"model={MODEL}/date=2025-01-01/old.parquet"
    like_folder = pa.Table.from_pylist(
        [{"uri": "/m/old.mp3", "fingerprint": track("/m/old.mp3")["fingerprint"], "model_id": MODEL,
          "embedding": [0.5, 0.5, 0.0]}],
        pa.schema([*((k, pa.string()) for k in ("uri", "fingerprint", "model_id")),
                   ("embedding", pa.list_(pa.float32()))]),
    )  # fmt: skip
    folder.write_table(f"tags/{place}", old)
    folder.write_table(f"embeddings/{place}", like_folder)
    catalogue = TaggedCatalogue.open(folder.uri)
    assert catalogue.attributes == ["timbral_brightness"]
    assert uris(catalogue.find("timbral_brightness > 60")) == ["bright"]
    assert catalogue.count("peaks.cel > 0.2 or peaks.pia > 0.2") == 4
    assert catalogue.count() == 6
    assert catalogue.vector_of("/m/old.mp3").tolist() == [0.5, 0.5, 0]


def test_likeness_is_the_cosine_and_a_question_narrows_it(folder):
    catalogue = TaggedCatalogue.open(folder.uri)
    vector = catalogue.vector_of("/m/a.mp3")
    near = catalogue.like(3 * vector, limit=3)
    assert uris(near) == ["a", "b", "c"]
    expected = [1, 0.9 / np.hypot(0.9, 0.1), 0]
    assert near["similarity"].to_pylist() == pytest.approx(expected, abs=1e-3)
    assert uris(catalogue.like(vector, "pia", without="/m/a.mp3", columns=["uri"])) == ["b", "c"]
    assert uris(catalogue.like(vector, "duration > 9999")) == []
    assert catalogue.vector_of("/m/broken.mp3") is None
    with pytest.raises(SpecMismatch, match="a vector of 2 numbers; the embeddings have 3"):
        catalogue.like(np.ones(2, np.float32))


def test_windows_by_their_scores_and_their_likeness(folder):
    catalogue = TaggedCatalogue.open(folder.uri)
    assert catalogue.count(windows=True) == 4
    found = catalogue.find("cel >= 0.5, start > 0", windows=True)
    assert (uris(found), found["start_s"].to_pylist()) == (["a"], [1.0])
    assert uris(catalogue.find("pia", windows=True)) == ["b"]  # a label is the track's
    near = catalogue.like(np.array([0, 0, 1], np.float32), windows=True, limit=2)
    assert (uris(near), near["start_s"].to_pylist()) == (["b", "d"], [0.0, 0.0])
    near = catalogue.like(np.array([0, 0, 1], np.float32), "cel > 0.2", windows=True)
    assert list(zip(uris(near), near["start_s"].to_pylist(), strict=True)) == [("a", 1), ("a", 0)]
    assert [one["cel"] for one in near["scores"].to_pylist()] == [0.5, 1]  # the window's own


def test_what_a_folder_lacks_is_told_with_its_cure(tmp_path):
    folder = Folder(str(tmp_path / "run"))
    with pytest.raises(UsageError, match="no Parquet files below tags/ there"):
        TaggedCatalogue.open(folder.uri)
    write(folder, [track("/m/a.mp3")])
    write_run(folder)
    catalogue = TaggedCatalogue.open(folder.uri)
    assert not catalogue.embeddings.are_there
    with pytest.raises(UsageError, match="no embeddings/ beside its tags; tag to another --out"):
        catalogue.vector_of("/m/a.mp3")
    with pytest.raises(UsageError, match="no windows/ beside its tags"):
        catalogue.count(windows=True)
    write_run(folder, retagged_from="/there")
    with pytest.raises(UsageError, match=r"jobs\.retag writes tags alone; search in /there"):
        TaggedCatalogue.open(folder.uri).embeddings.of()
    write_run(folder, identity={"model_id": MODEL, "members": []})
    with pytest.raises(UsageError, match="the mean of several models; tag with one of them"):
        TaggedCatalogue.open(folder.uri).embeddings.of()


def test_a_file_that_is_no_parquet_is_a_line(folder):
    folder.write_bytes(f"tags/model={MODEL}/part=0-of-1/date=2026-11-21/c.parquet", b"PAR1")
    with pytest.raises(StoreError, match="cannot read"):
        TaggedCatalogue.open(folder.uri).count()


def test_in_a_bucket_it_is_the_same(folder):
    with S3Server() as server:
        there = fill(Folder(server.uri("run")))
        catalogue, here = TaggedCatalogue.open(there.uri), TaggedCatalogue.open(folder.uri)
        for question in ("", "cel and not pia", "pia > 0.6, duration > 60", "status = failed"):
            assert catalogue.find(question).equals(here.find(question))
        vector = catalogue.vector_of("/m/a.mp3")
        assert catalogue.like(vector, "pia").equals(here.like(vector, "pia"))
        assert catalogue.count("cel > 0.2", windows=True) == here.count("cel > 0.2", windows=True)


def test_windows_of_a_track_with_two_rows_are_there_once(tmp_path):
    folder = Folder(str(tmp_path))
    windows = {"/m/a": [[0.9, 0.1], [0.8, 0.1]], "/m/b": [[0.2, 0.1]]}
    write(folder, [track("/m/a"), track("/m/b")], [[1, 0], [0, 1]], "one", windows)
    later = track("/m/a", tagged_at=WHEN + timedelta(hours=1))
    write(folder, [later], [[1, 0]], "two", {"/m/a": windows["/m/a"]})
    write_run(folder)
    catalogue = TaggedCatalogue.open(folder.uri)
    found = catalogue.find(windows=True, columns=["uri", "window"]).to_pylist()
    assert sorted((row["uri"], row["window"]) for row in found) == [
        ("/m/a", 0), ("/m/a", 1), ("/m/b", 0)
    ]  # fmt: skip
    assert catalogue.count(windows=True) == 3
