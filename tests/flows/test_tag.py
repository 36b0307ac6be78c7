"""Tagging: one row a track, a broken one too; reruns, changes, kills; and other people's tools."""

import hashlib
import json
import os
import shutil
import urllib.request
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import datasets
import duckdb
import numpy as np
import pandas as pd
import polars
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import ray
import soundfile

from jobs import tag_catalog as tag_catalog_job
from pipeline.audio.decoding.decode import decode
from pipeline.audio.spectra.activity import Activity
from pipeline.audio.spectra.logmel import LogMelSpec, log_mel
from pipeline.demo.media_server import Fault, MediaServer
from pipeline.errors import SpecMismatch, UsageError
from pipeline.flows.tagging import tag_stages
from pipeline.flows.tagging.tag import TagConfig, plan_tagging, tag_catalog
from pipeline.inference.described import describe, windows_of
from pipeline.inference.inference_config import inference_config
from pipeline.inference.track_front_end import MAX_TRACK_S
from pipeline.models.model import DEFAULT_MIN_CONFIDENCE, load_model, save_model
from pipeline.report.tagging.failures import REASONS
from pipeline.store.catalogue import list_tracks
from pipeline.store.folder import Folder
from pipeline.tagging.retag import RetagConfig, retag
from pipeline.training.data.windows import load_windows
from tests.conftest import tones
from tests.flows.conftest import Corpus
from tests.waiting import wait_for

pytestmark = pytest.mark.usefixtures("in_process")

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
    (folder / "cover.JPG").write_bytes(b"a picture")
    return folder


def tag(catalog, model, out, **options):
    """Tag without examples on the page."""
    return tag_catalog(TagConfig(str(catalog), str(model), str(out), n_examples=0, **options))


def rows(out: Path) -> list[dict]:
    return table(out, "tags").sort_by("uri").to_pylist()


def table(out: Path, name: str) -> pa.Table:
    return duckdb.sql(f"select * from '{out}/{name}/**/*.parquet'").to_arrow_table()


@pytest.fixture(scope="module")
def tagged(music, model, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("tagged")
    run = tag(music, model, out)
    assert (run.tracks, run.tagged, run.failed, run.skipped) == (11, 8, 3, 0)
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
            if row["n_active"] < 20:  # one segment: S2, whose largest is 1
                assert max(scores.values()) == pytest.approx(1)
            assert 1 / 3 < max(scores.values()) < 1.001
            assert row["labels"] == [
                code
                for code, score in scores.items()
                if score >= 0.5 and row["peaks"][code] >= DEFAULT_MIN_CONFIDENCE
            ]
            assert 0 < row["n_active"] <= row["n_windows"]
            assert row["duration_s"] == pytest.approx(12, abs=0.1) or row["uri"].endswith("webm")
            assert row["fingerprint"].startswith("packets:")


def test_what_was_left_out_is_counted_wherever_a_run_is_told(music, tagged, model, capsys):
    """Nothing is new, so this needs no Ray."""
    assert json.loads((tagged / "run.json").read_text())["left_out"] == {".jpg": 1}
    assert "Left out" in (tagged / "report.html").read_text()
    words = ["--catalog", music, "--model", model, "--out", tagged]
    for more in (["--dry-run"], []):
        assert tag_catalog_job.main([*map(str, words), *more]) == 0
        said = capsys.readouterr().out
        assert "1 file left out, no audio by their suffix: 1 .jpg" in said


def test_other_people_s_tools_read_it(tagged, model, monkeypatch, tmp_path):
    frame = pd.read_parquet(tagged / "tags")
    assert len(frame) == 11
    assert frame["status"].value_counts()["ok"] == 8
    assert set(frame["model"]) == set(frame["model_id"])
    lazy = polars.scan_parquet(tagged / "tags", hive_partitioning=True)
    ok = lazy.filter(polars.col("status") == "ok").select(
        "uri", polars.col("scores").struct.field("cel")
    )
    assert ok.collect().height == 8
    said = duckdb.sql(
        f"select model, date, count(*), count(scores.cel) from "
        f"read_parquet('{tagged}/tags/**/*.parquet', hive_partitioning = true) group by all"
    ).fetchall()
    assert [row[2:] for row in said] == [(11, 8)]
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path)
    files = [str(path) for path in tagged.glob("tags/**/*.parquet")]
    loaded = datasets.load_dataset(
        "parquet", data_files=files, split="train", cache_dir=str(tmp_path)
    )
    assert loaded.num_rows == 11
    assert (
        sum(row["scores"] is not None and row["scores"]["cel"] is not None for row in loaded) == 8
    )


