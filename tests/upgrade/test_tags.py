"""Folders of tags that the old version has written: today's night over them, and their readers."""

import csv
import json
import shutil
from operator import itemgetter
from pathlib import Path

import duckdb
import mutagen
import pytest

from jobs import compare, evaluate, export, retag, search, tag_catalog
from pipeline.browsing.browser import Browser
from pipeline.searching.catalogue import TaggedCatalogue
from tests.upgrade.old_version import texts, write_track

pytestmark = pytest.mark.slow
N_TRACKS = 12
TABLES = ("tags", "windows", "intervals")


def rows(folder: Path, table: str = "tags"):
    """Return the rows of a table of a folder, in a fixed order."""
    source = f"read_parquet('{folder}/{table}/**/*.parquet', hive_partitioning = false)"
    found = duckdb.sql(f"select * from {source}").to_arrow_table().to_pylist()
    return sorted(found, key=lambda row: json.dumps(row, sort_keys=True, default=str))


def vectors(folder: Path):
    return [row["embedding"] for row in sorted(rows(folder, "embeddings"), key=itemgetter("uri"))]


def run_of(folder: Path):
    return json.loads((folder / "run.json").read_text())


def what(row):
    """Return what a row says of its track, whatever the file is called."""
    told = ("labels", "scores", "peaks", "duration_s", "n_windows", "n_active", "status", "reason")
    return {key: row[key] for key in told}


@pytest.fixture
def tags(old, tmp_path):
    """Give a copy of the old folder of tags."""
    return shutil.copytree(old.tags, tmp_path / "tags")


def test_the_same_night_decodes_nothing_and_loses_nothing(old, tags):
    before = {table: rows(tags, table) for table in TABLES}
    night = texts(*old.night, "--out", tags)
    assert tag_catalog.main(night) == 0
    run = run_of(tags)
    assert (run["tracks"], run["skipped"], run["unchanged"]) == (N_TRACKS, N_TRACKS, N_TRACKS)
    assert (run["tagged"], run["failed"], run["audio_s"]) == (0, 0, 0)
    assert run["failed_in_all"] == 1
    assert run["lacking"] == ["window_embeddings"]
    assert {table: rows(tags, table) for table in TABLES} == before
    for was, now in zip(vectors(old.tags), vectors(tags), strict=True):
        assert now == pytest.approx(was, rel=1e-3, abs=6e-8)  # 16-bit floats now
    assert tag_catalog.main(night) == 0
    assert {table: rows(tags, table) for table in TABLES} == before


def test_a_night_without_the_flags_of_then_decodes_nothing_either(old, tmp_path):
    tags = shutil.copytree(old.forest_tags, tmp_path / "tags")
    before = rows(tags)
    night = texts("--catalog", old.music, "--model", old.forest, "--out", tags)
    assert tag_catalog.main(night) == 0
    run = run_of(tags)
    assert (run["tracks"], run["unchanged"], run["tagged"]) == (N_TRACKS, N_TRACKS, 0)
    assert rows(tags) == before


@pytest.fixture
def music(old, tmp_path):
    """Give the music of the old night, to be changed; afterwards it is as it was, to the ns."""
    kept = shutil.copytree(old.music, tmp_path / "kept")
    yield old.music
    shutil.rmtree(old.music)
    shutil.copytree(kept, old.music)


