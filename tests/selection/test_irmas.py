"""IRMAS's two forms, as small real wav files: ids, classes, groups, splits, and what is refused."""

import os
import re
import unicodedata
from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest

from jobs import build_subset
from pipeline.audio.fetching.fetch import open_source
from pipeline.audio.fetching.irmas_source import irmas_paths, list_irmas
from pipeline.audio.segment import get_segment
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.errors import TableError, UsageError
from pipeline.selection.irmas import (
    IrmasFile,
    irmas_id,
    irmas_rows,
    parse_labels,
    recording_of,
    song_of,
)
from pipeline.selection.plan import plan_segments
from pipeline.selection.vocabulary import default_vocabulary, parse_vocabulary
from schemas.clips import clips_schema
from schemas.features import features_schema

CODES = default_vocabulary().codes
TRAINING = {
    "IRMAS-TrainingData/cel/[cel][cla]0001__1.wav": "cel",
    "IRMAS-TrainingData/cel/[cel][cla]0001__2.wav": "cel",
    "IRMAS-TrainingData/gel/008__[gel][nod][pop_roc]0012__3.wav": "gel",
}
TESTING = {
    "IRMAS-TestingData-Part1/Part1/(02) dont kill the whale-1": "gel\t\nvoi\t \n",
    "IRMAS-TestingData-Part1/Part1/(02) dont kill the whale-10": "voi\ngel\n\n",
    "IRMAS-TestingData-Part2/Part2/Pérez Prado - Mambo No 5-3": " tru\r\nsax",
}


def by_path(table: pa.Table, folder: Path) -> dict[str, dict[str, object]]:
    """Return the rows by the file's relative path."""
    names = {ytid: p.relative_to(folder).as_posix() for ytid, p in irmas_paths(folder).items()}
    return {names[row["ytid"]]: row for row in table.to_pylist()}


@pytest.fixture
def folder(make_wav, tmp_path: Path) -> Path:
    root = tmp_path / "irmas"
    for k, name in enumerate(TRAINING):
        make_wav(f"irmas/{name}", 0.5, 440 + k)
    for k, (name, labels) in enumerate(TESTING.items()):
        wav = make_wav(f"irmas/{name}.wav", 0.7 + k / 10, 880)
        wav.with_name(wav.name[:-4] + ".txt").write_bytes(labels.encode())
    (root / "README.txt").write_text("not labels")
    (root / "IRMAS-TrainingData" / "cel" / "._x.wav").write_bytes(b"macOS leaves these")
    return root


def test_both_forms_under_one_folder(folder):
    table = list_irmas(folder)
    rows = by_path(table, folder)
    assert table.column_names == [
        "segment_id", "ytid", "start_s", "end_s", "mids", "classes", "unknown", "group", "split",
        "n_files",
    ]  # fmt: skip
    assert set(rows) == {*TRAINING, *(f"{name}.wav" for name in TESTING)}
    for name, code in TRAINING.items():
        assert (rows[name]["classes"], rows[name]["split"]) == ([code], "train")
        assert (rows[name]["start_s"], rows[name]["end_s"]) == (0.0, 0.5)
    whale_1, whale_10, mambo = (rows[f"{name}.wav"] for name in TESTING)
    assert whale_1["classes"] == whale_10["classes"] == ["gel", "voi"]  # the vocabulary's order
    assert mambo["classes"] == ["sax", "tru"]
    assert [row["end_s"] for row in (whale_1, whale_10, mambo)] == pytest.approx([0.7, 0.8, 0.9])
    assert {row["split"] for row in (whale_1, whale_10, mambo)} <= {"val", "test"}
    assert whale_1["group"] == whale_10["group"] != mambo["group"]
    assert whale_1["split"] == whale_10["split"]


