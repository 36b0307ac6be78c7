"""What is not decoded again, whatever its name, time and tags; and which rows count."""

from __future__ import annotations

import csv
import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
import soundfile
from mutagen.id3 import ID3, TIT2

from pipeline.audio.decoding.fingerprint import byte_fingerprint
from pipeline.configs.compare import CompareTagsConfig
from pipeline.configs.export import ExportConfig
from pipeline.configs.retag import RetagConfig
from pipeline.errors import UsageError
from pipeline.flows.tagging import tag
from pipeline.flows.tagging.tag import TagConfig, plan_tagging, tag_catalog
from pipeline.store.folder import Folder
from pipeline.store.tags.tagfiles import TABLES
from pipeline.store.tags.tagstore import TagStore
from pipeline.tagging.compare_tags import compare_tags
from pipeline.tagging.export import export_tags
from pipeline.tagging.retag import retag
from tests.conftest import tones
from tests.models.test_engines import write_model

pytestmark = pytest.mark.usefixtures("in_process")

NAMES = ("a.mp3", "b.flac", "c.wav", "d.ogg")


@pytest.fixture(scope="module")
def first(tmp_path_factory) -> TagConfig:
    """Tag four tracks once, with all tables."""
    folder = tmp_path_factory.mktemp("known")
    model, _ = write_model(folder / "m")
    for k, name in enumerate(NAMES):
        (folder / "music").mkdir(exist_ok=True)
        soundfile.write(folder / "music" / name, tones(2, 330 * (k + 1)), 44_100)
    config = TagConfig(
        str(folder / "music"),
        model,
        str(folder / "out"),
        engine="torch",
        n_examples=0,
        min_confidence=0.0,
        keep_windows=True,
        embeddings=True,
    )
    assert tag_catalog(config).tagged == len(NAMES)
    return config


@pytest.fixture(autouse=True)
def _without_pages(monkeypatch):
    """Write no page: it is most of a quiet night, and nothing here is on it."""
    monkeypatch.setattr(tag, "write_report", lambda *_, **__: None)


@pytest.fixture
def tagged(first, tmp_path) -> TagConfig:
    """Give a copy of a folder of tags, and of its music at the same time stamps."""
    config = replace(first, catalog=str(tmp_path / "music"), out=str(tmp_path / "out"))
    shutil.copytree(first.catalog, config.catalog)
    shutil.copytree(first.out, config.out)
    for name in TagStore.open(config.out).files():
        rewrite(config, name, lambda row: row)
    shutil.rmtree(Path(config.out) / "index")
    return config


def rewrite(config: TagConfig, tags_file: str, change) -> None:
    """Change the rows of a file of TAGS and those beside it; the uris are those of the copy."""
    folder = Folder(config.out)
    for table in TABLES:
        name = tags_file.replace("tags/", f"{table}/", 1)
        rows = folder.read_table(name)
        music = Path(config.catalog)
        moved = [row | {"uri": str(music / Path(row["uri"]).name)} for row in rows.to_pylist()]
        changed = [change(row) for row in moved]
        folder.write_table(name, type(rows).from_pylist(changed, rows.schema))


def make_older(config: TagConfig) -> None:
    """Give all rows the fingerprints that older versions wrote."""
    for name in TagStore.open(config.out).files():
        rewrite(config, name, lambda row: row | {"fingerprint": byte_fingerprint(Path(row["uri"]))})


def prints(out: str, table: str = "tags") -> dict[str, str]:
    """Return the kind of fingerprint of each track, by its name."""
    source = f"read_parquet('{out}/{table}/**/*.parquet', hive_partitioning = false)"
    rows = duckdb.sql(f"select distinct uri, fingerprint from {source}").fetchall()
    found = {Path(uri).name: text.partition(":")[0] for uri, text in rows}
    assert len(found) == len(rows)
    return found