def test_every_file_says_where_it_is_from(tagged, model):
    card = json.loads((model / "model.json").read_text())
    weights = (model / "model.safetensors").read_bytes()
    for path in tagged.glob("tags/**/*.parquet"):
        said = {k.decode(): v.decode() for k, v in pq.read_schema(path).metadata.items()}
        assert said["timbre.model_id"] == card["model_id"]
        assert said["timbre.model_sha256"] == hashlib.sha256(weights).hexdigest()
        assert json.loads(said["timbre.tagging"])["feature_spec"] == card["feature_spec"]
        assert json.loads(said["timbre.classes"]) == card["classes"]
        assert json.loads(said["timbre.provenance"])["git_revision"]


def test_a_rerun_skips_all_and_a_change_is_tagged_again(music, model, tagged, tmp_path):
    out = tmp_path / "out"
    shutil.copytree(tagged, out)
    assert tag(music, model, out).skipped == 11
    assert rows(out) == rows(tagged)
    track = music / "sub 0" / "track '2' ü.flac"
    before, times = track.read_bytes(), track.stat()
    try:
        soundfile.write(track, tones(3, 440), 44_100)
        run = tag(music, model, out)
        assert (run.tagged, run.skipped) == (1, 10)
        changed = [row for row in rows(out) if row["uri"] == str(track)]
        assert [row["duration_s"] for row in changed] == [3]
        assert len(rows(out)) == 11
    finally:
        track.write_bytes(before)
        os.utime(track, ns=(times.st_atime_ns, times.st_mtime_ns))


def test_windows_are_what_training_would_see(music, model):
    """The serving path and the training path give the same windows, to the bit."""
    inference = inference_config(str(model), None, None, gpu=False)
    wav = next((music / "sub 1").glob("*.wav"))
    (described,) = describe(list_tracks(str(wav)), replace(inference, activity=Activity()))
    input_spec = inference.card.input_spec
    served = windows_of(described, inference)[0][:]
    logmel = log_mel(decode(wav, sample_rate_hz=44_100), LogMelSpec()).astype("<f2")
    table = pa.table({"segment_id": ["s"], "matrix": [logmel.tobytes()], "classes": [["a"]]})
    table = table.cast(table.schema.set(1, pa.field("matrix", pa.large_binary())))
    trained = load_windows(
        [table], codes=["a"], windows=inference.card.windows, input_spec=input_spec
    )
    np.testing.assert_array_equal(served, trained.clip_windows(0))


def test_a_manifest_with_a_missing_file_by_s1_and_a_threshold(music, model, tmp_path):
    good, out = next((music / "sub 1").glob("*.wav")), tmp_path / "out"
    (tmp_path / "m.csv").write_text(f'uri\n"{good}"\ngone.wav\n')
    run = tag(tmp_path / "m.csv", model, out, aggregate="s1", threshold=0.01, min_confidence=0.0)
    assert (run.tagged, run.failed) == (1, 1)
    failed, ok = sorted(rows(out), key=lambda row: row["status"])
    assert (failed["reason"], failed["uri"]) == ("unreadable", str(tmp_path / "gone.wav"))
    assert 0 < max(ok["scores"].values()) < 1
    assert ok["labels"] == [code for code, score in ok["scores"].items() if score >= 0.01]
    with pytest.raises(SpecMismatch, match="with other aggregation, thresholds, gate; give"):
        tag(tmp_path / "m.csv", model, out)


