"""Exports that other programs open: real ones where they install, else their documented form."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tomllib

import duckdb
import numpy as np
import pyarrow.parquet as pq
import pytest
import webdataset
import yaml

from pipeline.errors import UsageError
from pipeline.exports.atlas import fitted
from tests.exports.conftest import row_of
from tests.tag_rows import MODEL, interval


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def beet(folder, *words):
    """Run beets' own program on a library of its own."""
    environment = {**os.environ, "BEETSDIR": str(folder)}
    done = subprocess.run(
        [sys.executable, "-m", "beets", *words],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_beets_finds_instruments_by_name_and_score(music, run_folder, export, tmp_path):
    trio = music / "Trio"
    rows = [row_of(trio / "flac.flac"), row_of(trio / "mp3.mp3", ["cel"], timbral_depth=None)]
    gone = row_of(trio / "ogg.ogg") | {"uri": str(trio / "gone.ogg")}
    remote = row_of(trio / "wav.wav") | {"uri": "s3://bucket/a.wav"}
    done = export(run_folder([*rows, gone, remote]), "beets")
    assert "beets.jsonl: 3 tracks" in done.files
    assert done.notes == ("1 tracks are not on a local disk: beets has no library of them",)
    said = yaml.safe_load((tmp_path / "out" / "beets.yaml").read_text())
    library = tmp_path / "beets"
    library.mkdir()
    said |= {"library": str(library / "library.db"), "directory": str(music)}
    said["import"] = {"copy": False, "autotag": False, "quiet": True}
    (library / "config.yaml").write_text(yaml.safe_dump(said))
    beet(library, "import", "-q", str(music))
    assert "2 of 3 tracks" in beet(library, "timbre", str(tmp_path / "out" / "beets.jsonl"))
    names = ["-f", "$path|$instruments|$timbral_depth"]
    found = beet(library, "ls", *names, "instruments:cello", "instrument_pia:0.5..")
    assert found == f"{trio}/flac.flac|cello; piano|51.2\n"
    assert beet(library, "ls", "-f", "$path", "instruments:cello").count("\n") == 2


def test_webdataset_reads_audio_and_tags(music, run_folder, export, tmp_path):
    trio = music / "Trio"
    rows = [row_of(path) for path in sorted(trio.iterdir())]
    rows += [row_of(trio / "wav.wav") | {"uri": "s3://bucket/a.wav"}]
    big = trio / "big.v1.wav"
    big.write_bytes((trio / "wav.wav").read_bytes() + bytes(1 << 20))
    tags = run_folder([row_of(big), *rows], intervals=[interval(rows[0], "pia", 0.1, 0.3)])
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "webdataset-000007.tar").write_bytes(b"of an earlier export")
    done = export(tags, "webdataset", max_shard_mib=1)
    assert "2 shards webdataset-*.tar, 8 samples" in done.files
    assert "1 tracks are not on a local disk: left out" in done.notes
    shards = sorted(str(path) for path in (tmp_path / "out").glob("*.tar"))
    assert [name[-5] for name in shards] == ["0", "1"]
    reader = webdataset.WebDataset(shards, shardshuffle=False, empty_check=False)
    samples = {json.loads(one["json"])["uri"]: one for one in reader}
    assert len(samples) == 8
    for path in (big, *(trio / f"{name}.{name}" for name in ("mp3", "opus", "m4a"))):
        assert samples[str(path)][path.suffix[1:]] == path.read_bytes()
    said = json.loads(samples[str(rows[0]["uri"])]["json"])
    assert said["label_names"] == ["cello", "piano"]
    spans = [(one["code"], one["start_s"], one["end_s"]) for one in said["intervals"]]
    assert spans == [("cel", 0.0, 0.5), ("pia", 0.1, 0.3)]
    index = {one["uri"]: one["file"] for one in lines_of(tmp_path / "out/index-webdataset.jsonl")}
    assert index[str(big)] == "webdataset-000000.tar"
    assert set(index) == set(samples)
    once = [(tmp_path / "out" / "webdataset-000001.tar").read_bytes()]
    export(tags, "webdataset", max_shard_mib=1)
    assert [(tmp_path / "out" / "webdataset-000001.tar").read_bytes()] == once
    with pytest.raises(UsageError, match="--max-shard-mib 0: expected 1 or more"):
        export(tags, "webdataset", max_shard_mib=0)


