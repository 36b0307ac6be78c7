"""Which tracks a catalogue speaks for: what it would list, if it were there, and no others."""

from __future__ import annotations

from pathlib import Path

import pytest

from pipeline.store.catalogue import list_tracks
from pipeline.store.reach import reach_of
from tests.s3 import S3Server

NAMES = (
    "a.mp3", "b.flac", ".hidden.mp3", "[x].mp3", "sub/a.mp3", "sub/deep/c.mp3", ".dir/d.mp3",
    "sub/1.mp3", "sub2/1.mp3", "notes.txt", "sub/[y] z/e.mp3", "line\nbreak.mp3",
)  # fmt: skip
GLOBS = (
    "*.mp3", "**/*.mp3", "**", "sub/*", "sub/**", "*/?.mp3", "[ab].*", "[!a].*", "[[]x].mp3",
    "sub*/[0-9].mp3", "**/deep/*", ".dir/*", ".*", "sub/[[]y] z/*",
)  # fmt: skip


@pytest.fixture(scope="module")
def music(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("reach") / "music"
    for name in NAMES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def uris(music: Path) -> list[str]:
    return [str(music / name) for name in NAMES]


def chosen(catalog: str, names: list[str]) -> set[str]:
    found = reach_of(catalog).chosen(names)
    return {name for name, is_in in zip(names, found, strict=True) if is_in}


@pytest.mark.parametrize("pattern", GLOBS)
def test_a_glob_speaks_for_what_it_lists(music, pattern):
    listed = set(list_tracks(str(music / pattern))["uri"].to_pylist())
    assert chosen(str(music / pattern), uris(music)) == listed


def test_a_folder_speaks_for_all_audio_below_it_and_not_for_its_neighbour(music):
    audio = {uri for uri in uris(music) if not uri.endswith(".txt")}
    assert chosen(str(music), uris(music)) == audio
    assert chosen(f"{music}/", uris(music)) == audio
    assert chosen(music.as_uri(), uris(music)) == audio
    below = {uri for uri in audio if uri.startswith(f"{music}/sub/")}
    assert chosen(str(music / "sub"), uris(music)) == below
    assert chosen(str(music / "sub2"), uris(music)) == {str(music / "sub2/1.mp3")}


def test_a_file_speaks_for_nothing_and_a_manifest_by_its_name(music, tmp_path, monkeypatch):
    assert not chosen(str(music / "a.mp3"), uris(music))
    assert not chosen("https://host/a.mp3", ["https://host/a.mp3"])
    (tmp_path / "m.csv").write_text("uri\na.mp3\n")
    assert reach_of(str(tmp_path / "m.csv")).manifest == str(tmp_path / "m.csv")
    monkeypatch.chdir(tmp_path)
    assert reach_of("m.csv") == reach_of(str(tmp_path / "m.csv"))
    assert not chosen("m.csv", uris(music))


def test_a_bucket_speaks_for_what_it_lists():
    names = ["a.mp3", "sub/b.mp3", "sub/deep/c.mp3", "n.txt"]
    with S3Server() as server:
        server.fill([f"m/{name}" for name in names], b"x")
        there = [server.uri(f"m/{name}") for name in names]
        elsewhere = [server.uri(f"other/{name}") for name in names]
        for catalog in ("m", "m/sub", "m/*", "m/**/*.mp3", "m/sub/*"):
            listed = set(list_tracks(server.uri(catalog))["uri"].to_pylist())
            assert listed
            assert chosen(server.uri(catalog), there + elsewhere) == listed