def test_the_rows_end_in_the_same_tables(folder):
    """Plan, fetch, decode and describe, as a build does."""
    planned = plan_segments(list_irmas(folder), shard_size=2)
    assert planned.num_rows == 6
    source = open_source(f"irmas:{folder}")
    spec = LogMelSpec()
    rows = [get_segment(source, segment, spec) for segment in planned.to_pylist()]
    assert [row.ledger["outcome"] for row in rows] == ["ok"] * 6
    clips = pa.Table.from_pylist([r.clip for r in rows], clips_schema(spec.sample_rate_hz))
    pa.Table.from_pylist([r.features for r in rows], features_schema(spec.to_dict()))
    assert sorted(clips["n_samples"].to_pylist()) == [22050] * 3 + [30870, 35280, 39690]
    assert clips["classes"].to_pylist() == planned["classes"].to_pylist()


def test_what_is_unknown_goes_on_into_clips_and_features(folder):
    row = list_irmas(folder).to_pylist()[0]
    source, spec = open_source(f"irmas:{folder}"), LogMelSpec()
    got = get_segment(source, row | {"unknown": ["voi"]}, spec)
    assert got.clip["unknown"] == got.features["unknown"] == ["voi"]
    older = get_segment(source, row | {"unknown": None}, spec)
    assert older.clip["unknown"] == older.features["unknown"] == []


def test_a_broken_wav_gets_its_row(folder):
    name = "IRMAS-TrainingData/cel/[cel][cla]0002__1.wav"
    (folder / name).write_bytes(b"RIFF, and no more")
    row = by_path(list_irmas(folder), folder)[name]
    assert (row["start_s"], row["end_s"]) == (0.0, 3.0)
    got = get_segment(open_source(f"irmas:{folder}"), row, LogMelSpec())
    assert got.ledger["outcome"] == "rejected"


def test_ids_are_safe_and_the_same_on_every_machine(folder, tmp_path):
    moved = tmp_path / "other" / "place"
    moved.parent.mkdir()
    before = {row["segment_id"] for row in list_irmas(folder).to_pylist()}
    folder.rename(moved)
    after = list_irmas(moved)
    assert {row["segment_id"] for row in after.to_pylist()} == before
    assert all(re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_-]*", i) for i in after["ytid"].to_pylist())
    assert irmas_id("cel/[cel][cla]0001__1.wav") == "cel-cla-0001__1-abcfdce4b3c6c4b1"


def test_ids_differ_where_the_words_do_not():
    paths = [
        "a/x.wav",
        "b/x.wav",
        "a/x!.wav",
        "a/x?.wav",
        "a/日本.wav",
        "a/本日.wav",
        "a/" + "y" * 99,
    ]
    assert len({irmas_id(path) for path in paths}) == len(paths)
    assert irmas_id("a/日本.wav")[0] != "-"


def test_a_name_taken_apart_by_macos_is_the_same_name():
    name = "Part1/Pérez-1.wav"
    apart = unicodedata.normalize("NFD", name)
    assert apart != name
    assert (irmas_id(apart), song_of(apart)) == (irmas_id(name), song_of(name))


@pytest.mark.parametrize(
    ("path", "recording"),
    [
        ("T/cel/[cel][cla]0001__1.wav", "train/cel/[cel][cla]0001"),
        ("T/cel/[cel][cla]0001__12.wav", "train/cel/[cel][cla]0001"),
        ("T/cla/[cel][cla]0001__1.wav", "train/cla/[cel][cla]0001"),
        ("T/cel/008__[cel][nod][cla]0058__1.wav", "train/cel/008__[cel][nod][cla]0058"),
    ],
)
def test_the_part_after_the_underscores_is_an_excerpt(path, recording):
    assert recording_of(path) == recording


@pytest.mark.parametrize(
    ("path", "song"),
    [
        ("Part1/(02) dont kill the whale-1.wav", "test/(02) dont kill the whale"),
        ("Part3/(02) Dont kill the whale-14.wav", "test/(02) dont kill the whale"),
        ("Part1/01 - Take 5-2.wav", "test/01 - take 5"),
        ("Part1/no number.wav", "test/no number"),
    ],
)
def test_the_trailing_number_is_an_excerpt(path, song):
    assert song_of(path) == song


