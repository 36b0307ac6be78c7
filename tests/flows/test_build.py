"""The build: every segment has its outcome, clips are the segment, reruns do what is missing."""

import hashlib
import io
import os
import random
import shutil
import subprocess
from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from jobs import build_subset
from pipeline.audio.decoding.clip import from_pcm16
from pipeline.audio.decoding.decode import decode
from pipeline.audio.spectra.logmel import LogMelSpec, log_mel
from pipeline.datasets.build_plan import BuildConfig
from pipeline.demo.media_server import Fault, MediaServer
from pipeline.errors import SpecMismatch, UsageError
from pipeline.flows.building.build import build
from pipeline.flows.building.downloaders import downloads_per_worker
from pipeline.store.dataset import Dataset
from schemas.features import read_logmels
from tests.flows.conftest import SPLIT, Corpus, kill
from tests.waiting import wait_for

EXPECTED = {
    Fault.NONE: ("ok", "ok", None),
    Fault.MISSING: ("unavailable", "not_found", 404),
    Fault.TRUNCATED: ("network", "truncated", None),
    Fault.NOT_AUDIO: ("rejected", "not_audio", None),
}


def table(folder: Path, name: str):
    return pq.read_table(folder / name, partitioning=None)


def wav_hashes(folder: Path) -> dict[str, str]:
    rows = table(folder, "clips").select(["segment_id", "audio", "sha256"]).to_pylist()
    for row in rows:
        assert hashlib.sha256(row["audio"]["bytes"]).hexdigest() == row["sha256"]
    hashes = {row["segment_id"]: row["sha256"] for row in rows}
    assert len(hashes) == len(rows)
    return hashes


def test_every_segment_ends_in_its_outcome(corpus: Corpus, dataset: Path):
    ledger = {row["ytid"]: row for row in table(dataset, "ledger").to_pylist()}
    assert set(ledger) == {video.ytid for video in corpus.selected}
    for video in corpus.selected:
        row = ledger[video.ytid]
        assert (row["outcome"], row["reason"], row["http_status"]) == EXPECTED[video.fault], row
        assert bool(row["detail"]) == (row["outcome"] != "ok")
        assert row["attempts"] == (3 if row["outcome"] == "network" else 1)
    assert Counter(Fault(v.fault) for v in corpus.selected)[Fault.NONE] > 15


def test_wanted_is_got_and_not_got(dataset: Path):
    ids = [
        table(dataset, name)["segment_id"].to_pylist() for name in ("segments.parquet", "ledger")
    ]
    assert sorted(ids[0]) == sorted(ids[1])
    ok = [r["segment_id"] for r in table(dataset, "ledger").to_pylist() if r["outcome"] == "ok"]
    for name in ("clips", "features"):
        assert sorted(table(dataset, name)["segment_id"].to_pylist()) == sorted(ok)
    meta = Dataset.open(str(dataset)).meta()
    assert meta["complete"]
    assert (meta["n_segments"], meta["n_clips"]) == (len(ids[0]), len(ok))


def test_clips_are_exactly_the_segment(corpus: Corpus, dataset: Path):
    videos = {video.ytid: video for video in corpus.selected}
    for row in table(dataset, "clips").to_pylist():
        video = videos[row["ytid"]]
        assert row["classes"] == list(video.codes)
        pcm, rate = soundfile.read(io.BytesIO(row["audio"]["bytes"]), dtype="int16")
        assert (rate, pcm.ndim) == (44_100, 1)
        assert len(pcm) == row["n_samples"] == round((video.end_s - video.start_s) * 44_100)
        whole = decode(corpus.folder / "videos" / f"{video.ytid}.webm", sample_rate_hz=44_100)
        first = round(video.start_s * 44_100)
        expected = whole[first : first + len(pcm)]
        n = len(expected)  # the last samples may be padding
        np.testing.assert_allclose(from_pcm16(pcm)[:n], expected, atol=1e-3)