def test_tags_covers_and_times_cost_no_decoding(tagged):
    music = Path(tagged.catalog)
    tags = ID3()
    tags.add(TIT2(text="Another title"))
    tags.save(music / "a.mp3")
    os.utime(music / "b.flac", ns=(1, 1))
    (music / "c.wav").rename(music / "e.wav")
    shutil.copy(music / "d.ogg", music / "f.ogg")
    run = tag_catalog(tagged)
    assert (run.tagged, run.failed, run.unchanged, run.same_content) == (0, 0, 1, 4)
    assert (run.touched, run.changed, run.gone, run.taken_over) == (2, 2, 1, 0)
    soundfile.write(music / "b.flac", tones(3, 200), 44_100)
    run = tag_catalog(tagged)
    assert (run.tagged, run.changed, run.same_content) == (1, 1, 0)


def test_the_rows_of_an_older_version_are_taken_over_without_decoding(tagged):
    make_older(tagged)
    run = tag_catalog(tagged)
    assert (run.unchanged, run.same_content) == (4, 0)
    music = Path(tagged.catalog)
    os.utime(music / "a.mp3", ns=(1, 1))
    (music / "b.flac").rename(music / "e.flac")
    shutil.copy(music / "c.wav", music / "f.wav")
    run = tag_catalog(tagged)
    assert (run.tagged, run.failed, run.unchanged, run.same_content) == (0, 0, 2, 3)
    assert (run.touched, run.taken_over) == (1, 3)
    for table in ("tags", "windows", "embeddings"):
        assert prints(tagged.out, table) == {
            "a.mp3": "packets",
            "b.flac": "blake2b",
            "c.wav": "blake2b",
            "d.ogg": "blake2b",
            "e.flac": "packets",
            "f.wav": "packets",
        }
    tags = ID3()
    tags.add(TIT2(text="A title"))
    tags.save(music / "a.mp3")
    run = tag_catalog(tagged)
    assert (run.tagged, run.same_content, run.taken_over) == (0, 1, 0)


def test_an_index_of_an_older_version_says_that_its_hashes_are_of_bytes(tagged):
    """It counts none of them; nor does a file that no index covers."""
    make_older(tagged)
    (part,) = TagStore.open(tagged.out).parts(TagStore.open(tagged.out).models()[0])
    part.compact()
    assert part.contents([]).has_byte_hashes
    (index,) = Path(tagged.out).glob("index/*/*.parquet")
    name = str(index.relative_to(tagged.out))
    folder = Folder(tagged.out)
    table = folder.read_table(name)
    said = table.schema.metadata[b"timbre.index"].replace(b'"n_byte_hashes": 4', b'"n": 4')
    folder.write_table(name, table.replace_schema_metadata({b"timbre.index": said}))
    assert part.contents([]).has_byte_hashes
    assert (tag_catalog(tagged).unchanged, part.contents([]).has_byte_hashes) == (4, True)


def test_a_new_folder_has_no_hashes_of_bytes(tagged):
    (part,) = TagStore.open(tagged.out).parts(TagStore.open(tagged.out).models()[0])
    part.compact()
    assert not part.contents([]).has_byte_hashes


def exported(tagged: TagConfig, out: Path, **options: bool) -> tuple[set[str], tuple[str, ...]]:
    """Return the tracks that an export writes, and what it says besides."""
    done = export_tags(ExportConfig(tagged.out, "jsonl", str(out), **options))
    lines = (out / "tags.jsonl").read_text().splitlines()
    return {Path(json.loads(line)["uri"]).name for line in lines}, done.notes


def test_what_is_gone_is_left_out_until_it_is_back_or_pruned(tagged, tmp_path):
    music = Path(tagged.catalog)
    (music / "a.mp3").rename(tmp_path / "a.mp3")
    run = tag_catalog(tagged)
    assert (run.gone, run.marked_gone, run.returned, run.pruned) == (1, 1, 0, 0)
    left = "1 tracks left out: they are gone from the catalogue; --include-gone takes them"
    assert exported(tagged, tmp_path / "x") == (set(NAMES[1:]), (left,))
    assert exported(tagged, tmp_path / "y", include_gone=True) == (set(NAMES), ())
    again = retag(RetagConfig(tagged.out, str(tmp_path / "retagged"), threshold=0.1))
    assert again.tracks == 3
    compared = CompareTagsConfig(tagged.out, str(tmp_path / "retagged"), str(tmp_path / "c"))
    assert compare_tags(compared).apart == dict.fromkeys(compare_tags(compared).apart, 0)
    (tmp_path / "a.mp3").rename(music / "a.mp3")
    run = tag_catalog(tagged)
    assert (run.unchanged, run.gone, run.marked_gone, run.returned) == (4, 0, 0, 1)
    assert exported(tagged, tmp_path / "z") == (set(NAMES), ())
    again = retag(RetagConfig(tagged.out, str(tmp_path / "retagged"), threshold=0.1))
    assert again.tracks == 4


