"""Groups of tracks that are one recording: by embedding and length, and by bytes."""

import numpy as np
import pytest

from pipeline.searching import duplicates
from pipeline.searching.catalogue import TaggedCatalogue
from pipeline.searching.duplicates import find_duplicates
from pipeline.store.folder import Folder
from tests.searching.folders import write, write_run
from tests.tag_rows import track


def groups(table):
    """Return the uris of each group, in its order."""
    found = {}
    for row in table.to_pylist():
        found.setdefault(row["group"], []).append(row["uri"])
    return list(found.values())


@pytest.fixture
def folder(tmp_path):
    return Folder(str(tmp_path / "run"))


def test_tracks_of_one_sound_and_one_length_are_a_group(folder):
    rows = [
        track("/a.flac", size_bytes=9000, duration_s=60.0),
        track("/a.mp3", duration_s=60.04),
        track("/other sound", duration_s=60.0),
        track("/a longer.flac", duration_s=70.0),
        track("/copy 1", (), fingerprint="blake2b:same", duration_s=5.0),
        track("/copy 2", (), fingerprint="blake2b:same", duration_s=5.0),
        track("/silence 1", (), duration_s=3.0, n_active=0),
        track("/silence 2", (), duration_s=3.0, n_active=0),
    ]
    vectors = [[1, 0], [0.99, 0.05], [0, 1], [1, 0], [0.5, 0.5], [0.5, 0.5], [0, 0], [0, 0]]
    write(folder, rows, vectors)
    write_run(folder)
    catalogue = TaggedCatalogue.open(folder.uri)
    found = find_duplicates(catalogue)
    assert groups(found) == [["/copy 1", "/copy 2"], ["/a.flac", "/a.mp3"]]
    assert found["is_same_file"].to_pylist() == [False, True, False, False]
    assert found["similarity"].to_pylist()[2:] == pytest.approx([1, 0.9987], abs=1e-3)
    assert groups(find_duplicates(catalogue, "cel")) == [["/a.flac", "/a.mp3"]]
    assert groups(find_duplicates(catalogue, min_similarity=0.9999)) == [["/copy 1", "/copy 2"]]
    assert find_duplicates(catalogue, "duration > 1000").num_rows == 0


def test_in_a_large_catalogue_what_all_tracks_share_does_not_count(folder):
    """Four in five numbers are the same in all tracks, so that plain cosines are all above 0.98."""
    rng = np.random.default_rng(4)
    own = rng.normal(size=(600, 20))
    own[300:302] = own[:2] + rng.normal(0, 0.05, (2, 20))  # two recordings once more
    vectors = np.concatenate([np.full((600, 80), 4.0), own], axis=1)
    rows = [track(f"/{k:03d}", duration_s=60.0) for k in range(600)]
    write(folder, rows, vectors)
    write_run(folder)
    found = find_duplicates(TaggedCatalogue.open(folder.uri))
    assert groups(found) == [["/000", "/300"], ["/001", "/301"]]


def test_blocks_find_what_all_pairs_have(folder, monkeypatch):
    """Against every pair, one by one."""
    rng = np.random.default_rng(3)
    centres = rng.normal(size=(30, 8))
    of_track = rng.integers(0, 30, 200)
    vectors = centres[of_track] + rng.normal(0, 0.05, (200, 8))
    lengths_s = (10 + of_track % 3 + rng.uniform(-0.6, 0.6, 200)).round(3)
    rows = [track(f"/{k:03d}", duration_s=float(s)) for k, s in enumerate(lengths_s)]
    write(folder, rows, vectors)
    write_run(folder)
    monkeypatch.setattr(duplicates, "_BLOCK", 16)
    found = groups(find_duplicates(TaggedCatalogue.open(folder.uri), min_similarity=0.98))
    halves = vectors.astype(np.float16).astype(np.float32)
    unit = halves / np.linalg.norm(halves, axis=1, keepdims=True)
    is_near = (unit @ unit.T >= 0.98) & (np.abs(lengths_s[:, None] - lengths_s) <= 0.5)
    group_of = np.arange(200)
    for _ in range(200):
        group_of = np.where(is_near, group_of, 999).min(axis=1)
    expected = {tuple(np.flatnonzero(group_of == k)) for k in group_of}
    expected = {group for group in expected if len(group) > 1}
    assert {tuple(sorted(int(uri[1:]) for uri in one)) for one in found} == expected
    assert [len(one) for one in found] == sorted(map(len, found), reverse=True)