def test_features_are_those_of_the_stored_clip(dataset: Path):
    clips = {row["segment_id"]: row for row in table(dataset, "clips").to_pylist()}
    tables = [t for s in ("train", "val", "test") for t in Dataset.open(str(dataset)).features(s)]
    n_rows = 0
    for features in tables:
        for row, logmel in zip(features.to_pylist(), read_logmels(features), strict=True):
            clip = clips[row["segment_id"]]
            pcm, _ = soundfile.read(io.BytesIO(clip["audio"]["bytes"]), dtype="int16")
            expected = log_mel(from_pcm16(pcm), LogMelSpec()).astype(np.float16)
            one_step = 0.0625  # of float16 at 64 to 128; BLAS sums differ by its threads
            np.testing.assert_allclose(logmel, expected, atol=one_step)
            assert (logmel == expected).mean() > 0.999
            assert (row["classes"], row["split"]) == (clip["classes"], clip["split"])
            n_rows += 1
    assert n_rows == len(clips)


def test_only_a_part_of_a_video_is_fetched(corpus: Corpus, dataset: Path):
    ledger = [r for r in table(dataset, "ledger").to_pylist() if r["outcome"] == "ok"]
    sizes = [(corpus.folder / "videos" / f"{r['ytid']}.webm").stat().st_size for r in ledger]
    assert sum(r["bytes_fetched"] for r in ledger) < 0.7 * sum(sizes)


def test_a_rerun_asks_for_nothing_and_changes_nothing(corpus: Corpus, dataset: Path):
    before = {p: p.read_bytes() for p in dataset.rglob("*.parquet")}
    with corpus.origin() as origin:
        report = build(
            BuildConfig(corpus.sheets, str(dataset), origin.url_template, shard_size=4, split=SPLIT)
        )
        assert not origin.n_requests
    assert {p: p.read_bytes() for p in dataset.rglob("*.parquet")} == before
    assert report.got == len(wav_hashes(dataset))


@pytest.mark.slow
def test_a_limit_then_all_of_it_from_a_folder(corpus: Corpus, ray_local, tmp_path):
    out, source = str(tmp_path / "ds"), str(corpus.folder / "videos")
    first = build(BuildConfig(corpus.sheets, out, source, shard_size=4, limit=7))
    assert first.wanted == 7
    again = build(BuildConfig(corpus.sheets, out, source, shard_size=5, max_downloads=3))
    assert again.wanted == len(corpus.selected)
    assert len(set(wav_hashes(tmp_path / "ds"))) == again.got
    ledger = {row["ytid"]: row for row in table(tmp_path / "ds", "ledger").to_pylist()}
    for video in corpus.selected:
        if video.fault in (Fault.MISSING, Fault.NOT_AUDIO):  # these have no file
            assert ledger[video.ytid]["reason"] == "not_found"
            assert f"{video.ytid}.*" in ledger[video.ytid]["detail"]


def test_all_of_it_then_a_limit_then_all_of_it(corpus: Corpus, dataset: Path, tmp_path):
    """A smaller plan takes nothing twice, and nothing is lost by it."""
    out, source = tmp_path / "ds", str(corpus.folder / "videos")
    shutil.copytree(dataset, out)
    before = {p: p.read_bytes() for p in out.rglob("*.parquet") if p.name != "segments.parquet"}
    for limit in (7, 3, None):
        report = build(
            BuildConfig(corpus.sheets, str(out), source, shard_size=4, split=SPLIT, limit=limit)
        )
        assert report.wanted == len(corpus.selected)
    after = {p: p.read_bytes() for p in out.rglob("*.parquet") if p.name != "segments.parquet"}
    assert after == before


