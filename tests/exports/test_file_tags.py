"""Instruments in real files' own metadata: what programs read, and that nothing else moves."""

from __future__ import annotations

import fcntl
import json
import os
import resource
import signal
import subprocess
import sys

import av
import mutagen
import numpy as np
import pytest
from mutagen.id3 import COMM, ID3, TDRC, TIT2, TPE1, TXXX, TYER

from jobs import export as job
from pipeline.configs.export import ExportConfig
from pipeline.errors import StoreError, UsageError
from pipeline.exports.metadata import edit
from pipeline.exports.metadata.journal import NAME, Journal, undo
from pipeline.tagging.export import export_tags
from tests.exports.conftest import SUFFIXES, encode, row_of
from tests.tag_rows import MODEL

IN_PLACE = {"in_place": True, "yes_change_my_files": True}
CELLO = ["cello", "piano"]


def tags_of(path):
    """Return a file's metadata as plain values by key, as a program shows it."""
    tags = mutagen.File(path).tags
    if tags is None:
        return {}
    if isinstance(tags, ID3):
        found = {key: [str(text) for text in frame.text] for key, frame in tags.items()}
    else:
        pairs = ((key, tags[key]) for key in tags.keys())  # noqa: SIM118
        found = {
            key: [bytes(v).decode() if isinstance(v, bytes) else v for v in values]
            for key, values in pairs
        }
    return {
        key.removeprefix("TXXX:").removeprefix("----:com.apple.iTunes:").upper(): texts
        for key, texts in found.items()
    }


def sound_of(path):
    """Return the packets of the audio stream, and what they decode to."""
    with av.open(str(path)) as container:
        packets = [bytes(packet) for packet in container.demux(audio=0) if packet.size]
    with av.open(str(path)) as container:
        frames = [frame.to_ndarray() for frame in container.decode(audio=0)]
    return packets, np.concatenate(frames, axis=1)


def assert_same_sound(one, other):
    (packets, samples), (others, their_samples) = sound_of(one), sound_of(other)
    assert packets == others and packets
    np.testing.assert_array_equal(samples, their_samples)


def give_title(path):
    audio = mutagen.File(path)
    if audio.tags is None:
        audio.add_tags()
    if isinstance(audio.tags, ID3):
        audio.tags.add(TIT2(encoding=3, text=["Élégie"]))
    else:
        audio.tags["\xa9nam" if path.suffix == ".m4a" else "title"] = ["Élégie"]
    audio.save()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_file_of_each_format_there_and_back(music, run_folder, export, tmp_path, suffix, encoded):
    path = music / "Trio" / f"{suffix}.{suffix}"
    give_title(path)
    before = tags_of(path)
    assert ["Élégie"] in before.values()
    done = export(run_folder([row_of(path)]), "file-tags", **IN_PLACE)
    assert "1 audio files changed in their place, 0 needed no change" in done.files
    added = {"INSTRUMENTS": CELLO, "INSTRUMENTS_MODEL": [MODEL], "TIMBRAL_DEPTH": ["51.250"]}
    assert tags_of(path) == {**before, **added}
    assert_same_sound(path, encoded / path.name)
    undone = undo(str(tmp_path / "out" / NAME))
    assert (undone.n_restored, undone.skipped) == (1, {})
    assert tags_of(path) == before
    assert_same_sound(path, encoded / path.name)


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_place_for_tags_that_was_not_there_goes_again(
    music, run_folder, export, tmp_path, suffix
):
    path = music / "Trio" / f"{suffix}.{suffix}"
    mutagen.File(path).delete()
    had_tags = mutagen.File(path).tags is not None  # Vorbis comments are always there
    export(run_folder([row_of(path)]), "file-tags", **IN_PLACE)
    assert tags_of(path)["INSTRUMENTS"] == CELLO
    undo(str(tmp_path / "out" / NAME))
    assert (mutagen.File(path).tags is not None) == had_tags
    assert tags_of(path) == {}