def test_songs_are_shared_out_30_to_70_and_none_is_in_two():
    files = [
        IrmasFile(f"Part{k % 3 + 1}/song {k // 4}-{k % 4 + 1}.wav", 5.0, "pia") for k in range(8000)
    ]
    table = irmas_rows(files, CODES, name="x")
    share = Counter(table["split"].to_pylist())
    assert set(share) == {"val", "test"}
    assert share["val"] / 8000 == pytest.approx(0.3, abs=0.04)
    pairs = set(zip(table["group"].to_pylist(), table["split"].to_pylist(), strict=True))
    assert len(pairs) == 2000
    again = irmas_rows(reversed(files), CODES, name="x")
    assert again.equals(table)  # whatever order the disk lists them in


def test_files_are_shared_out_30_to_70_where_that_is_asked_for():
    files = [IrmasFile(f"Part1/song {k // 4}-{k % 4 + 1}.wav", 5.0, "pia") for k in range(8000)]
    by_song, by_file = (irmas_rows(files, CODES, name="x", by=by) for by in ("song", "file"))
    share = Counter(by_file["split"].to_pylist())
    assert share["val"] / 8000 == pytest.approx(0.3, abs=0.03) and set(share) == {"val", "test"}
    pairs = set(zip(by_file["group"].to_pylist(), by_file["split"].to_pylist(), strict=True))
    assert len(pairs) > 3000  # most songs are in both
    assert by_file.drop_columns("split").equals(by_song.drop_columns("split"))


def test_by_file_only_what_is_in_training_itself_is_for_training(tmp_path, make_wav):
    wav = make_wav("irmas/cel/a__1.wav", 0.5, 440)
    twin, other = (tmp_path / f"irmas/Part1/song-{k}.wav" for k in (1, 2))
    make_wav("irmas/Part1/song-2.wav", 0.7, 880)
    twin.write_bytes(wav.read_bytes())
    for one in (twin, other):
        one.with_suffix(".txt").write_text("voi\n")
    first, second = list_irmas(tmp_path / "irmas", by="file").to_pylist()
    assert (first["split"], first["classes"]) == ("train", ["cel", "voi"])
    assert second["split"] in ("val", "test") and second["group"] == first["group"]


@pytest.mark.parametrize(
    ("text", "line", "found"),
    [
        ("gel\nbas\n", 2, "'bas'"),
        ("GEL", 1, "'GEL'"),
        ("", 1, "no class"),
        (" \n\t\n", 1, "no class"),
        ("gel,voi", 1, "'gel,voi'"),
        ("\n\nxyz", 3, "'xyz'"),
    ],
)
def test_a_wrong_label_file_is_told_with_its_line(folder, text, line, found):
    (folder / f"{next(iter(TESTING))}.txt").write_text(text)
    with pytest.raises(TableError, match=rf"whale-1\.txt:{line}: found .*{found}.*one.*cel, cla"):
        list_irmas(folder)


def test_a_code_said_twice_is_one_class():
    assert parse_labels("voi\nvoi\ncel\n", CODES, name="x") == ["cel", "voi"]


def test_a_wav_of_neither_form_is_told(folder, make_wav):
    make_wav("irmas/Part1/forgotten-1.wav", 0.1, 440)
    with pytest.raises(UsageError, match=r"Part1/forgotten-1\.wav has no \.txt.*training form"):
        list_irmas(folder)


@pytest.mark.parametrize("names", [[], ["cel/notes.txt"], ["cel/song.mp3"]])
def test_a_folder_with_neither_form_is_told(tmp_path, names):
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("x")
    with pytest.raises(UsageError, match=r"found no wav.*training form.*testing form"):
        list_irmas(tmp_path)


def test_another_vocabulary_decides_the_classes(folder):
    own = parse_vocabulary(
        '[[instrument]]\ncode = "gel"\nname = "guitar"\nany_of = ["/m/02sgy"]', name="own.toml"
    )
    with pytest.raises(UsageError, match=r"whale.*:2: found code 'voi'; expected one of gel"):
        list_irmas(folder, own)