def test_what_a_user_gets_wrong_is_told_before_anything_runs(corpus: Corpus, dataset, tmp_path):
    bad = tmp_path / "bad.csv"
    bad.write_text("abc, 1, 2\n")
    none = tmp_path / "none.csv"
    none.write_text('abc, 1, 2, "/m/04rlf"\n')
    cases = [
        (dict(segments=(str(bad),)), r"bad\.csv:1: found"),
        (dict(segments=(str(none),)), "no segment has one of the classes"),
        (dict(segments=(str(tmp_path / "x.csv"),)), r"x\.csv: no such file"),
        (dict(source="http://x/y"), "{ytid}"),
        (dict(source="nowhere"), "--source 'nowhere'"),
        (dict(classes=str(bad)), r"bad\.csv: not TOML"),
    ]
    for change, message in cases:
        settings = {"segments": corpus.sheets, "out": str(tmp_path / "o"), "source": str(tmp_path)}
        with pytest.raises(UsageError, match=message):
            build(BuildConfig(**settings | change))
        assert not (tmp_path / "o").exists()
    for flag in ("shard_size", "max_downloads", "limit"):
        with pytest.raises(UsageError, match=flag.replace("_", "-")):
            BuildConfig(corpus.sheets, "o", **{flag: 0})
    with pytest.raises(SpecMismatch, match="another split"):
        build(BuildConfig(corpus.sheets, str(dataset), str(tmp_path), split="80/10/10"))


@pytest.mark.parametrize(
    ("max_downloads", "n_cpus", "expected"),
    [(8, 2, [4, 4]), (1, 4, [1]), (5, 4, [2, 1, 1, 1]), (96, 0, [32] * 3), (64, 2, [32, 32])],
)
def test_downloads_are_shared_out(max_downloads, n_cpus, expected):
    assert downloads_per_worker(max_downloads, n_cpus=n_cpus) == expected


def wait_until_it_asks(origin: MediaServer, process: subprocess.Popen[str], n_times: int) -> None:
    before = origin.n_requests.total()
    wait_for(lambda: origin.n_requests.total() >= before + n_times, process)


N_KILLS = int(os.environ.get("TIMBRE_KILLS", "1"))  # 20 by hand: see docs/log.md


@pytest.mark.slow
def test_killed_with_9_at_random_moments_and_run_again(
    corpus: Corpus, dataset: Path, start_job, tmp_path
):
    out, rng = tmp_path / "ds", random.Random(N_KILLS)
    with corpus.origin(latency_s=0.3) as origin:
        flags = ["--segments", *corpus.sheets, "--source", origin.url_template, "--out", out]
        flags += ["--shard-size", 2, "--max-downloads", 1, "--split", SPLIT]
        n_done = []
        while len(n_done) < N_KILLS:
            process = start_job("build_subset", *flags)
            wait_until_it_asks(origin, process, rng.randint(1, 10))
            kill(process)
            n_done.append(len(list(out.glob("ledger/*.parquet"))))
        assert n_done == sorted(n_done)
        assert not Dataset.open(str(out)).meta()["complete"]
        assert build_subset.main([*map(str, flags), "--max-downloads", "4"]) == 0
    assert wav_hashes(out) == wav_hashes(dataset)
    prints = [Dataset.open(str(folder)).meta()["fingerprint"] for folder in (out, dataset)]
    assert prints[0] == prints[1]
    columns = ["segment_id", "outcome", "reason", "run"]
    ledgers = [table(d, "ledger").select(columns).to_pylist() for d in (out, dataset)]
    assert sorted(ledgers[0], key=str) == sorted(ledgers[1], key=str)
    planned = table(out, "segments.parquet")["segment_id"].to_pylist()
    assert sorted(planned) == sorted(row["segment_id"] for row in ledgers[0])
    assert not [p for p in out.rglob("*.tmp")]


def test_a_disk_that_refuses_in_a_task_is_one_clear_line(
    corpus: Corpus, ray_local, tmp_path, capsys
):
    """The write fails inside a Ray task; the job still says what and where, without a traceback."""
    out = tmp_path / "ds"
    out.mkdir()
    (out / "features").symlink_to("/nowhere/that/can/be/made")
    flags = [
        "--segments",
        *corpus.sheets,
        "--source",
        str(corpus.folder / "videos"),
        "--limit",
        "3",
    ]
    assert build_subset.main([*flags, "--out", str(out)]) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"error: cannot write {out}/features/")