def test_an_mp3_keeps_the_version_of_its_tag_and_every_other_frame(music, run_folder, export):
    path = music / "Trio" / "mp3.mp3"
    tags = ID3()
    tags.add(TYER(encoding=1, text=["1987"]))  # only 2.3 has it
    tags.add(TPE1(encoding=1, text=["A", "B"]))
    tags.add(COMM(encoding=1, lang="deu", desc="x", text=["ü"]))
    tags.save(path, v2_version=3, v23_sep=None, v1=2)
    with path.open("r+b") as file:
        file.seek(-128 + 97, 2)
        file.write(b"old comment\0")  # of ID3v1, not as mutagen would write it
    end = path.read_bytes()[-128:]
    frames = dict(ID3(path, translate=False, load_v1=False))
    export(run_folder([row_of(path)]), "file-tags", **IN_PLACE)
    after = ID3(path, translate=False, load_v1=False)
    assert after.version == (2, 3, 0)
    assert after.getall("TXXX:INSTRUMENTS")[0].text == CELLO
    assert {k: v for k, v in after.items() if not k.startswith("TXXX")} == frames
    assert path.read_bytes()[-128:] == end


def test_metadata_that_mutagen_would_not_write_back_is_left_alone(music, run_folder, export):
    flac, mp3 = music / "Trio" / "flac.flac", music / "Trio" / "mp3.mp3"
    audio = mutagen.File(flac)
    audio["title"] = ["caf\xe9"]
    audio.save()
    flac.write_bytes(flac.read_bytes().replace("caf\xe9".encode(), b"caf\xe9\xe9"))  # Latin-1
    frame = b"XYZ\0\0\x03abc"  # of nobody's, in a tag of 2.2
    mp3.write_bytes(b"ID3\x02\0\0\0\0\0" + bytes([len(frame)]) + frame)
    encode(music / "sound.mp3", np.zeros(24_000))
    sound = (music / "sound.mp3").read_bytes()
    mp3.write_bytes(mp3.read_bytes() + sound)
    before = [flac.read_bytes(), mp3.read_bytes()]
    done = export(run_folder([row_of(flac), row_of(mp3)]), "file-tags", **IN_PLACE)
    assert done.notes == ("2 tracks have metadata that would not survive a change: left out",)
    assert [flac.read_bytes(), mp3.read_bytes()] == before


def test_a_tag_of_2_2_becomes_2_3_and_says_the_same(music, run_folder, export):
    path = music / "Trio" / "mp3.mp3"
    sound = path.read_bytes()
    mutagen.File(path).delete()
    title = b"TT2\0\0\x06\0Elegy"
    path.write_bytes(b"ID3\x02\0\0\0\0\0" + bytes([len(title)]) + title + path.read_bytes())
    done = export(run_folder([row_of(path)]), "file-tags", **IN_PLACE)
    assert "1 audio files changed" in done.files, done.notes
    found = ID3(path, translate=False)
    assert (found.version, found["TIT2"].text) == ((2, 3, 0), ["Elegy"])
    assert found["TXXX:INSTRUMENTS"].text == CELLO
    assert sound.endswith(path.read_bytes()[-1000:])


def test_what_only_id3v1_says_is_said_in_the_new_tag_too(music, run_folder, export, tmp_path):
    path = music / "Trio" / "mp3.mp3"
    tags = ID3()
    tags.add(TIT2(encoding=0, text=["Elegy"]))
    tags.add(TDRC(encoding=0, text=["1987"]))
    tags.save(path, v1=2)
    ID3(path).delete(path, delete_v1=False)
    before = path.read_bytes()
    assert not before.startswith(b"ID3") and before[-128:].startswith(b"TAG")
    export(run_folder([row_of(path)]), "file-tags", **IN_PLACE)
    found = ID3(path, load_v1=False)
    assert (found["TIT2"].text, found["TXXX:INSTRUMENTS"].text) == (["Elegy"], CELLO)
    undo(str(tmp_path / "out" / NAME))
    assert path.read_bytes() == before