def test_what_a_user_gets_wrong(music, model, tmp_path):
    with pytest.raises(UsageError, match="no tracks"):
        tag(tmp_path / "x", model, tmp_path / "o")
    with pytest.raises(UsageError, match=r"no model\.json"):
        tag(music, tmp_path, tmp_path / "o")
    with pytest.raises(UsageError, match="--threshold"):
        TagConfig("c", "m", "o", threshold=2)
    assert not (tmp_path / "o").exists()


@pytest.fixture(scope="module")
def first_night(music, model, tmp_path_factory) -> Path:
    """Two tracks, and one that is none, as they were in `kept`; and what tagging `music` left."""
    folder = tmp_path_factory.mktemp("night")
    (folder / "music").mkdir()
    for k, path in enumerate(sorted((music / "sub 1").iterdir())[:2]):
        shutil.copy(path, folder / "music" / f"{k}{path.suffix}")
    (folder / "music" / "bad.mp3").write_bytes(b"no music " * 99)
    shutil.copytree(folder / "music", folder / "kept")
    run = tag(folder / "music", model, folder / "out")
    assert (run.tagged, run.failed, run.skipped) == (2, 1, 0)
    return folder


@pytest.fixture
def small(first_night) -> Path:
    """The three files of the first night, for a test to change."""
    shutil.rmtree(first_night / "music")
    return Path(shutil.copytree(first_night / "kept", first_night / "music"))


@pytest.fixture
def out(first_night, tmp_path) -> Path:
    """What the first night left, for a test to go on with."""
    return Path(shutil.copytree(first_night / "out", tmp_path / "out"))


def test_a_renamed_file_is_not_decoded_again_and_a_copy_neither(small, model, out):
    before = {row["uri"]: row for row in rows(out)}
    first = next(path for path in sorted(small.iterdir()) if path.name.startswith("0"))
    shutil.copy(first, small / f"copy{first.suffix}")
    moved = first.rename(small / f"moved{first.suffix}")
    run = tag(small, model, out)
    assert (run.tracks, run.tagged, run.failed, run.skipped) == (4, 0, 0, 4)
    assert (run.same_content, run.unchanged, run.gone) == (2, 2, 1)
    assert run.stages["decode_s"] == 0 < run.stages["read_s"]
    after = {row["uri"]: row for row in rows(out)}
    assert after[str(moved)]["scores"] == before[str(first)]["scores"]
    assert after[str(moved)]["size_bytes"] == moved.stat().st_size
    assert len(after) == 5  # the old name's row stays
    assert tag(small, model, out).unchanged == 4


def test_a_quiet_night_says_what_the_catalogue_has(small, model, out):
    first = json.loads((out / "run.json").read_text())
    page = (out / "runs" / f"{first['run_id']}.html").read_text()
    assert page == (out / "report.html").read_text()
    assert f"{small / 'bad.mp3'}</td>" in page
    run = tag(small, model, out)
    assert run.unchanged == run.tracks == 3
    assert run.to_dict()["labels"] == run.labels_in_all == first["labels_in_all"]
    assert sum(first["labels_of_run"].values()) == sum(first["labels"].values())
    assert sum(run.labels_of_run.values()) == 0
    html = (out / "report.html").read_text()
    assert f"{small / 'bad.mp3'}</td>" in html
    assert "1 of 3 tracks have failed (see Failed tracks); nothing else is unusual" in html
    names = [f"{first['run_id']}.html", f"{first['run_id']}.json"]
    assert sorted(path.name for path in (out / "runs").iterdir()) == names
    assert (out / "runs" / names[0]).read_text() == page


def test_failed_tracks_are_tried_again_when_asked(small, model, out):
    assert tag(small, model, out).skipped == 3
    run = tag(small, model, out, retry="failed")
    assert (run.tagged, run.failed, run.skipped, run.retried) == (0, 1, 2, 1)
    (row,) = [row for row in rows(out) if row["status"] == "failed"]
    assert (row["attempts"], row["reason"]) == (2, "not_audio")
    good = next(small.glob("0.*"))
    (small / "bad.mp3").write_bytes(good.read_bytes())  # mended: a change to what is known
    run = tag(small, model, out)
    counts = ("tagged", "same_content", "changed", "failed_in_all")
    assert [getattr(run, name) for name in counts] == [0, 1, 1, 0]
    assert [row["uri"] for row in rows(out)] == sorted(map(str, small.iterdir()))


