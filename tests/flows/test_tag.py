"""Tagging: one row a track, a broken one too; reruns, changes, kills; and other people's tools."""

import json
import os
import shutil
import time
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import soundfile

from pipeline.audio.decode import decode
from pipeline.audio.logmel import LogMelSpec, log_mel
from pipeline.errors import SpecMismatch, UsageError
from pipeline.flows.tag import TagConfig, tag_catalog
from pipeline.learn.data import load_windows
from pipeline.learn.tagging import describe, tagging
from pipeline.store.catalogue import list_tracks
from tests.conftest import tones
from tests.flows.conftest import Corpus, kill, wait_for

HOSTILE = {"zero.wav": b"", "text.mp3": b"no music at all\n" * 99, "cut.flac": None}


@pytest.fixture(scope="module")
def music(corpus: Corpus, tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("music")
    videos = sorted((corpus.folder / "videos").glob("*.webm"))[:8]
    for k, video in enumerate(videos):
        suffix = ["webm", "wav", "flac", "ogg"][k % 4]
        path = folder / f"sub {k % 2}" / f"track '{k}' ü.{suffix}"
        path.parent.mkdir(exist_ok=True)
        if suffix == "webm":
            shutil.copy(video, path)
        else:
            soundfile.write(path, decode(video, sample_rate_hz=44_100, duration_s=12), 44_100)
    for name, data in HOSTILE.items():
        whole = (folder / "sub 0" / "track '2' ü.flac").read_bytes()
        (folder / name).write_bytes(whole[:1000] if data is None else data)
    return folder


def tag(catalog, model, out, **options):
    return tag_catalog(TagConfig(str(catalog), str(model), str(out), **options))


def rows(out: Path) -> list[dict]:
    query = f"select * from '{out}/tags/*.parquet' order by uri"
    return duckdb.sql(query).to_arrow_table().to_pylist()


@pytest.fixture(scope="module")
def tagged(music, model, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("tagged")
    run = tag(music, model, out)
    assert (run["tracks"], run["tagged"], run["failed"], run["skipped"]) == (11, 8, 3, 0)
    return out


def test_every_track_has_one_row(music, tagged, model):
    table = rows(tagged)
    assert [row["uri"] for row in table] == list_tracks(str(music))["uri"].to_pylist()
    card = json.loads((model / "model.json").read_text())
    for row in table:
        assert row["model_id"] == card["model_id"]
        failed = Path(row["uri"]).name in HOSTILE
        assert row["status"] == ("failed" if failed else "ok")
        if failed:
            assert row["scores"] is None
            assert row["labels"] == []
            assert row["reason"] in ("empty", "not_audio", "undecodable")
            assert row["detail"]
        else:
            scores = row["scores"]
            assert max(scores.values()) == pytest.approx(1)
            assert row["labels"] == [code for code, score in scores.items() if score >= 0.5]
            assert row["duration_s"] == pytest.approx(12, abs=0.1) or row["uri"].endswith("webm")
            assert row["fingerprint"].startswith("blake2b:")


def test_pandas_reads_it(tagged):
    frame = pd.concat(pd.read_parquet(path) for path in (tagged / "tags").glob("*.parquet"))
    assert len(frame) == 11
    assert frame["status"].value_counts()["ok"] == 8


def test_a_rerun_skips_all_and_a_change_is_tagged_again(music, model, tagged, tmp_path):
    out, catalog = tmp_path / "out", tmp_path / "music"
    shutil.copytree(tagged, out)
    shutil.copytree(music, catalog)  # copies keep the time of the change, not the name
    assert tag(music, model, out)["skipped"] == 11
    assert rows(out) == rows(tagged)
    track = music / "sub 0" / "track '2' ü.flac"
    before, times = track.read_bytes(), track.stat()
    try:
        soundfile.write(track, tones(3, 440), 44_100)
        run = tag(music, model, out)
        assert (run["tagged"], run["skipped"]) == (1, 10)
        changed = [row for row in rows(out) if row["uri"] == str(track)]
        assert [row["duration_s"] for row in changed] == [3]
        assert len(rows(out)) == 11
    finally:
        track.write_bytes(before)
        os.utime(track, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_s1_and_a_threshold(music, model, tmp_path):
    tag(music / "sub 0", model, tmp_path, aggregate="s1", threshold=0.01)
    for row in rows(tmp_path):
        assert 0 < max(row["scores"].values()) < 1
        assert row["labels"] == [code for code, score in row["scores"].items() if score >= 0.01]
    with pytest.raises(SpecMismatch, match="another --aggregate or --threshold"):
        tag(music / "sub 0", model, tmp_path)


def test_windows_are_what_training_would_see(music, model):
    """The serving path and the training path give the same windows, to the bit."""
    how = tagging(str(model), None, None, gpu=False)
    wav = next((music / "sub 1").glob("*.wav"))
    (described,) = describe(list_tracks(str(wav)), how)
    heard, n_frames = how.card.heard, how.card.windows.n_frames(how.card.heard)
    served = np.frombuffer(described["windows"][0].as_py(), "<f2").reshape(-1, 256, n_frames)
    logmel = log_mel(decode(wav, sample_rate_hz=44_100), LogMelSpec()).astype("<f2")
    table = pa.table({"segment_id": ["s"], "matrix": [logmel.tobytes()], "classes": [["a"]]})
    table = table.cast(table.schema.set(1, pa.field("matrix", pa.large_binary())))
    trained = load_windows([table], codes=["a"], windows=how.card.windows, heard=heard)
    np.testing.assert_array_equal(served, trained.clip_windows(0))


def test_manifest_with_a_missing_file(music, model, tmp_path):
    good = next((music / "sub 1").glob("*.wav"))
    (tmp_path / "m.csv").write_text(f'uri\n"{good}"\ngone.wav\n')
    run = tag(tmp_path / "m.csv", model, tmp_path / "out")
    assert (run["tagged"], run["failed"]) == (1, 1)
    (failed,) = [row for row in rows(tmp_path / "out") if row["status"] == "failed"]
    assert (failed["reason"], failed["uri"]) == ("unreadable", str(tmp_path / "gone.wav"))


def test_what_a_user_gets_wrong(music, model, tmp_path):
    with pytest.raises(UsageError, match="no tracks"):
        tag(tmp_path / "x", model, tmp_path / "o")
    with pytest.raises(UsageError, match=r"no model\.json"):
        tag(music, tmp_path, tmp_path / "o")
    with pytest.raises(UsageError, match="--threshold"):
        TagConfig("c", "m", "o", threshold=2)
    assert not (tmp_path / "o").exists()


def test_killed_with_9_and_run_again(music, model, start_job, tmp_path):
    catalog, out = tmp_path / "many", tmp_path / "out"
    catalog.mkdir()
    wav = next((music / "sub 1").glob("*.wav"))
    for k in range(400):
        os.link(wav, catalog / f"{k:03d}.wav") if k % 50 else (
            catalog / f"{k:03d}.wav"
        ).write_bytes(b"x")
    flags = ["--catalog", catalog, "--model", model, "--out", out, "--max-failed", "1%"]
    process = start_job("tag_catalog", *flags)
    wait_for(lambda: list(out.glob("tags/*.parquet")) or process.poll() is not None, 240)
    assert process.poll() is None, process.stdout.read()
    kill(process)
    done = len(rows(out))
    assert 0 < done < 400
    time.sleep(1)
    again = start_job("tag_catalog", *flags)
    output, _ = again.communicate(timeout=240)
    assert again.returncode == 3, output  # 8 of 400 failed: past the limit of 1 %
    table = rows(out)
    assert [row["uri"] for row in table] == [str(catalog / f"{k:03d}.wav") for k in range(400)]
    assert [row["status"] for row in table].count("failed") == 8
    assert json.loads((out / "run.json").read_text())["skipped"] >= done
