"""Features of a dataset: what the catalogue gives for each clip, once, whatever was killed."""

import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import soundfile

from jobs import explore, extract_features
from pipeline.audio.decoding.clip import from_pcm16
from pipeline.audio.description.features import FrameSpec, extract, pool
from pipeline.audio.description.prepare import low_pass, standardise
from pipeline.flows import extract as extraction
from pipeline.flows.extract import run_shards
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder
from schemas.dataset import DatasetRecord
from schemas.feature_set import DESCRIPTION_KEY, read_matrices
from schemas.features import read_logmels
from tests.flows.conftest import kill
from tests.waiting import wait_for


@pytest.fixture(scope="module")
def clips(dataset: Path) -> dict[str, dict]:
    rows = pq.read_table(dataset / "clips", partitioning=None).to_pylist()
    return {row["segment_id"]: row for row in rows}


def samples_of(clip: dict) -> np.ndarray:
    return from_pcm16(soundfile.read(io.BytesIO(clip["audio"]["bytes"]), dtype="int16")[0])


def run(dataset: Path, out: Path, *flags: str) -> int:
    return extract_features.main(["--dataset", str(dataset), "--out", str(out), *flags])


@pytest.mark.slow
def test_frames_are_the_catalogues(dataset, clips, ray_local, tmp_path):
    assert run(dataset, tmp_path, "--features", "mfcc,zcr,nmf_components,timbral") == 0
    n_rows_of = {"mfcc": 40, "zcr": 1, "nmf_components": 1025, "timbral": 8}
    for name, n_rows in n_rows_of.items():
        table = pq.read_table(tmp_path / name, partitioning=None)
        assert sorted(table["segment_id"].to_pylist()) == sorted(clips)
        described = json.loads(table.schema.metadata[DESCRIPTION_KEY])
        assert len(described["rows"]) == n_rows
        assert described["frames"] == FrameSpec().to_dict()
        row, matrix = table.to_pylist()[0], read_matrices(table)[0]
        assert matrix.shape == (n_rows, row["n_columns"])
        clip = clips[row["segment_id"]]
        assert (row["classes"], row["split"]) == (clip["classes"], clip["split"])
        expected = extract(name, samples_of(clip), FrameSpec())
        np.testing.assert_allclose(matrix, expected, rtol=1e-3, atol=1e-3)


@pytest.mark.slow
def test_log_mels_are_those_of_the_build(dataset, ray_local, tmp_path):
    assert run(dataset, tmp_path, "--features", "logmel") == 0
    ours = pq.read_table(tmp_path / "logmel", partitioning=None).sort_by("segment_id")
    built = pq.read_table(dataset / "features", partitioning=None).sort_by("segment_id")
    for mine, theirs in zip(read_matrices(ours), read_logmels(built), strict=True):
        np.testing.assert_array_equal(mine.astype(np.float16), theirs)


def test_pooled_and_prepared(dataset, clips, ray_local, tmp_path):
    flags = [
        "--features",
        "centroid",
        "--pool",
        "mean,var",
        "--prepare",
        "lowpass:4000,standardise",
    ]
    assert run(dataset, tmp_path, *flags) == 0
    rows = pq.read_table(tmp_path / "centroid-pooled", partitioning=None).to_pylist()
    assert {row["segment_id"] for row in rows} == set(clips)
    train = json.loads((dataset / "dataset.json").read_text())["train_moments"]["samples"]
    for row in rows[:3]:
        samples = low_pass(
            samples_of(clips[row["segment_id"]]), sample_rate_hz=44_100, cutoff_hz=4000
        )
        samples = standardise(samples, mean=train["mean"], deviation=train["deviation"])
        expected = pool(extract("centroid", samples, FrameSpec()), ("mean", "var"))
        np.testing.assert_allclose(row["mean"], expected["mean"], rtol=1e-5)
        np.testing.assert_allclose(row["var"], expected["var"], rtol=1e-4)