def test_how_long_a_track_may_be_is_the_users(small, model, tmp_path):
    assert TagConfig.max_track_s == MAX_TRACK_S
    with pytest.raises(UsageError, match="--max-track-s -5: expected more than 0"):
        tag(small, model, tmp_path, max_track_s=-5.0)
    out = tmp_path / "out"
    run = tag(small, model, out, max_track_s=1.0)
    assert (run.failed, run.reasons) == (3, {"not_audio": 1, "too_long": 2})
    details = [row["detail"] for row in rows(out) if row["reason"] == "too_long"]
    assert len(details) == 2 and all("longer than 1 s" in text for text in details)
    again = tag(small, model, out, retry="failed", max_track_s=60.0)
    assert (again.tagged, again.failed) == (2, 1)


def test_another_model_does_all_beside_the_old_tags(small, model, other_model, out):
    run = tag(small, other_model, out)
    assert (run.tagged, run.failed, run.skipped) == (2, 1, 0)
    assert len(rows(out)) == 6
    assert tag(small, model, out).skipped == tag(small, other_model, out).skipped == 3
    assert len({path.name for path in out.glob("tags/model=*")}) == 2


@pytest.fixture(scope="module")
def other_model(model, tmp_path_factory) -> Path:
    """The same network with other weights."""
    folder = tmp_path_factory.mktemp("other") / "m"
    tagger, card = load_model(str(model))
    weights = {name: value * 1.01 for name, value in tagger.state_dict().items()}
    save_model(Folder(str(folder)), weights, card)
    return folder


def test_the_summary_says_why_it_ends_with_3_and_what_old_tracks_lack(small, model, out, capsys):
    words = ["--catalog", small, "--model", model, "--out", out, "--examples", "0"]
    words = [*map(str, words)]
    assert tag_catalog_job.main([*words, "--max-failed", "1%", "--retry", "failed"]) == 3
    said = capsys.readouterr()
    assert "more than --max-failed 1% allows" in (out / "report.html").read_text()
    run = json.loads((out / "run.json").read_text())
    assert (run["max_failed"], run["past_limit"]) == (0.01, True)
    (reason,) = run["reasons"]
    assert f"1  {reason}: {REASONS[reason]}\n" in said.out
    assert "1 of 3 tracks have failed, in this run or before, more than --max-failed 1%" in said.err
    assert "tagged before have no" not in said.out and "in earlier runs" not in said.out
    assert tag_catalog_job.main([*words, "--keep-windows", "--embeddings"]) == 0
    said = capsys.readouterr()
    assert "0 failed" in said.out
    assert "1  failed in earlier runs: --retry failed takes them again\n" in said.out
    line = "tracks that were tagged before have no windows, intervals, window_embeddings; to have"
    assert line in said.out


def test_a_clock_that_was_ahead_loses_no_later_row(small, model, out):
    for path in out.glob("tags/**/*.parquet"):
        night = pq.read_table(path, partitioning=None)
        at = night.schema.get_field_index("tagged_at")
        ahead = [when + timedelta(days=365) for when in night["tagged_at"].to_pylist()]
        column = pa.chunked_array([ahead], night.schema.field(at).type)
        pq.write_table(night.set_column(at, night.schema.field(at), column), path)
    newest = max(row["tagged_at"] for row in rows(out))
    changed = next(small.glob("0.*"))
    soundfile.write(changed, tones(2, 440), 44_100, format="WAV")
    shutil.copy(next(small.glob("1.*")), small / "bad.mp3")
    run = tag(small, model, out)
    assert (run.tagged, run.same_content, run.changed) == (1, 1, 2)
    found = {row["uri"]: row for row in rows(out)}
    assert found[str(changed)]["duration_s"] == 2
    assert [row["status"] for row in found.values()] == ["ok"] * 3
    assert min(found[str(path)]["tagged_at"] for path in (changed, small / "bad.mp3")) > newest
    assert tag(small, model, out).unchanged == 3


