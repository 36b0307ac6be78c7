"""jobs.tag_catalog --attributes: who is described, who is described later, and who asks for it.

The nights are one after the other in one folder: without attributes, with them, without again.
"""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import soundfile

from jobs import export, retag, tag_catalog
from pipeline.audio.description.timbral.descriptors import NAMES, timbral_descriptors
from tests.conftest import SAMPLE_RATE_HZ, tones
from tests.models.test_engines import write_model

COLUMNS = [f"timbral_{name}" for name in NAMES]
PAGE = (Path(__file__).parents[2] / "docs" / "operations.md").read_text("utf-8")
PITCHES_HZ = {"bright": (3000, 6000, 9000), "rough": (3000, 3060, 3120), "dull": (110, 220, 330)}

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("in_process")]


def rows_of(out: Path) -> dict[str, dict]:
    """Return the rows of TAGS by the name of their track; each has one row."""
    tables = [pd.read_parquet(path, partitioning=None) for path in out.glob("tags/**/*.parquet")]
    tags = pd.concat(tables)
    rows = {Path(row["uri"]).stem: row for row in tags.to_dict("records")}
    assert len(rows) == len(tags)
    return rows


def sets_of(row: dict) -> list[str]:
    """Return the attribute sets that a row was described by."""
    said = row.get("attributes")
    return [] if said is None or isinstance(said, float) else list(said)


@pytest.fixture(scope="module")
def nights(tmp_path_factory):
    """Tag four nights; give what each left."""
    folder = tmp_path_factory.mktemp("attributes")
    music, out = folder / "music", folder / "tagging"
    model, _ = write_model(folder / "model")
    music.mkdir()
    for name, pitches_hz in PITCHES_HZ.items():
        soundfile.write(music / f"{name}.wav", tones(1.5, *pitches_hz), SAMPLE_RATE_HZ)
    soundfile.write(music / "silence.wav", np.zeros(SAMPLE_RATE_HZ), SAMPLE_RATE_HZ)
    (music / "broken.wav").write_bytes(b"no music")

    def night(*flags: str) -> SimpleNamespace:
        words = ["--catalog", str(music), "--model", model, "--out", str(out), "--examples", "0"]
        assert tag_catalog.main([*words, "--engine", "torch", *flags]) == 0
        run = json.loads((out / "run.json").read_text())
        return SimpleNamespace(run=run, rows=rows_of(out), page=(out / "report.html").read_text())

    found = SimpleNamespace(music=music, out=out, folder=folder, night=night)
    found.without = night()
    (music / "bright.wav").rename(music / "renamed.wav")
    found.first = night("--attributes", "timbral")
    found.second = night("--attributes", "timbral")
    shutil.copy(music / "dull.wav", music / "copy.wav")
    soundfile.write(music / "new.wav", tones(1, 440), SAMPLE_RATE_HZ)
    found.again_without = night()
    return found


def test_without_the_flag_nothing_is_said_of_attributes(nights):
    assert not any(key == "attributes" or "timbral" in key for row in nights.without.rows.values()
                   for key in row)  # fmt: skip
    assert nights.without.run["attributes"] == [] and nights.without.run["undescribed"] == 0
    assert "timbral" not in nights.without.page


def test_who_was_tagged_without_is_tagged_again_and_no_one_else(nights):
    """A new name of a content that was not described is decoded, too."""
    first, second = nights.first.run, nights.second.run
    assert (first["tagged"], first["undescribed"], first["failed"]) == (4, 3, 0)
    assert (first["same_content"], first["unchanged"], first["attributes"]) == (0, 1, ["timbral"])
    assert (second["tracks"], second["unchanged"], second["undescribed"]) == (5, 5, 0)


def test_values_are_those_of_the_track(nights):
    rows = nights.first.rows
    for name in ("renamed", "rough", "dull"):
        samples, _ = soundfile.read(nights.music / f"{name}.wav", dtype="float32")
        expected = timbral_descriptors(samples, SAMPLE_RATE_HZ)
        for key in NAMES:
            assert rows[name][f"timbral_{key}"] == pytest.approx(expected[key], rel=1e-4), key
        assert sets_of(rows[name]) == ["timbral"]
    assert np.isnan([rows["silence"][key] for key in COLUMNS]).all()
    assert sets_of(rows["silence"]) == ["timbral"]
    for name in ("broken", "bright"):  # failed, and gone: not tagged again
        assert sets_of(rows[name]) == [] and np.isnan(rows[name]["timbral_depth"])