def test_a_rerun_does_what_is_missing_and_more_features_join(dataset, ray_local, tmp_path, capsys):
    assert run(dataset, tmp_path, "--features", "rms") == 0
    first = {path: path.stat().st_mtime_ns for path in (tmp_path / "rms").iterdir()}
    lost = sorted(first)[0]
    lost.unlink()
    (tmp_path / "rms" / ".x.parquet.12345678.tmp").write_bytes(b"half")
    (tmp_path / "rms" / "train-0000000000000000.parquet").write_bytes(b"of no shard")
    assert run(dataset, tmp_path, "--features", "flatness") == 0
    again = {path: path.stat().st_mtime_ns for path in (tmp_path / "rms").iterdir()}
    assert again.keys() == first.keys()
    assert [path for path in first if again[path] != first[path]] == [lost]
    assert len(list((tmp_path / "flatness").iterdir())) == len(first)
    assert list(json.loads((tmp_path / "features.json").read_text())["features"]) == [
        "rms",
        "flatness",
    ]
    capsys.readouterr()
    assert run(dataset, tmp_path, "--features", "rms") == 0
    assert "0 clips in 0 shards done now" in capsys.readouterr().out


@pytest.mark.slow
def test_a_killed_run_goes_on(dataset, clips, start_job, ray_local, tmp_path):
    flags = ["--dataset", dataset, "--out", tmp_path / "f", "--features", "tempogram,rms"]
    job = start_job("extract_features", *flags)
    wait_for(lambda: len(list((tmp_path / "f").glob("*/*.parquet"))) >= 3, job)
    kill(job)
    assert run(dataset, tmp_path / "f", "--features", "tempogram,rms") == 0
    for name in ("tempogram", "rms"):
        ids = pq.read_table(tmp_path / "f" / name, partitioning=None)["segment_id"].to_pylist()
        assert sorted(ids) == sorted(clips)


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--features", "mfc"], "expected one of"),
        (["--features", "rms,rms"], "each once"),
        (["--features", ""], "expected names"),
        (["--features", "rms", "--pool", "median"], "expected mean, var"),
        (["--features", "rms", "--prepare", "highpass:3"], "highpass"),
        (["--features", "rms", "--hop", "0"], "hop"),
    ],
)
def test_what_a_user_gets_wrong_is_one_line(dataset, tmp_path, capsys, flags, words):
    assert run(dataset, tmp_path, *flags) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1


def test_other_settings_need_another_folder(dataset, ray_local, tmp_path, capsys):
    assert run(dataset, tmp_path, "--features", "rms") == 0
    assert run(dataset, tmp_path, "--features", "rms", "--hop", "256") == 2
    assert run(dataset, tmp_path, "--features", "rms", "--pool", "mean") == 2
    assert run(dataset, dataset, "--features", "rms") == 2
    assert "give another --out" in capsys.readouterr().err


def write_clips(dataset: Path, code: str = "cel", **rates_hz: float) -> None:
    """Write a dataset of a shard a clip, which is a second of a sine."""
    folder, shas = Folder(str(dataset)), []
    for segment_id, rate_hz in rates_hz.items():
        audio = io.BytesIO()
        sine = 0.1 * np.sin(2 * np.pi * rate_hz * np.arange(44_100) / 44_100)
        soundfile.write(audio, sine, 44_100, format="WAV", subtype="PCM_16")
        shas.append(hashlib.sha256(audio.getvalue()).hexdigest())
        clip = {"segment_id": segment_id, "ytid": segment_id, "classes": [code], "split": "train"}
        clip |= {"sha256": shas[-1], "audio": {"bytes": audio.getvalue(), "path": ""}}
        folder.write_table(f"clips/train-{segment_id}.parquet", pa.Table.from_pylist([clip]))
    meta = {"complete": True, "fingerprint": " ".join([code, *shas])}
    folder.write_json("dataset.json", {**meta, "feature_spec": {"sample_rate_hz": 44_100}})


def centroids(out: Path) -> dict[str, int]:
    """Return the clips' mean centroids, to the next 100 Hz."""
    table = pq.read_table(out / "centroid-pooled", partitioning=None)
    return {row["segment_id"]: round(row["mean"][0], -2) for row in table.to_pylist()}


@pytest.fixture
def extract_centroid(ray_local, tmp_path):
    """Give a function that extracts the pooled centroids of a dataset into one folder."""
    out = tmp_path / "out"

    def extract(dataset: Path) -> int:
        return run(dataset, out, "--features", "centroid", "--pool", "mean")

    return extract, out