def test_a_dry_run_counts_and_writes_nothing(small, model, out, tmp_path, capsys):
    words = ["--catalog", small, "--model", model, "--out", tmp_path / "new", "--dry-run"]
    assert tag_catalog_job.main([str(word) for word in words]) == 0
    assert "3 tracks: 3 to do" in (said := capsys.readouterr().out) and "no run yet" in said
    plan = plan_tagging(TagConfig(str(small), str(model), str(tmp_path / "new")))
    assert (plan.tracks, plan.left, plan.unchanged) == (3, 3, 0)
    assert plan.bytes == sum(path.stat().st_size for path in small.iterdir())
    assert plan.seconds is None
    assert not (tmp_path / "new").exists()
    files = sorted((path, path.stat().st_mtime_ns) for path in out.rglob("*"))
    plan = plan_tagging(TagConfig(str(small), str(model), str(out), retry="failed"))
    assert (plan.left, plan.retried, plan.unchanged) == (1, 1, 2)
    assert plan.seconds > 0
    assert files == sorted((path, path.stat().st_mtime_ns) for path in out.rglob("*"))


def test_waits_are_said_and_a_dry_run_reckons_with_them(small, model, tmp_path, capsys, ray_local):
    run = tag(small, model, tmp_path / "out", workers=1)
    said = capsys.readouterr().err
    assert "tag:   0% 0/3 " in said
    assert "waiting for the model's processes to start, and for the first tracks" in said
    assert said.index("3/3") < said.index("joining the files of tags, and writing run.json")
    there = json.loads((tmp_path / "out" / "run.json").read_text())
    (kept,) = (tmp_path / "out" / "runs").glob("*.json")
    assert there == run.to_dict() == json.loads(kept.read_text())
    assert run.work_s > 0 < run.overhead_s
    assert run.work_s + run.overhead_s > run.seconds  # which ends before the page
    one = next(path for path in sorted(small.iterdir()) if path.name.startswith("0"))
    shutil.copy(one, again := small / f"again{one.suffix}")
    plan = plan_tagging(TagConfig(str(small), str(model), str(tmp_path / "out")))
    assert plan.left == 1
    assert plan.seconds == pytest.approx(run.overhead_s + plan.audio_s * run.work_s / run.audio_s)
    again.unlink()
    plan = plan_tagging(TagConfig(str(small), str(model), str(tmp_path / "out")))
    assert (plan.left, plan.seconds) == (0, 0.0)


def test_silence_and_noise_get_no_label(music, model, tmp_path, rng):
    folder = tmp_path / "music"
    folder.mkdir()
    soundfile.write(folder / "silence.wav", np.zeros(5 * 44_100), 44_100)
    soundfile.write(folder / "hiss.wav", rng.normal(0, 0.1, 5 * 44_100), 44_100)
    shutil.copy(next((music / "sub 1").glob("*.wav")), folder / "music.wav")
    tag(folder, model, tmp_path / "gated", min_confidence=0.0)
    gated = {Path(row["uri"]).stem: row for row in rows(tmp_path / "gated")}
    assert gated["silence"]["labels"] == gated["hiss"]["labels"] == []
    assert gated["silence"]["n_active"] == gated["hiss"]["n_active"] == 0
    assert gated["hiss"]["n_windows"] == 5
    assert gated["music"]["labels"]
    tag(folder, model, tmp_path / "open", min_confidence=0.0, activity=False)
    open_ = {Path(row["uri"]).stem: row for row in rows(tmp_path / "open")}
    assert open_["silence"]["labels"]  # what S2 does by itself
    retag(RetagConfig(str(tmp_path / "gated"), str(tmp_path / "shut"), min_confidence=1.0))
    assert [row["labels"] for row in rows(tmp_path / "shut")] == [[], [], []]