def test_what_is_new_is_tagged_and_what_is_known_under_another_name_is_not(old, tags, music):
    before = {row["uri"]: row for row in rows(tags)}
    (music / "track 0.wav").rename(music / "another name.wav")
    (music / "track 4.wav").touch()
    shutil.copy2(music / "track 1.flac", music / "a copy.flac")
    write_track(music / "new.flac", "flu", 3.0, seed=7)
    retitled = mutagen.File(music / "track 5.flac")
    retitled["title"] = ["of another day"]
    retitled.save()
    night = texts(*old.night, "--out", tags)
    assert tag_catalog.main(night) == 0
    run, after = run_of(tags), {row["uri"]: row for row in rows(tags)}
    assert (run["tracks"], run["tagged"], run["failed"]) == (N_TRACKS + 2, 2, 0)
    assert (run["same_content"], run["touched"], run["taken_over"]) == (3, 1, 3)
    assert (run["gone"], run["lacking"]) == (1, ["window_embeddings"])
    new = {str(music / name) for name in ("another name.wav", "a copy.flac", "new.flac")}
    assert set(after) == set(before) | new
    for name in ("track 2.ogg", "track 3.mp3", "track 4.wav", "silence.wav", "text.mp3"):
        assert what(after[str(music / name)]) == what(before[str(music / name)])
    for name, known_as in (("another name.wav", "track 0.wav"), ("a copy.flac", "track 1.flac")):
        assert what(after[str(music / name)]) == what(before[str(music / known_as)])
    assert after[str(music / "track 5.flac")]["fingerprint"].startswith("packets:")
    # From now on a title costs no decoding.
    retitled["title"] = ["of today"]
    retitled.save()
    assert tag_catalog.main(night) == 0
    assert (run_of(tags)["tagged"], run_of(tags)["same_content"]) == (0, 1)


def test_the_old_folder_is_searched(old, capsys):
    scores = {row["uri"]: row["scores"]["cel"] for row in rows(old.tags) if row["scores"]}
    middle = sorted(scores.values())[len(scores) // 2]
    where = texts("--tags", old.tags, "--where", f"cel > {middle}", "--format", "csv")
    assert search.main(where) == 0
    found = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    expected = {uri for uri, score in scores.items() if score > middle}
    assert expected and {row["uri"] for row in found} == expected
    like = texts("--tags", old.tags, "--like", old.music / "track 0.wav", "--format", "csv")
    assert search.main(like) == 0
    found = list(csv.DictReader(capsys.readouterr().out.splitlines()))
    assert len(found) >= 9 and not any("track 0" in row["uri"] for row in found)
    windows = texts("--tags", old.tags, "--windows", "--where", "cel > 0.01", "--format", "csv")
    assert search.main(windows) == 0
    assert len(capsys.readouterr().out.splitlines()) > 10


@pytest.mark.parametrize("file_format", ["csv", "jsonl", "jams", "audacity", "m3u"])
def test_the_old_folder_is_exported(old, tmp_path, file_format):
    flags = texts("--tags", old.tags, "--format", file_format, "--out", tmp_path / "out")
    assert export.main(flags) == 0
    files = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert files
    if file_format == "csv":
        [header, *lines] = csv.reader((tmp_path / "out" / "tags.csv").open())
        [old_header, *old_lines] = csv.reader((old.exported / "tags.csv").open())
        places = [header.index(name) for name in old_header]
        assert sorted([line[k] for k in places] for line in lines) == sorted(old_lines)


def test_the_old_folder_is_retagged_and_compared(old, tmp_path):
    out = tmp_path / "retagged"
    assert retag.main(texts("--tags", old.tags, "--out", out, "--threshold", "0.99")) == 0
    assert {row["uri"] for row in rows(out)} == {row["uri"] for row in rows(old.tags)}
    two = texts("--a", old.tags, "--b", old.forest_tags, "--out", tmp_path / "compared")
    assert compare.main(two) == 0
    record = json.loads((tmp_path / "compared" / "differences.json").read_text())
    assert (record["n_compared"], record["apart"]["failed_both"]) == (N_TRACKS - 1, 1)


def test_the_old_folder_is_evaluated(old, tmp_path):
    truth = texts("--model", old.model, "--tags", old.tags, "--truth", old.music / "truth.csv")
    assert evaluate.main([*truth, "--out", str(tmp_path / "evaluation")]) == 0
    record = json.loads((tmp_path / "evaluation" / "metrics.json").read_text())
    assert record["metrics"]["n_items"] == 10


def test_the_browser_opens_the_old_folder(old):
    catalogue = TaggedCatalogue.open(str(old.tags), in_memory=True)
    browser = Browser(catalogue, "somebody", None)
    try:
        said = browser.about()
    finally:
        browser.close()
    assert said["n_tracks"] == N_TRACKS and said["has_embeddings"]
    assert said["catalogue"] == str(old.music)
