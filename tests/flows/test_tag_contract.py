"""Tagged in the job's own process and on Ray: the same tables, the same failures, the same counts.

The process has no Ray, and here is one: so the first is a process of its own.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import soundfile

from jobs import tag_catalog
from tests.conftest import tones
from tests.tagging.catalogues import counts, table, tag_in_a_process, write_catalogue

TABLES = ("tags", "windows", "intervals", "embeddings")


def words(music: Path, out: Path) -> list[str]:
    flags = ["--keep-windows", "--embeddings", "--min-confidence", "0.01", "--examples", "0"]
    return ["--catalog", str(music), "--out", str(out), *flags]


@pytest.fixture(scope="module")
def folders(tmp_path_factory, ray_local) -> tuple[Path, Path, Path]:
    """Tag a catalogue both ways."""
    folder = tmp_path_factory.mktemp("contract")
    music, here, on_ray = write_catalogue(folder / "music"), folder / "here", folder / "ray"
    ended = tag_in_a_process(*words(music, here))
    assert (ended["code"], "ray" in ended["imported"]) == (0, False)
    assert tag_catalog.main([*words(music, on_ray), "--workers", "1"]) == 0
    return music, here, on_ray


def test_both_ways_write_the_same(folders):
    _, here, on_ray = folders
    for name in TABLES:
        rows = table(here, name)
        assert rows and rows == table(on_ray, name), name
    assert counts(here) == counts(on_ray)
    run = counts(here)
    assert (run["tracks"], run["tagged"], run["failed"]) == (14, 11, 3)
    assert run["left_out"] == {".jpg": 1}
    rows = {Path(row["uri"]).name: row for row in table(here, "tags")}
    assert {name for name, row in rows.items() if row["status"] == "failed"} == {
        "cut.flac", "text.mp3", "zero.wav",
    }  # fmt: skip
    assert (rows["silence.wav"]["labels"], rows["silence.wav"]["n_active"]) == ([], 0)


def test_both_ways_go_on_alike(folders):
    """A renamed, a touched, a changed and a new track, and the failed ones again."""
    music, here, on_ray = folders
    tracks = sorted(music.glob("sub 0/*"))
    tracks[0].rename(music / "renamed.wav")
    os.utime(tracks[1], ns=(1, 1))
    soundfile.write(tracks[2], tones(2, 523), 44_100, format="WAV")
    shutil.copy(tracks[3], music / f"copy{tracks[3].suffix}")
    soundfile.write(music / "new.wav", tones(4, 311), 44_100)
    more = ["--retry", "failed"]
    assert tag_in_a_process(*words(music, here), *more)["code"] == 0
    assert tag_catalog.main([*words(music, on_ray), *more, "--workers", "1"]) == 0
    for name in TABLES:
        assert table(here, name) == table(on_ray, name), name
    assert counts(here) == counts(on_ray)
    run = counts(here)
    assert (run["tracks"], run["tagged"], run["failed"], run["retried"]) == (16, 2, 3, 3)
    assert (run["same_content"], run["touched"], run["changed"], run["gone"]) == (3, 1, 2, 1)