def test_windows_intervals_and_embeddings(small, model, tmp_path):
    options = {"keep_windows": True, "embeddings": True, "hop_s": 0.5, "min_confidence": 0.0}
    run = tag(small, model, tmp_path, **options)
    assert run.identity["hop_s"] == 0.5
    before = [table(tmp_path, name).num_rows for name in BESIDE]
    os.utime(next(small.glob("0.*")), ns=(1, 1))
    touched = tag(small, model, tmp_path, **options)
    assert touched.lacking == []
    assert (touched.changed, touched.same_content, touched.tagged) == (1, 1, 0)
    assert touched.touched == 1
    assert [table(tmp_path, name).num_rows for name in BESIDE] == before
    tracks = {row["uri"]: row for row in rows(tmp_path) if row["status"] == "ok"}
    windows, intervals, vectors, parts = (table(tmp_path, name).to_pylist() for name in BESIDE)
    assert {row["uri"] for row in windows} == {row["uri"] for row in vectors} == set(tracks)
    for uri, track in tracks.items():
        mine = sorted((w for w in windows if w["uri"] == uri), key=lambda w: w["window"])
        assert [w["window"] for w in mine] == list(range(track["n_windows"]))
        assert mine[1]["start_s"] == pytest.approx(0.5, abs=0.02)
        assert all(w["end_s"] - w["start_s"] <= 1.0 for w in mine)
        assert mine[-1]["end_s"] == pytest.approx(track["duration_s"], abs=0.6)
        input_spec = np.array([list(w["scores"].values()) for w in mine if w["is_active"]])
        sums = input_spec.sum(axis=0)
        np.testing.assert_allclose(list(track["scores"].values()), sums / sums.max(), rtol=1e-4)
        top = np.sort(input_spec, axis=0)[-3:].mean(axis=0)
        np.testing.assert_allclose(list(track["peaks"].values()), top, rtol=1e-4)
    for one in intervals:
        track = tracks[one["uri"]]
        assert one["code"] in track["labels"]
        assert 0 <= one["start_s"] < one["end_s"] <= track["duration_s"]
    assert len({len(row["embedding"]) for row in vectors}) == 1
    assert np.std([row["embedding"] for row in vectors], axis=0).max() > 0
    places = ("uri", "fingerprint", "model_id", "window", "start_s", "end_s", "is_active")
    assert [[one[key] for key in places] for one in parts] == [
        [one[key] for key in places] for one in windows
    ]
    for row in vectors:
        mine = [one for one in parts if one["uri"] == row["uri"]]
        active = [one["embedding"] for one in mine if one["is_active"]]
        of_track = np.mean(active or [one["embedding"] for one in mine], axis=0)
        np.testing.assert_allclose(of_track, row["embedding"], rtol=2e-3, atol=1e-3)


BESIDE = ("windows", "intervals", "embeddings", "window_embeddings")


def test_embeddings_are_kept_unless_they_are_not_wanted(small, model, tmp_path):
    run = tag(small, model, tmp_path / "on")
    assert run.model == str(model)
    kind = "list<element: halffloat>"
    for path in (tmp_path / "on" / "embeddings").rglob("*.parquet"):
        assert str(pq.read_schema(path).field("embedding").type) == kind
    assert table(tmp_path / "on", "embeddings").num_rows == run.tagged
    assert not (tmp_path / "on" / "window_embeddings").exists()
    tag(small, model, tmp_path / "off", embeddings=False)
    assert not (tmp_path / "off" / "embeddings").exists()
    again = tag(small, model, tmp_path / "off")  # a folder of before: no track is tagged anew
    assert (again.tagged, again.unchanged, again.lacking) == (0, 3, ["embeddings"])


def test_a_night_goes_on_where_embeddings_had_32_bits(small, model, tmp_path):
    tag(small, model, tmp_path)
    (path,) = tmp_path.glob("embeddings/**/*.parquet")
    rows_before = pq.read_table(path, partitioning=None)
    wide = rows_before["embedding"].cast(pa.list_(pa.float32()))
    pq.write_table(rows_before.set_column(3, "embedding", wide), path)
    soundfile.write(small / "new.wav", tones(3, 392), 44_100)
    copied = next(one for one in sorted(small.iterdir()) if one.name.startswith("0"))
    shutil.copy(copied, small / f"copy{copied.suffix}")
    run = tag(small, model, tmp_path)
    assert (run.tagged, run.same_content, run.lacking) == (1, 1, [])
    after = table(tmp_path, "embeddings").to_pylist()
    found = {row["uri"]: row["embedding"] for row in after}
    assert len(found) == len(after) == rows_before.num_rows + 2
    for row in rows_before.to_pylist():
        assert found[row["uri"]] == row["embedding"]
    assert found[str(small / f"copy{copied.suffix}")] == found[str(copied)]


