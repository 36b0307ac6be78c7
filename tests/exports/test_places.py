"""Where the files of tracks lie: in the catalogue's folders, beside the audio, or at the top."""

from __future__ import annotations

import json
from pathlib import PurePosixPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from jobs import export as job
from pipeline.errors import StoreError, UsageError
from pipeline.exports.tracks.places import Places
from tests.exports.conftest import row_of
from tests.tag_rows import interval


@pytest.mark.parametrize(
    ("catalog", "uri", "place"),
    [
        ("/nowhere/*.flac", "/nowhere/Trio/01 A.flac", "Trio/01 A.flac"),
        ("/nowhere", "/nowhere/a\\b/ü.mp3", "a\\b/ü.mp3"),
        ("/nowhere", "/elsewhere/a.mp3", None),
        ("/nowhere", "/nowhere/../up.mp3", None),
        ("/nowhere", "/nowhere/line\nbreak.mp3", None),
        ("/nowhere", "/nowhere/half\udc80.mp3", None),
        ("/nowhere", "/nowhere/" + "ä" * 101 + ".mp3", None),
        ("/nowhere", "/nowhere", None),
        ("/", "/m/a.mp3", "m/a.mp3"),
        ("s3://b/x?scheme=http", "s3://b/x/y/a.mp3?scheme=http", "y/a.mp3"),
        ("s3://b/x", "s3://b/xy/a.mp3", None),
        ("s3://b/night.csv", "s3://b/x/a.mp3", "s3/b/x/a.mp3"),
        ("s3://b/night.csv", "/m/a.mp3", "m/a.mp3"),
        ("s3://b/night.csv", "http://h/a.mp3?id=1", None),
        ("", "/m/a.mp3", "m/a.mp3"),
    ],
)
def test_a_track_s_place(catalog, uri, place):
    assert Places(catalog).of(uri) == place


@given(st.text(), st.text())
@example("/m/..", "/m/./a")
def test_a_place_never_leaves_the_folder_and_two_tracks_never_share_one(uri, other):
    for catalog in ("", "/m"):
        places = Places(catalog)
        place = places.of(uri)
        if place is not None:
            assert not PurePosixPath(place).is_absolute()
            assert not {"", ".", ".."} & set(place.split("/"))
        if place is not None and uri.strip("/") != other.strip("/") and "://" not in uri + other:
            assert place != places.of(other)


def run(tags, out, *flags):
    return job.main(["--tags", tags, "--out", str(out), *flags])


def test_beside_the_audio(music, run_folder, tmp_path, capsys):
    trio, out = music / "Trio", tmp_path / "out"
    flac, wav, gone = trio / "flac.flac", trio / "wav.wav", trio / "gone.wav"
    rows = [row_of(flac), row_of(wav), row_of(wav) | {"uri": str(gone)}]
    mine = trio / "wav.wav.txt"
    mine.write_text("my notes")
    tags = run_folder(rows, intervals=[interval(rows[0], "pia", 0.1, 0.3)])
    assert run(tags, out, "--format", "audacity", "--beside") == 0
    said = capsys.readouterr().out
    assert "1 files .txt, one per track" in said
    assert "1 tracks have a .txt beside them that is not this export's: left as it is" in said
    assert "1 tracks are not on a local disk, or not any more: nothing is beside them" in said
    assert mine.read_text() == "my notes" and not (trio / "gone.wav.txt").exists()
    beside = trio / "flac.flac.txt"
    first = beside.read_text()
    assert "0.100000\t0.300000\tpiano\n" in first
    index = [json.loads(line) for line in (out / "index-audacity.jsonl").read_text().splitlines()]
    assert [(one["uri"], one["file"]) for one in index] == [(str(flac), str(beside))]
    tags = run_folder([row_of(flac, ["cel"])])
    assert run(tags, out, "--format", "audacity", "--beside") == 0
    assert beside.read_text() == "0.000000\t0.500000\tcello\n"  # the index says it is ours
    beside.write_text(first + "my own line")
    assert run(tags, out, "--format", "audacity", "--beside") == 0
    assert beside.read_text() == first + "my own line"
    (out / "index-audacity.jsonl").write_text("{}\n")
    assert run(tags, out, "--format", "audacity", "--beside") == 1
    assert "index-audacity.jsonl: no index of an export" in capsys.readouterr().err


def test_a_kill_before_the_index_loses_nothing(music, run_folder, export, tmp_path):
    tags = run_folder()
    export(tags, "jams", beside=True)
    (tmp_path / "out" / "index-jams.jsonl").unlink()
    done = export(tags, "jams", beside=True)
    assert "7 files .jams" in done.files and done.notes[0].startswith("7 tracks have labels")


def test_playlists_that_move_with_the_music(music, run_folder, export, tmp_path):
    trio = music / "Trio"
    (trio / "#1.wav").write_bytes((trio / "wav.wav").read_bytes())
    rows = [row_of(trio / "#1.wav"), row_of(trio / "mp3.mp3", ["cel"])]
    rows += [row_of(trio / "wav.wav", ["cel"]) | {"uri": "s3://bucket/a.wav"}]
    done = export(run_folder(rows), "m3u", relative=True)
    lines = (tmp_path / "out" / "cel.m3u8").read_text().splitlines()[4::2]
    assert lines == ["../music/Trio/#1.wav", "../music/Trio/mp3.mp3", "s3://bucket/a.wav"]
    for line in lines[:2]:
        assert (tmp_path / "out" / line).is_file()
    assert "1 tracks are on no local disk: the playlists have their whole uris" in done.notes


def test_a_flag_of_another_format_is_refused(run_folder, export):
    for name, flag, known in (
        ("csv", "beside", "audacity, jams"),
        ("jams", "relative", "m3u"),
        ("jams", "max_shard_mib", "webdataset"),
    ):
        with pytest.raises(UsageError, match=f"not for --format {name}; for") as raised:
            export(run_folder(), name, **{flag: 7})
        assert set(known.split(", ")) == set(str(raised.value).partition("; for ")[2].split(", "))


def test_a_format_that_is_none_is_told(run_folder, export):
    with pytest.raises(UsageError, match="format 'srt': expected one of csv, jsonl, "):
        export(run_folder(), "srt")


def test_an_index_that_is_none_is_told(run_folder, export, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "index-file-tags.jsonl").write_text("no json\n")
    with pytest.raises(StoreError, match="no index of an export"):
        export(run_folder(), "file-tags")