def test_retagged_tags_keep_what_is_gone_where_it_is_asked_for(tagged, tmp_path):
    (Path(tagged.catalog) / "a.mp3").unlink()
    tag_catalog(tagged)
    new = replace(tagged, out=str(tmp_path / "new"))
    assert retag(RetagConfig(tagged.out, new.out, threshold=0.1, include_gone=True)).tracks == 4
    assert exported(new, tmp_path / "x")[0] == set(NAMES[1:])


def test_pruned_rows_are_nowhere(tagged, tmp_path):
    music = Path(tagged.catalog)
    (music / "a.mp3").unlink()
    (music / "b.flac").rename(music / "e.flac")
    run = tag_catalog(replace(tagged, prune="gone"))
    assert (run.tagged, run.same_content, run.gone, run.pruned, run.marked_gone) == (0, 1, 2, 2, 0)
    names = {"c.wav", "d.ogg", "e.flac"}
    assert exported(tagged, tmp_path / "x") == (names, ())
    for table in ("tags", "windows", "embeddings"):
        assert set(prints(tagged.out, table)) == names
    assert sum(run.labels_in_all.values()) == labels_of(tagged.out)
    assert tag_catalog(tagged).unchanged == 3


def labels_of(out: str) -> int:
    """Return how many labels all tracks have together."""
    source = f"read_parquet('{out}/tags/**/*.parquet', hive_partitioning = false)"
    (found,) = duckdb.sql(f"select sum(len(labels)) from {source}").fetchall()
    return int(found[0])


def test_a_disk_that_may_be_missing_prunes_nothing_at_first(tagged, capsys):
    music = Path(tagged.catalog)
    for name in NAMES[1:]:
        (music / name).unlink()
    run = tag_catalog(replace(tagged, prune="gone"))
    assert (run.pruned, run.marked_gone) == (0, 3)
    assert "3 tracks have gone from" in (said := capsys.readouterr().err)
    assert "nothing is pruned; if no disk is missing, run the command again" in said
    run = tag_catalog(replace(tagged, prune="gone"))
    assert (run.pruned, run.marked_gone, run.unchanged) == (3, 0, 1)


def test_a_run_over_another_folder_takes_nothing_away(tagged, tmp_path):
    other = tmp_path / "other"
    other.mkdir()
    shutil.copy(Path(tagged.catalog) / "a.mp3", other / "z.mp3")
    run = tag_catalog(replace(tagged, catalog=str(other)))
    assert (run.same_content, run.gone, run.marked_gone) == (1, 4, 0)
    run = tag_catalog(replace(tagged, catalog=str(other), prune="gone"))
    assert (run.pruned, run.marked_gone) == (0, 0)
    assert exported(tagged, tmp_path / "x")[0] == {*NAMES, "z.mp3"}
    moved = replace(tagged, catalog=str(other), prune="unlisted")
    assert tag_catalog(moved).pruned == 4
    assert exported(tagged, tmp_path / "y")[0] == {"z.mp3"}


def test_a_catalogue_without_any_track_takes_nothing_away(tagged, tmp_path):
    for path in Path(tagged.catalog).iterdir():
        path.unlink()
    with pytest.raises(UsageError, match="no tracks"):
        tag_catalog(replace(tagged, prune="gone"))
    assert exported(tagged, tmp_path / "x")[0] == set(NAMES)


def write_manifest(path: Path, *lines: str) -> str:
    path.write_text("\n".join(("uri,id,labels", *lines, "")))
    return str(path)