def test_navidrome_s_playlists_ask_for_the_tags_that_its_settings_name(
    music, run_folder, export, tmp_path
):
    """The form is that of navidrome's model/criteria: operators, fields and their places."""
    export(run_folder(), "navidrome")
    tags = tomllib.loads((tmp_path / "out" / "navidrome.toml").read_text())["Tags"]
    spelt = ["instruments", "txxx:instruments", "----:com.apple.itunes:instruments"]
    assert tags["instruments"] == {"Aliases": spelt}
    assert tags["timbral_depth"]["Type"] == "float"
    playlists = {p.stem: json.loads(p.read_text()) for p in (tmp_path / "out").glob("*.nsp")}
    assert set(playlists) == {"cel", "pia"}
    for code, name in (("cel", "cello"), ("pia", "piano")):
        (rule,) = playlists[code]["all"]
        assert rule == {"is": {"instruments": name}}
        assert set(playlists[code]) <= {"name", "comment", "all", "sort", "order", "limit"}
        assert playlists[code]["name"] == name.capitalize()


def embedded(row, *values):
    keys = {key: row[key] for key in ("uri", "fingerprint", "model_id")}
    return {**keys, "embedding": list(values)}


def test_atlas_has_a_point_for_each_track_with_an_embedding(music, run_folder, export, tmp_path):
    rows = [row_of(path) for path in sorted((music / "Trio").iterdir())]
    vectors = [embedded(row, k, 0.0, k % 2) for k, row in enumerate(rows[:-1])]
    done = export(run_folder(rows, embeddings=vectors), "atlas")
    path = tmp_path / "out" / "atlas.parquet"
    assert f"embedding-atlas {path} --x x --y y" in done.files
    assert "1 tracks have no embedding: left out" in done.notes
    query = f"select uri, x, y, instruments, main_instrument, score_cel from '{path}' order by x"
    found = duckdb.sql(query).fetchall()  # what Embedding Atlas reads by
    order = [uri for uri, *_ in found]
    expected = [row["uri"] for row in rows[:-1]]
    assert order in (expected, expected[::-1])  # the first axis is the first dimension
    assert found[0][3:] == ("cello; piano", "cello", pytest.approx(0.9))
    points = np.array([one[1:3] for one in found])
    np.testing.assert_allclose(points.std(axis=0, ddof=1), 1, rtol=1e-4)


def test_atlas_without_embeddings_goes_by_scores(run_folder, export, tmp_path):
    done = export(run_folder(), "atlas")
    assert "7 tracks by their scores, as no embeddings were kept" in done.files
    assert pq.read_table(tmp_path / "out" / "atlas.parquet").num_rows == 7
    one = fitted(np.ones((1, 5), np.float32))
    assert one(np.ones((3, 5), np.float32)).tolist() == [[0.0, 0.0]] * 3


def test_fiftyone_s_script_makes_samples_of_the_lines(music, run_folder, export, tmp_path):
    rows = [row_of(path) for path in sorted((music / "Trio").iterdir())]
    export(run_folder(rows, embeddings=[embedded(rows[0], 1.0, 2.0)]), "fiftyone")
    first, second, *_ = lines_of(tmp_path / "out" / "fiftyone.jsonl")
    assert first["instruments"] == [
        {"label": "cello", "confidence": 0.9},
        {"label": "piano", "confidence": 0.6},
    ]
    assert first["fields"] == {
        "uri": rows[0]["uri"],
        "duration_s": 0.5,
        "model_id": MODEL,
        "timbral_depth": 51.25,
        "embedding": [1.0, 2.0],
    }
    assert second["fields"]["embedding"] is None
    compile((tmp_path / "out" / "fiftyone_load.py").read_text(), "fiftyone_load.py", "exec")


def test_fiftyone_itself_takes_the_samples(music, run_folder, export, tmp_path, monkeypatch):
    pytest.importorskip("fiftyone")
    row = row_of(music / "Trio" / "m4a.m4a")
    export(run_folder([row], embeddings=[embedded(row, 1.0, 2.0)]), "fiftyone")
    monkeypatch.syspath_prepend(tmp_path / "out")
    import fiftyone_load

    (sample,) = fiftyone_load.samples(tmp_path / "out" / "fiftyone.jsonl")
    assert (sample.filepath, sample.media_type) == (row["uri"], "unknown")
    assert [one.label for one in sample.instruments.classifications] == ["cello", "piano"]
    assert sample["embedding"].tolist() == [1.0, 2.0]
