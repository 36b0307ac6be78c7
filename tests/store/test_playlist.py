"""A playlist given as the catalogue: .m3u and .m3u8 are read, others are named and refused."""

import pytest

from pipeline.errors import UsageError
from pipeline.exports.m3u import playlist_lines
from pipeline.store.catalogue import list_tracks


@pytest.fixture
def music(tmp_path):
    folder = tmp_path / "music"
    for name in ("a.wav", "sub/b.mp3", "ünder.flac"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(b"x")
    return folder


def uris(catalog):
    return list_tracks(str(catalog))["uri"].to_pylist()


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_a_playlist_is_a_list_of_tracks(music, tmp_path, newline):
    lines = ["\ufeff#EXTM3U", "#EXTINF:12,A - a", "a.wav", "", f"{music}/sub/b.mp3", "gone.ogg"]
    lines += ["https://example.org/x.mp3", f"file://{music}/%C3%BCnder.flac"]
    (music / "all.m3u8").write_text(newline.join(lines) + newline, "utf-8", newline="")
    found = list_tracks(str(music / "all.m3u8")).to_pylist()
    named = [f"{music}/{name}" for name in ("a.wav", "gone.ogg", "sub/b.mp3", "ünder.flac")]
    assert [row["uri"] for row in found] == sorted([*named, "https://example.org/x.mp3"])
    sizes = {row["uri"]: row["size_bytes"] for row in found}
    assert (sizes[f"{music}/a.wav"], sizes[f"{music}/gone.ogg"]) == (1, None)


def test_an_old_playlist_is_latin_1(music):
    (music / "old.m3u").write_bytes("#EXTM3U\nünder.flac\n".encode("latin-1"))
    assert uris(music / "old.m3u") == [f"{music}/ünder.flac"]


def test_what_is_exported_is_read_again(music):
    rows = [{"uri": f"{music}/a\nb.wav", "duration_s": 1.0, "score": 0.9, "code": "cel"}]
    rows += [{"uri": f"{music}/a.wav", "duration_s": 1.0, "score": 0.9, "code": "cel"}]
    (music / "cel.m3u8").write_text("#EXTM3U\n" + playlist_lines(rows))
    assert uris(music / "cel.m3u8") == sorted(row["uri"] for row in rows)


def test_the_index_of_a_stream_is_told(music):
    (music / "live.m3u8").write_text("#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:9,\n0.ts\n")
    with pytest.raises(UsageError, match=r"live\.m3u8: the index of a stream in pieces \(HLS\)"):
        list_tracks(str(music / "live.m3u8"))


@pytest.mark.parametrize("name", ["list.pls", "List.XSPF", "album.cue"])
def test_other_playlists_are_told_with_the_cure(music, name):
    (music / name).write_text("[playlist]\n")
    for catalog in (music / name, f"http://127.0.0.1:9/{name}", f"file://{music}/{name}"):
        with pytest.raises(UsageError, match=r"a playlist \(\.\w+\), no audio; save it as \.m3u8"):
            list_tracks(str(catalog))
    (music / "box.cue").mkdir()
    (music / "box.cue" / "a.wav").write_bytes(b"x")
    assert uris(music / "box.cue") == [f"{music}/box.cue/a.wav"]


@pytest.mark.parametrize(
    ("catalog", "why"),
    [
        ("nowhere", "no such file or folder"),
        ("nowhere.csv", "no such file or folder"),
        ("empty", "no file there has a suffix of audio"),
        ("empty.m3u", "it names none"),
        ("music/*.aiff", "no file of audio matches"),
    ],
)
def test_why_there_are_no_tracks(music, tmp_path, catalog, why):
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.m3u").write_text("#EXTM3U\n")
    with pytest.raises(UsageError, match=f"{catalog.replace('*', '.')}: no tracks: {why}; expec"):
        list_tracks(f"{tmp_path}/{catalog}")
