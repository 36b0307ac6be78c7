"""Tagged in the job's own process and on Ray: the same tables, the same failures, the same counts.

The process has no Ray, and here is one: so the first is a process of its own. The third way is that
of a large catalogue on a cluster: TAGS in parts, each planned and finished by a task.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest
import ray
import soundfile

from jobs import tag_catalog
from pipeline.errors import StoreError
from pipeline.flows.tagging import tag
from pipeline.flows.tagging.part_tasks import each_on_ray
from pipeline.store.tags.work.work_table import SAME_PLACE
from tests.conftest import tones
from tests.tagging.catalogues import counts, table, tag_in_a_process, write_catalogue

TABLES = ("tags", "windows", "intervals", "embeddings", "window_embeddings")
N_PARTS = 4


def words(music: Path, out: Path) -> list[str]:
    flags = ["--keep-windows", "--embeddings", "--min-confidence", "0.01", "--examples", "0"]
    flags += ["--attributes", "timbral"]
    return ["--catalog", str(music), "--out", str(out), *flags]


def tag_in_parts(*words: str) -> int:
    """Run jobs.tag_catalog here as on a cluster, as if the catalogue were a large one."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("RAY_ADDRESS", ray.get_runtime_context().gcs_address)
        patched.setattr(tag, "n_parts_for", lambda n_rows: N_PARTS)
        return tag_catalog.main([*words, "--workers", "1"])


@pytest.fixture(scope="module")
def folders(tmp_path_factory, ray_local) -> tuple[Path, Path, Path, Path]:
    """Tag a catalogue all ways."""
    folder = tmp_path_factory.mktemp("contract")
    music, here, on_ray = write_catalogue(folder / "music"), folder / "here", folder / "ray"
    ended = tag_in_a_process(*words(music, here))
    assert (ended["code"], "ray" in ended["imported"]) == (0, False)
    assert tag_catalog.main([*words(music, on_ray), "--workers", "1"]) == 0
    assert tag_in_parts(*words(music, folder / "parts")) == 0
    return music, here, on_ray, folder / "parts"


def test_all_ways_write_the_same(folders):
    _, here, on_ray, in_parts = folders
    for name in TABLES:
        rows = table(here, name)
        assert rows and rows == table(on_ray, name) == table(in_parts, name), name
    assert counts(here) == counts(on_ray) == counts(in_parts)
    assert len(list(in_parts.glob(f"tags/*/part=*-of-{N_PARTS}"))) > 1
    assert not list(in_parts.glob("work/**/*.parquet"))
    run = counts(here)
    assert (run["tracks"], run["tagged"], run["failed"]) == (14, 11, 3)
    assert run["left_out"] == {".jpg": 1}
    rows = {Path(row["uri"]).name: row for row in table(here, "tags")}
    assert {name for name, row in rows.items() if row["status"] == "failed"} == {
        "cut.flac", "text.mp3", "zero.wav",
    }  # fmt: skip
    assert (rows["silence.wav"]["labels"], rows["silence.wav"]["n_active"]) == ([], 0)
    described = {name: row["timbral_brightness"] for name, row in rows.items()}
    assert {name for name, value in described.items() if value is None} == {
        "cut.flac", "text.mp3", "zero.wav", "silence.wav",
    }  # fmt: skip


@pytest.mark.slow
def test_all_ways_go_on_alike(folders):
    """A renamed, a touched, a changed and a new track, and the failed ones again."""
    music, here, on_ray, in_parts = folders
    tracks = sorted(music.glob("sub 0/*"))
    tracks[0].rename(music / "renamed.wav")
    os.utime(tracks[1], ns=(1, 1))
    soundfile.write(tracks[2], tones(2, 523), 44_100, format="WAV")
    shutil.copy(tracks[3], music / f"copy{tracks[3].suffix}")
    soundfile.write(music / "new.wav", tones(4, 311), 44_100)
    more = ["--retry", "failed"]
    of_a_killed_run = in_parts / SAME_PLACE / "0.parquet"
    of_a_killed_run.parent.mkdir(exist_ok=True)
    of_a_killed_run.write_bytes(b"cut off")
    assert tag_in_a_process(*words(music, here), *more)["code"] == 0
    assert tag_catalog.main([*words(music, on_ray), *more, "--workers", "1"]) == 0
    assert tag_in_parts(*words(music, in_parts), *more) == 0
    for name in TABLES:
        assert table(here, name) == table(on_ray, name) == table(in_parts, name), name
    assert counts(here) == counts(on_ray) == counts(in_parts)
    assert not list(in_parts.glob("work/**/*.parquet"))
    run = counts(here)
    assert (run["tracks"], run["tagged"], run["failed"], run["retried"]) == (16, 2, 3, 3)
    assert (run["same_content"], run["touched"], run["changed"], run["gone"]) == (3, 1, 2, 1)


def test_a_disk_that_gives_out_under_a_task_is_told_as_here(ray_local):
    def fails(part: int) -> int:
        if part == 2:
            raise StoreError("s3://b/tags: no room")
        return part

    with each_on_ray(max_wait_s=1) as each, pytest.raises(StoreError) as caught:
        list(each(fails, range(4)))
    assert str(caught.value) == "s3://b/tags: no room"
    with each_on_ray(max_wait_s=1) as each:
        assert list(each(fails, [3, 1])) == [3, 1]
