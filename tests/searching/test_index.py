"""The index: what it finds, what it does not cover, and what a question leaves of it."""

import numpy as np
import pytest

from jobs import harness, search
from pipeline.searching.catalogue import TaggedCatalogue
from pipeline.searching.index import IndexedVectors, build_index
from pipeline.store.folder import Folder
from tests.searching.folders import write, write_run
from tests.tag_rows import MODEL, track


@pytest.fixture
def folder(tmp_path):
    """2,000 tracks in two files, every tenth with the label pia."""
    rng = np.random.default_rng(5)
    vectors = rng.normal(size=(50, 16))[rng.integers(0, 50, 2000)] + rng.normal(0, 0.3, (2000, 16))
    rows = [track(f"/{k:04d}", ("pia",) if k % 10 == 0 else ("cel",)) for k in range(2000)]
    folder = Folder(str(tmp_path / "run"))
    write(folder, rows[:1000], vectors[:1000], "a")
    write(folder, rows[1000:], vectors[1000:], "b")
    write_run(folder)
    return folder


def catalogues(folder):
    return TaggedCatalogue.open(folder.uri), TaggedCatalogue.open(folder.uri, by_index=False)


def uris(table):
    return table["uri"].to_pylist()


def test_it_finds_what_an_exact_search_finds(folder):
    record = build_index(folder, MODEL, TaggedCatalogue.open(folder.uri).embeddings.files())
    assert (record.n_vectors, record.width, len(record.files)) == (2000, 16, 2)
    by_index, exact = catalogues(folder)
    assert isinstance(by_index.embeddings.of(), IndexedVectors)
    n_found = 0
    for k in range(0, 2000, 100):
        vector = exact.vector_of(f"/{k:04d}")
        np.testing.assert_allclose(
            by_index.vector_of(f"/{k:04d}"), vector / np.linalg.norm(vector), atol=2e-3
        )
        near, expected = by_index.like(vector, limit=10), exact.like(vector, limit=10)
        n_found += len(set(uris(near)) & set(uris(expected)))
        assert near["similarity"][0].as_py() == pytest.approx(1, abs=1e-3)
        few = by_index.like(vector, "pia, uri ~ '/1*'", limit=5)  # a hundred: all are compared
        assert uris(few) == uris(exact.like(vector, "pia, uri ~ '/1*'", limit=5))
    assert n_found > 0.9 * 200


def test_what_it_does_not_cover_is_searched_exactly(folder):
    build_index(folder, MODEL, TaggedCatalogue.open(folder.uri).embeddings.files())
    own = np.zeros(16)
    own[3] = 7
    write(folder, [track("/new")], [own], "new")
    changed = [track(f"/{k:04d}", ("pia",)) for k in range(1000, 1010)]  # of the second file
    write(folder, changed, np.tile(own, (10, 1)), "b")
    by_index = TaggedCatalogue.open(folder.uri)
    assert len(by_index.embeddings.of().rest) == 11
    near = by_index.like(own.astype(np.float32), limit=11)
    assert set(uris(near)) == {"/new", *(f"/{k}" for k in range(1000, 1010))}
    assert by_index.vector_of("/new").tolist() == own.tolist()
    assert by_index.vector_of("/1500") is None  # its file has other rows now
    assert by_index.vector_of("/1003").tolist() == own.tolist()
    assert uris(by_index.like(own.astype(np.float32), "cel", limit=1)) == ["/new"]


def test_the_job_makes_it_and_says_so(folder, capsys):
    words = ["--tags", folder.uri, "--like", "/0100", "--limit", "3"]
    assert search.main([*words, "--index"]) == harness.OK
    said = capsys.readouterr()
    assert "index: 2,000 embeddings of 2 files" in said.err
    assert "by the index of 2,000 embeddings: nearly all of the nearest" in said.err
    assert search.main([*words, "--no-index"]) == harness.OK
    assert "index" not in capsys.readouterr().err
    assert sorted(path.name for path in folder.local_path("search").rglob("*.*")) == [
        *("vectors.faiss", "vectors.json", "vectors.parquet"),
    ]