def test_linked_folders_are_looked_into_once(folder, tmp_path):
    outer = tmp_path / "outer"
    outer.mkdir()
    (outer / "data").symlink_to(folder)
    (folder / "IRMAS-TrainingData" / "back").symlink_to(folder)
    assert list_irmas(outer).num_rows == 6


def test_a_name_that_is_no_utf_8_is_told(tmp_path):
    folder = tmp_path / "cel"
    folder.mkdir()
    Path(os.fsdecode(bytes(folder) + b"/caf\xe9-1.wav")).touch()
    with pytest.raises(UsageError, match="the file's name is not UTF-8; rename it"):
        list_irmas(tmp_path)


def test_files_of_equal_content_are_one_clip_in_one_group_and_split(tmp_path, make_wav):
    root, names = tmp_path / "irmas", {}
    for k, name in enumerate(["gac/a__1", "gac/a__2", "gel/b__1", "gel/c__1", "cel/d__1"]):
        names[name] = make_wav(f"irmas/{name}.wav", 0.5, 440 + k)
    (root / "gel/b__2.wav").write_bytes(names["gac/a__1"].read_bytes())
    (root / "gel/c__2.wav").write_bytes(names["gel/b__1"].read_bytes())
    rows = by_path(list_irmas(root), root)
    assert set(rows) == {f"{name}.wav" for name in names}  # the first of a content's paths
    assert rows["gac/a__1.wav"]["classes"] == ["gac", "gel"]
    assert rows["gel/b__1.wav"]["classes"] == ["gel"]
    assert [rows[f"{name}.wav"]["n_files"] for name in names] == [2, 1, 2, 1, 1]
    linked = {rows[f"{name}.wav"]["group"] for name in names if name != "cel/d__1"}
    assert linked == {"train/gac/a"}  # a and b share a file, and so do b and c
    assert rows["cel/d__1.wav"]["group"] == "train/cel/d"
    assert {row["split"] for row in rows.values()} == {"train"}


def test_equal_content_in_both_forms_is_for_training(tmp_path, make_wav):
    wav = make_wav("irmas/cel/a__1.wav", 0.5, 440)
    (tmp_path / "irmas/Part1").mkdir()
    (tmp_path / "irmas/Part1/song-1.wav").write_bytes(wav.read_bytes())
    (tmp_path / "irmas/Part1/song-1.txt").write_text("voi\n")
    other = make_wav("irmas/Part1/song-2.wav", 0.7, 880)
    other.with_suffix(".txt").write_text("voi\n")
    rows = list_irmas(tmp_path / "irmas").to_pylist()
    assert [(row["classes"], row["split"]) for row in rows] == [
        (["cel", "voi"], "train"), (["voi"], "train"),
    ]  # fmt: skip
    assert len({row["group"] for row in rows}) == 1


def test_files_that_only_look_alike_stay_apart(tmp_path):
    (tmp_path / "cel").mkdir()
    for name, last in (("a__1", b"x"), ("b__1", b"y")):
        (tmp_path / f"cel/{name}.wav").write_bytes(bytes(100_000) + last)
    rows = list_irmas(tmp_path).to_pylist()
    assert [row["n_files"] for row in rows] == [1, 1]


def test_a_dry_run_counts_files_of_equal_content(tmp_path, make_wav, capfd):
    wav = make_wav("irmas/gac/a__1.wav", 0.5, 440)
    (tmp_path / "irmas/gel").mkdir()
    (tmp_path / "irmas/gel/b__1.wav").write_bytes(wav.read_bytes())
    folder = tmp_path / "irmas"
    argv = ["--source", f"irmas:{folder}", "--out", str(tmp_path / "ds"), "--dry-run"]
    assert build_subset.main(argv) == 0
    said = capfd.readouterr()
    assert "2 rows read, 1 chosen, 1 planned" in said.out
    assert "1 stand there more than once" in said.out
    assert "read IRMAS" in said.err