def test_what_a_manifest_says_goes_with_its_tracks(tagged, tmp_path):
    """A new value decodes nothing and changes no file of TAGS; a row that is left out is gone."""
    music = Path(tagged.catalog)
    manifest = music / "m.csv"
    config = replace(
        tagged, catalog=write_manifest(manifest, "a.mp3,1,x", "./b.flac,2,", "a.mp3,3,")
    )
    run = tag_catalog(config)
    assert (run.tracks, run.unchanged, run.duplicates, run.marked_gone) == (2, 2, 1, 0)
    assert plan_tagging(config).duplicates == 1
    said = {
        "a.mp3": ("a.mp3", "1", "x"),
        "b.flac": ("./b.flac", "2", None),
        "c.wav": (None, None, None),
        "d.ogg": (None, None, None),
    }
    assert owner_says(tagged, tmp_path / "x") == said
    files = {path: path.stat().st_mtime_ns for path in Path(tagged.out).glob("tags/**/*.parquet")}
    write_manifest(manifest, "./b.flac,two,", "c.wav,3,")
    run = tag_catalog(config)
    assert (run.tracks, run.unchanged, run.duplicates, run.marked_gone) == (2, 2, 0, 1)
    assert {path: path.stat().st_mtime_ns for path in files} == files
    assert owner_says(tagged, tmp_path / "y") == {
        "b.flac": ("./b.flac", "two", None),
        "c.wav": ("c.wav", "3", None),
        "d.ogg": (None, None, None),
    }
    assert tag_catalog(tagged).returned == 1  # the folder has all four
    retag(RetagConfig(tagged.out, str(tmp_path / "retagged"), threshold=0.1))
    new = replace(tagged, out=str(tmp_path / "retagged"))
    assert owner_says(new, tmp_path / "z")["c.wav"] == ("c.wav", "3", None)


def owner_says(tagged: TagConfig, out: Path) -> dict[str, tuple[str | None, ...]]:
    """Return what exports have of a manifest's columns; all of them have the same."""
    keys = ("catalog_uri", "id", "catalog_labels")
    for name in ("jsonl", "csv", "jams"):
        export_tags(ExportConfig(tagged.out, name, str(out / name)))
    lines = map(json.loads, (out / "jsonl" / "tags.jsonl").read_text().splitlines())
    found = {Path(row["uri"]).name: tuple(row[key] for key in keys) for row in lines}
    with (out / "csv" / "tags.csv").open(newline="") as file:
        cells = {Path(row["uri"]).name: row for row in csv.DictReader(file)}
    jams = [json.loads(path.read_text()) for path in (out / "jams").rglob("*.jams")]
    boxes = {
        Path(one["file_metadata"]["identifiers"]["uri"]).name: one["annotations"][0]["sandbox"]
        for one in jams
    }
    for name, values in found.items():
        assert tuple(cells[name][key] or None for key in keys) == values
        assert tuple(boxes[name][key] for key in keys) == values
    return found


def test_two_manifests_of_one_folder_of_tags_keep_apart(tagged, tmp_path):
    music = Path(tagged.catalog)
    one = replace(tagged, catalog=write_manifest(music / "1.csv", "a.mp3,1,", "b.flac,2,"))
    two = replace(tagged, catalog=write_manifest(music / "2.csv", "b.flac,20,", "c.wav,30,"))
    tag_catalog(one)
    assert tag_catalog(two).marked_gone == 0
    found = owner_says(tagged, tmp_path / "x")
    assert {name: said[1] for name, said in found.items()} == {
        "a.mp3": "1", "b.flac": "20", "c.wav": "30", "d.ogg": None,
    }  # fmt: skip
    write_manifest(music / "1.csv", "b.flac,2,")
    run = tag_catalog(replace(one, prune="gone"))
    assert (run.pruned, run.marked_gone) == (1, 0)
    assert set(owner_says(tagged, tmp_path / "y")) == {"b.flac", "c.wav", "d.ogg"}
    assert tag_catalog(replace(one, prune="unlisted")).pruned == 2
    source = f"read_parquet('{tagged.out}/catalogue/**/*.parquet', hive_partitioning = false)"
    assert duckdb.sql(f"select catalog_uri, id from {source}").fetchall() == [("b.flac", "2")]