def test_copies_mirror_the_catalogue_and_the_files_stay_as_they_are(
    music, run_folder, export, tmp_path
):
    before = {path: path.read_bytes() for path in music.rglob("*.*")}
    tags = run_folder()
    done = export(tags, "file-tags")
    assert done.files.startswith("7 copies with tags in the catalogue's folders (0 were there)")
    assert {path: path.read_bytes() for path in music.rglob("*.*")} == before
    entries = [
        json.loads(line) for line in (tmp_path / "out/index-file-tags.jsonl").open().readlines()
    ]
    assert {one["uri"]: one["file"] for one in entries} == {
        str(path): f"Trio/{path.name}" for path in before
    }
    for path in before:
        copy = tmp_path / "out" / "Trio" / path.name
        assert tags_of(copy)["INSTRUMENTS"] == CELLO
        assert copy.stat().st_mtime_ns == path.stat().st_mtime_ns
    assert "(7 were there)" in export(tags, "file-tags").files


def test_a_copy_takes_no_file_of_the_user_s(music, run_folder, export, tmp_path):
    mine = tmp_path / "out" / "Trio" / "mp3.mp3"
    mine.parent.mkdir(parents=True)
    mine.write_bytes(b"mine")
    with pytest.raises(Exception, match="cannot be read") as raised:
        edit.kind_of(mine)
    assert raised.type.__name__ == "Unfit"
    encode(mine, np.zeros(4800))
    kept = mine.read_bytes()
    done = export(run_folder(), "file-tags")
    reason = "have a file in --out that this export has not written"
    assert done.notes == (f"1 tracks {reason}: left out",)
    assert mine.read_bytes() == kept


def test_copies_do_not_lie_in_the_catalogue(music, run_folder):
    config = ExportConfig(run_folder(), "file-tags", str(music / "tagged"))
    with pytest.raises(UsageError, match=r"that lies in the catalogue .*; name a folder beside it"):
        export_tags(config)
    assert not (music / "tagged").exists()


def test_in_place_is_asked_twice(music, run_folder, export):
    tags = run_folder()
    for half in IN_PLACE:
        with pytest.raises(UsageError, match="--in-place changes your own audio files"):
            export(tags, "file-tags", **{half: True})
    with pytest.raises(UsageError, match="--in-place: not for --format csv; for file-tags"):
        export(tags, "csv", in_place=True)
    assert all("INSTRUMENTS" not in tags_of(path) for path in music.rglob("*.*"))


def test_what_is_left_out_is_counted_by_why(music, run_folder, export, tmp_path, encoded):
    trio = music / "Trio"
    changed, linked, locked, other = (trio / f"{n}.wav" for n in ("changed", "linked", "ro", "x"))
    for path in (changed, linked, locked, other):
        encode(path, np.zeros(4800))
    gone = row_of(other) | {"uri": str(trio / "gone.wav")}
    rows = [*map(row_of, (changed, linked, locked)), gone]
    rows += [row_of(other) | {"uri": "s3://bucket/a.mp3"}]
    changed.write_bytes((encoded / "wav.wav").read_bytes())
    os.utime(linked)  # of another time, but the same content
    (trio / "second name.wav").hardlink_to(linked)
    locked.chmod(0o444)
    strange = trio / "strange.au"
    strange.write_bytes(b".snd" + b"\0" * 64)
    broken = trio / "broken.flac"
    broken.write_bytes(b"fLaC" + b"\xff" * 64)
    before = {path: path.read_bytes() for path in trio.iterdir()}
    rows += [row_of(strange), row_of(broken)]
    done = export(run_folder(rows), "file-tags", **IN_PLACE)
    assert "0 audio files changed" in done.files
    assert set(done.notes) == {
        "1 tracks have changed since they were tagged: tag the catalogue again: left out",
        "1 tracks have several names on the disk (hard links): left out",
        "1 tracks are read-only: left out",
        "1 tracks are not there any more: left out",
        "1 tracks are not on a local disk: left out",
        "1 tracks are of a format that is not written (.au): left out",
        "1 tracks have metadata that cannot be read: left out",
    }
    assert {path: path.read_bytes() for path in trio.iterdir()} == before