def test_a_copy_takes_them_along_in_a_night_that_does_not_ask(nights):
    rows = nights.again_without.rows
    assert nights.again_without.run["same_content"] == 1
    for key in COLUMNS:
        assert rows["copy"][key] == rows["dull"][key] == nights.first.rows["dull"][key]
    assert sets_of(rows["copy"]) == ["timbral"]
    assert sets_of(rows["new"]) == [] and np.isnan(rows["new"]["timbral_depth"])


def test_a_dry_run_says_how_many_are_left(nights, capsys):
    nights_words = ["--catalog", str(nights.music), "--model", str(nights.folder / "model")]
    words = [*nights_words, "--out", str(nights.out), "--engine", "torch", "--dry-run"]
    assert tag_catalog.main([*words, "--attributes", "timbral"]) == 0
    assert "1 to do (0 changed, 0 again, 1 for attributes), 6 unchanged" in capsys.readouterr().out
    assert tag_catalog.main(words) == 0
    assert "0 to do (0 changed, 0 again), 7 unchanged" in capsys.readouterr().out
    assert tag_catalog.main([*words, "--attributes", "timber"]) == 2
    assert "--attributes timber: expected some of timbral" in capsys.readouterr().err


def test_the_page_shows_how_they_lie_and_which_tracks_are_at_the_ends(nights):
    for page in (nights.first.page, nights.second.page):
        for words in ("Attributes, drawn", "Highest and lowest tracks by attribute"):
            assert words in page
        (row,) = re.findall(r"<tr>\s*<td[^>]*>timbral_brightness</td>\s*<td[^>]*>8\d\.\d.*?</tr>",
                            page, re.DOTALL)  # fmt: skip
        assert "renamed.wav" in row and "dull.wav" in row
    assert "tagged again: had no attributes" in nights.first.page


def test_the_lines_of_the_docs_find_what_is_bright_and_not_rough(nights, monkeypatch):
    (block,) = re.findall(r"```python\n(import duckdb.+?)```", PAGE, re.DOTALL)
    monkeypatch.chdir(nights.folder)
    names: dict[str, object] = {}
    exec(compile(block, "docs/operations.md", "exec"), names)
    for found in (names["by_duckdb"].df(), names["by_pandas"]):
        assert [Path(uri).stem for uri in found["uri"]] == ["renamed"]


def test_exports_have_them(nights, tmp_path, capsys):
    for name in ("csv", "jsonl", "jams"):
        words = ["--tags", str(nights.out), "--format", name, "--out", str(tmp_path / name)]
        assert export.main(words) == 0
    table = pd.read_csv(tmp_path / "csv" / "tags.csv")
    expected = nights.again_without.rows
    assert [column for column in table.columns if column.startswith("timbral_")] == COLUMNS
    for line in (tmp_path / "jsonl" / "tags.jsonl").read_text().splitlines():
        row = json.loads(line)
        value = expected[Path(row["uri"]).stem]["timbral_brightness"]
        if np.isnan(value):
            assert row["timbral_brightness"] is None
        else:
            assert row["timbral_brightness"] == pytest.approx(value, abs=1e-5)
    (path,) = (tmp_path / "jams").glob("copy*.jams")
    sandbox = json.loads(path.read_text())["annotations"][0]["sandbox"]
    assert sandbox["timbral_brightness"] == pytest.approx(expected["copy"]["timbral_brightness"])


def test_new_labels_leave_them_as_they_are(nights, tmp_path):
    words = ["--tags", str(nights.out), "--out", str(tmp_path / "new"), "--threshold", "0.1"]
    assert retag.main(words) == 0
    rows, before = rows_of(tmp_path / "new"), nights.again_without.rows
    assert rows.keys() == before.keys() - {"bright"}  # it has another name since the second night
    for name, row in rows.items():
        assert [row[key] for key in COLUMNS] == pytest.approx(
            [before[name][key] for key in COLUMNS], nan_ok=True
        )
        assert sets_of(row) == sets_of(before[name])