def test_another_dataset_does_not_take_over_features(extract_centroid, tmp_path, capsys):
    """Shards are named by the ids of their clips, not by what these sound like."""
    extract, out = extract_centroid
    write_clips(tmp_path / "a", x=1000, y=2000)
    write_clips(tmp_path / "b", x=4000)
    assert extract(tmp_path / "a") == 0
    assert extract(tmp_path / "b") == 2
    assert f"of another dataset, {tmp_path / 'a'}; give another --out" in capsys.readouterr().err
    assert centroids(out) == {"x": 1000, "y": 2000}
    meta = json.loads((out / "features.json").read_text())
    (out / "features.json").write_text(json.dumps({**meta, "complete": False}))  # as a kill leaves
    assert extract(tmp_path / "b") == 2


def test_an_extended_dataset_has_its_new_shards_done(extract_centroid, tmp_path):
    extract, out = extract_centroid
    write_clips(tmp_path / "a", x=1000)
    assert extract(tmp_path / "a") == 0
    old = (out / "centroid-pooled" / "train-x.parquet").stat().st_mtime_ns
    write_clips(tmp_path / "a", x=1000, y=2000)
    assert extract(tmp_path / "a") == 0
    assert centroids(out) == {"x": 1000, "y": 2000}
    assert (out / "centroid-pooled" / "train-x.parquet").stat().st_mtime_ns == old


def test_a_dataset_built_anew_has_what_changed_done_again(extract_centroid, tmp_path):
    extract, out = extract_centroid
    write_clips(tmp_path / "a", x=1000, y=2000)
    assert extract(tmp_path / "a") == 0
    write_clips(tmp_path / "a", x=4000, y=2000)
    assert extract(tmp_path / "a") == 0
    assert centroids(out) == {"x": 4000, "y": 2000}
    write_clips(tmp_path / "a", "pia", x=4000, y=2000)
    assert extract(tmp_path / "a") == 0
    table = pq.read_table(out / "centroid-pooled", partitioning=None)
    assert table["classes"].to_pylist() == [["pia"], ["pia"]]


def test_a_build_that_begins_meanwhile_changes_nothing(extract_centroid, tmp_path, monkeypatch):
    extract, out = extract_centroid
    write_clips(tmp_path / "a", x=1000)
    before = Dataset.open(str(tmp_path / "a")).record()

    def run_while_building(work, left, **limits):
        Dataset.open(str(tmp_path / "a")).open_again(
            DatasetRecord(feature_spec=before.feature_spec)
        )
        return run_shards(work, left, **limits)

    monkeypatch.setattr(extraction, "run_shards", run_while_building)
    assert extract(tmp_path / "a") == 0
    meta = json.loads((out / "features.json").read_text())
    assert meta["dataset_fingerprint"] == before.fingerprint


def test_the_training_splits_moments_are_in_dataset_json(dataset, clips):
    said = json.loads((dataset / "dataset.json").read_text())["train_moments"]
    train = [samples_of(clip) for clip in clips.values() if clip["split"] == "train"]
    every = np.concatenate(train).astype(np.float64)
    assert said["samples"]["n"] == len(every)
    assert said["samples"]["mean"] == pytest.approx(every.mean(), abs=1e-9)
    assert said["samples"]["deviation"] == pytest.approx(every.std(), rel=1e-9)
    built = pq.read_table(dataset / "features", partitioning=None)
    db = [
        m
        for m, s in zip(read_logmels(built), built["split"].to_pylist(), strict=True)
        if s == "train"
    ]
    flat = np.concatenate([m.reshape(-1) for m in db]).astype(np.float64)
    assert said["logmel_db"]["mean"] == pytest.approx(flat.mean(), abs=1e-3)
    assert said["logmel_db"]["deviation"] == pytest.approx(flat.std(), rel=1e-4)


@pytest.mark.slow
def test_explore_takes_them(dataset, ray_local, tmp_path):
    flags = ["--features", "descriptors", "--pool", "mean,var"]
    assert run(dataset, tmp_path / "f", *flags) == 0
    words = ["--dataset", str(dataset), "--features", str(tmp_path / "f"), "--split", "all"]
    assert explore.main([*words, "--out", str(tmp_path / "e")]) == 0
    assert pq.read_table(tmp_path / "e" / "anova.parquet").num_rows == 80