def test_a_link_s_target_is_changed_once_and_mode_and_attributes_stay(
    music, run_folder, export, tmp_path
):
    path, link = music / "Trio" / "flac.flac", music / "link.flac"
    path.chmod(0o640)
    link.symlink_to(path)
    tags = run_folder([row_of(path), row_of(link)])
    done = export(tags, "file-tags", **IN_PLACE)
    again = export(tags, "file-tags", **IN_PLACE)
    assert "1 audio files changed in their place, 1 needed no change" in done.files
    assert link.is_symlink() and path.stat().st_mode & 0o777 == 0o640
    assert "0 audio files changed in their place, 2 needed no change" in again.files
    assert len(list(Journal(tmp_path / "out" / NAME).changes())) == 1


def test_undo_goes_back_to_the_first_state_and_leaves_what_others_wrote(
    music, run_folder, export, tmp_path
):
    first, second = music / "Trio" / "flac.flac", music / "Trio" / "mp3.mp3"
    audio = mutagen.File(first)
    audio["instruments"] = ["lute"]
    audio.save()
    export(run_folder([row_of(first), row_of(second)]), "file-tags", **IN_PLACE)
    only_cello = [row_of(path, labels=["cel"]) for path in (first, second)]
    export(run_folder(only_cello), "file-tags", **IN_PLACE)
    assert tags_of(first)["INSTRUMENTS"] == ["cello"]
    tags = ID3(second)
    tags.setall("TXXX:INSTRUMENTS", [TXXX(encoding=3, desc="INSTRUMENTS", text=["viola"])])
    tags.save(second)
    journal = str(tmp_path / "out" / NAME)
    undone = undo(journal)
    assert undone.n_restored == 1
    (reason,) = undone.skipped
    assert reason == "have other values under the keys than the export wrote"
    assert tags_of(first) == {"INSTRUMENTS": ["lute"]}
    assert tags_of(second)["INSTRUMENTS"] == ["viola"]
    assert (undo(journal).n_restored, tags_of(first)) == (0, {"INSTRUMENTS": ["lute"]})


def test_undo_gives_back_what_the_user_wrote_between_two_exports(
    music, run_folder, export, tmp_path
):
    path = music / "Trio" / "flac.flac"
    export(run_folder([row_of(path)]), "file-tags", **IN_PLACE)
    audio = mutagen.File(path)
    audio["instruments"] = ["lute"]
    audio.save()
    export(run_folder([row_of(path)]), "file-tags", **IN_PLACE)
    assert tags_of(path)["INSTRUMENTS"] == CELLO
    undo(str(tmp_path / "out" / NAME))
    assert tags_of(path)["INSTRUMENTS"] == ["lute"]


def test_a_track_without_labels_is_not_touched(music, run_folder, export):
    path = music / "Trio" / "flac.flac"
    before = path.read_bytes()
    row = row_of(path, labels=[], timbral_depth=None)
    assert (
        "0 audio files changed in their place, 1 needed no change"
        in export(run_folder([row]), "file-tags", **IN_PLACE).files
    )
    assert path.read_bytes() == before


@pytest.mark.parametrize("n_more", [-1000, 8])
def test_a_disk_that_takes_no_more_leaves_the_file_whole(music, run_folder, export, n_more):
    """It refuses while the file is copied, or while mutagen lets the copy grow."""
    path = music / "Trio" / "wav.wav"
    before, tags = path.read_bytes(), run_folder([row_of(path)])
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (len(before) + n_more, limits[1]))
    try:
        with pytest.raises(StoreError, match=r"File too large.*; free some space"):
            export(tags, "file-tags", **IN_PLACE)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert path.read_bytes() == before
    assert [one.name for one in path.parent.glob(".*")] == []


