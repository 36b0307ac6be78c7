"""What is not decoded again: files with other names, times or tags, and older folders' tracks."""

from __future__ import annotations

import os
import shutil
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest
import soundfile
from mutagen.id3 import ID3, TIT2

from pipeline.audio.decoding.fingerprint import byte_fingerprint
from pipeline.flows.tagging.tag import TagConfig, tag_catalog
from pipeline.store.folder import Folder
from pipeline.store.tags.tagfiles import TABLES
from pipeline.store.tags.tagstore import TagStore
from tests.conftest import tones
from tests.models.test_engines import write_model

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