def test_tracks_of_a_server_and_its_faults(corpus, model, tmp_path):
    videos = sorted(path.stem for path in (corpus.folder / "videos").glob("*.webm"))[:3]
    with MediaServer(corpus.folder / "videos", {videos[1]: Fault.BROKEN}) as origin:
        uris = [origin.url_template.format(ytid=ytid) for ytid in [*videos, "nothing0000"]]
        lines = [json.dumps({"uri": uri}) for uri in [*uris, "http://169.254.169.254/x.mp3"]]
        (tmp_path / "m.jsonl").write_text("\n".join(lines))
        run = tag(tmp_path / "m.jsonl", model, tmp_path / "out")
    assert (run.tagged, run.failed) == (2, 3)
    assert run.reasons == {"server_error": 1, "not_found": 1, "forbidden": 1}


def test_what_it_counts_is_on_prometheus(small, model, tmp_path, ray_local):
    tag(small, model, tmp_path, workers=1)
    node = next(node for node in ray.nodes() if node["Alive"])
    url = f"http://127.0.0.1:{node['MetricsExportPort']}/metrics"

    def served() -> str:
        with urllib.request.urlopen(url) as response:
            return response.read().decode()

    wait_for(lambda: 'reason="not_audio"' in served())  # who serves it and is dead raises
    lines = [line for line in served().splitlines() if "timbre_" in line and line[0] != "#"]

    def total(name: str, *tags: str) -> float:
        mine = [line for line in lines if name in line and all(tag in line for tag in tags)]
        return sum(float(line.rsplit(" ", 1)[1]) for line in mine)

    assert total("timbre_tracks", 'status="ok"') >= 2
    assert total("timbre_tracks", 'status="failed"', 'reason="not_audio"') >= 1
    assert total("timbre_audio_seconds") > 0
    assert total("timbre_stage_seconds", 'stage="decode"') > 0


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        ({"precision": "int8"}, "--precision int8: .* is not; python -m jobs.quantize makes one"),
        ({"gpu": True, "engine": "openvino"}, "--engine openvino runs on CPUs"),
        ({"engine": "tensorrt"}, "--engine 'tensorrt': expected one of"),
    ],
)
def test_what_the_model_cannot_do_is_told_before_the_folder_is_taken(
    small, model, tmp_path, flags, words
):
    for run in (tag_catalog, plan_tagging):
        with pytest.raises(UsageError, match=words):
            run(TagConfig(str(small), str(model), str(tmp_path / "out"), **flags))
    assert not (tmp_path / "out").exists()


@pytest.mark.slow
def test_what_a_run_replaces_is_there_to_be_copied(small, model, tmp_path):
    """A recording that is rotated: its old bytes have another name, thousands of tracks on."""
    tag(small, model, tmp_path / "out")
    first = min(small.glob("[0-9].*"))
    shutil.copy(first, small / "zz_previous.wav")
    soundfile.write(first, tones(2, 440), 44_100, format="WAV")
    run = tag(small, model, tmp_path / "out")
    assert (run.tagged, run.same_content, run.touched) == (1, 1, 0)
    assert len(rows(tmp_path / "out")) == run.tracks


def test_an_empty_cluster_has_room_for_one(monkeypatch):
    """Pools that grow are empty at night: what is asked for makes them grow."""
    monkeypatch.setattr(tag_stages, "count", lambda resource: 0)
    monkeypatch.setattr(tag_stages, "cpus", lambda: 0)
    assert tag_stages.places(gpu=False) == tag_stages.places(gpu=True) == 1