def test_a_file_that_another_export_is_changing_is_left_to_it(music, run_folder, export):
    path = music / "Trio" / "flac.flac"
    tags, before = run_folder([row_of(path)]), path.read_bytes()
    temporary = edit.temporary_of(path)
    with temporary.open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        done = export(tags, "file-tags", **IN_PLACE)
    assert done.notes == ("1 tracks are being changed by another program: left out",)
    assert (path.read_bytes(), temporary.exists()) == (before, True)
    temporary.write_bytes(b"half of a copy, of a kill")
    temporary.chmod(0o444)
    assert "1 audio files changed" in export(tags, "file-tags", **IN_PLACE).files
    assert not temporary.exists() and tags_of(path)["INSTRUMENTS"] == CELLO


def test_a_link_in_the_place_of_the_copy_is_not_followed(music, run_folder, export, tmp_path):
    path, other = music / "Trio" / "flac.flac", tmp_path / "precious"
    other.write_bytes(b"precious")
    edit.temporary_of(path).symlink_to(other)
    with pytest.raises(StoreError, match="cannot change an audio file"):
        export(run_folder([row_of(path)]), "file-tags", **IN_PLACE)
    assert other.read_bytes() == b"precious"


KILLED_AT = """
import os, signal, sys
from pipeline.exports.metadata import edit, journal
from jobs import export

step, argv = sys.argv[1], sys.argv[2:]
def kill(*_, **__):
    os.kill(os.getpid(), signal.SIGKILL)
if step == "copied":
    edit._take_over = kill
elif step == "journalled":
    edit.Path.replace = kill
export.main(argv)
"""


@pytest.mark.parametrize("step", ["copied", "journalled"])
def test_a_kill_leaves_the_file_whole_and_the_same_command_goes_on(
    music, run_folder, tmp_path, step
):
    path = music / "Trio" / "mp3.mp3"
    before, tags = path.read_bytes(), run_folder([row_of(path)])
    argv = ["--tags", tags, "--format", "file-tags", "--out", str(tmp_path / "out")]
    argv += ["--in-place", "--yes-change-my-files"]
    command = [sys.executable, "-c", KILLED_AT, step, *argv]
    assert subprocess.run(command, check=False).returncode == -signal.SIGKILL
    assert path.read_bytes() == before
    journal = tmp_path / "out" / NAME
    assert journal.exists() == (step == "journalled")
    if step == "journalled":
        with journal.open("ab") as file:
            file.write(b'{"path": "/m/cut o')  # a kill within a line
        assert job.main(["--undo", str(journal)]) == 0
        assert path.read_bytes() == before
    assert job.main(argv) == 0
    assert tags_of(path)["INSTRUMENTS"] == CELLO
    assert [one.name for one in path.parent.iterdir() if one.suffix == ".tmp"] == []
    assert job.main(["--undo", str(journal)]) == 0
    assert tags_of(path) == {}


def test_undo_without_a_journal_is_told_so(tmp_path, capsys):
    assert job.main(["--undo", str(tmp_path / "none.jsonl")]) == 2
    assert "no such file; expected the file-tags.journal.jsonl" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        job.main(["--tags", "a"])
    assert "required: --format, --out" in capsys.readouterr().err
    with pytest.raises(SystemExit, match="2"):
        job.main(["--undo", "a", "--tags", "b"])
    assert "--undo takes all from its file: leave --tags away" in capsys.readouterr().err


@pytest.mark.skipif(os.geteuid() != 0, reason="only root may give files away")
def test_the_owner_stays(music, run_folder, export):
    path = music / "Trio" / "ogg.ogg"
    os.chown(path, 1234, 1235)
    export(run_folder([row_of(path)]), "file-tags", **IN_PLACE)
    assert tags_of(path)["INSTRUMENTS"] == CELLO
    assert (path.stat().st_uid, path.stat().st_gid) == (1234, 1235)
