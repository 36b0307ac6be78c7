"""Later runs, other flags: what is tried again, what is told beforehand, what a crash costs."""

import os
import signal
from collections import Counter
from dataclasses import replace
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from jobs import build_subset
from pipeline.datasets.build_plan import BuildConfig, dry_run
from pipeline.demo.media_server import Fault, InjectedFault, MediaServer
from pipeline.errors import UsageError
from pipeline.flows.building.build import build, train_moments
from pipeline.flows.evaluation.evaluate import EvaluateConfig, evaluate
from pipeline.flows.training.fit import FitConfig, fit
from pipeline.report.forecast import forecast_text
from pipeline.selection.retry import Retry
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder
from pipeline.training.recipes import preset
from schemas.ledger import latest
from tests.flows.conftest import SPLIT, Corpus

pytestmark = pytest.mark.slow


def ledger(out: Path):
    return pq.read_table(out / "ledger", partitioning=None)


def config(corpus: Corpus, origin: MediaServer, out: Path, **options) -> BuildConfig:
    settings = {"shard_size": 4, "split": SPLIT, "max_downloads": 4} | options
    return BuildConfig(corpus.sheets, str(out), origin.url_template, **settings)


def test_a_dry_run_asks_for_nothing_and_writes_nothing(corpus: Corpus, dataset: Path, tmp_path):
    with corpus.origin() as origin:
        report = dry_run(config(corpus, origin, tmp_path / "ds", rate=2.0))
        assert not origin.n_requests
    assert not (tmp_path / "ds").exists()
    n = len(corpus.selected)
    assert (report["planned"], report["there"], report["to_do"]) == (n, 0, n)
    assert report["seconds"] == n / 2
    counts = Counter(code for video in corpus.selected for code in video.codes)
    assert {code: sum(row.values()) for code, row in report["classes"].items()} == counts
    assert report["counts"]["rows"] == len(corpus.plan)
    text = forecast_text(report)
    assert f"to do {n}" in text
    before = {p: p.stat().st_mtime_ns for p in dataset.rglob("*")}
    with corpus.origin() as origin:
        again = dry_run(config(corpus, origin, dataset))
        retried = dry_run(config(corpus, origin, dataset, retry=Retry.ALL))
        assert not origin.n_requests
    n_failed = sum(video.fault is not Fault.NONE for video in corpus.selected)
    assert (again["there"], again["to_do"]) == (n, 0)
    assert (retried["there"], retried["to_do"]) == (n - n_failed, n_failed)
    assert {p: p.stat().st_mtime_ns for p in dataset.rglob("*")} == before


def test_a_later_run_tries_again_and_the_ledger_keeps_both(corpus: Corpus, ray_local, tmp_path):
    out = tmp_path / "ds"
    with corpus.origin() as origin:
        first = build(config(corpus, origin, out, attempts=1))
        n_asked = origin.n_requests.total()
    cut = [v.ytid for v in corpus.selected if v.fault is Fault.TRUNCATED]
    with MediaServer(corpus.folder / "videos") as mended:  # no faults any more
        assert replace(build(config(corpus, mended, out)), provenance=first.provenance) == first
        assert not mended.n_requests
        again = build(config(corpus, mended, out, retry=Retry.TRANSIENT))
        assert set(mended.n_requests) == set(cut)
    assert n_asked > len(corpus.selected)
    assert again.got == first.got + len(cut)
    rows = ledger(out)
    assert len(rows) == len(corpus.selected) + len(cut)
    assert {r["run"] for r in rows.to_pylist() if r["ytid"] in cut} == {1, 2}
    last = {r["ytid"]: r["outcome"] for r in latest(rows).to_pylist()}
    assert len(last) == len(corpus.selected)
    assert {last[ytid] for ytid in cut} == {"ok"}
    clips = pq.read_table(out / "clips", partitioning=None, columns=["segment_id"])
    assert len(set(clips["segment_id"].to_pylist())) == len(clips) == again.got


def test_a_segments_whole_history_is_told(corpus: Corpus, dataset: Path, capsys):
    video = next(v for v in corpus.selected if v.fault is Fault.MISSING)
    segment_id = f"{video.ytid}_{round(video.start_s * 1000)}"
    words = ["--out", str(dataset)]
    assert build_subset.main([*words, f"--explain={segment_id}"]) == 0
    text = capsys.readouterr().out
    assert text.startswith(segment_id)
    assert "unavailable / not_found, HTTP 404, attempts 1" in text
    assert build_subset.main([*words, "--explain=nobody_0"]) == 2
    assert "no such segment" in capsys.readouterr().err


def test_wav_files_beside_the_tables_also_of_clips_got_before(corpus: Corpus, ray_local, tmp_path):
    out, wavs = tmp_path / "ds", tmp_path / "wavs"
    with corpus.origin() as origin:
        build(config(corpus, origin, out, limit=9))
        report = build(config(corpus, origin, out, wav_dir=str(wavs)))
    clips = pq.read_table(out / "clips", partitioning=None, columns=["segment_id", "audio"])
    assert report.got == len(clips) > 9
    found = {path.name: path.read_bytes() for path in wavs.iterdir()}
    assert found == {f"{row['segment_id']}.wav": row["audio"]["bytes"] for row in clips.to_pylist()}


class KillingOrigin(MediaServer):
    """A server at whose answer for one id the asking process dies, as by a decoder's fault."""

    poison = ""
    n_killed = 0

    def injected(self, ytid: str, client_port: int = 0) -> InjectedFault:
        if ytid == self.poison:
            for connection in psutil.net_connections("tcp"):
                ends = [end.port for end in (connection.laddr, connection.raddr) if end]
                is_asking = ends == [client_port, self.port]  # others may have the same port
                if is_asking and connection.pid not in (None, os.getpid()):
                    os.kill(connection.pid, signal.SIGKILL)
                    self.n_killed += 1
                    break
        return super().injected(ytid, client_port)


def test_a_process_killer_costs_one_row(corpus: Corpus, dataset, ray_local, tmp_path):
    """The others of its shard, and of those beside it, come out as in an undisturbed run."""
    out = tmp_path / "ds"
    poison = next(v.ytid for v in corpus.selected if v.fault is Fault.NONE)
    with KillingOrigin(corpus.folder / "videos", corpus.origin().faults) as origin:
        origin.poison = poison
        build(config(corpus, origin, out, max_downloads=8))  # all CPUs are taken
        assert origin.n_killed >= 3
    expected = {r["ytid"]: (r["outcome"], r["reason"]) for r in ledger(dataset).to_pylist()}
    rows = {r["ytid"]: (r["outcome"], r["reason"]) for r in ledger(out).to_pylist()}
    assert rows == expected | {poison: ("rejected", "crashed")}
    assert len(ledger(out)) == len(rows)


def test_irmass_own_folders_are_built_trained_on_and_scored(ray_local, make_wav, tmp_path):
    files = {f"train/{code}/[{code}]{k}__1.wav": 3.0 for code in ("cel", "pia") for k in range(3)}
    files |= {f"test/Part1/song {k}-{n}.wav": 6.5 for k in range(4) for n in (1, 2)}
    for k, (name, seconds) in enumerate(files.items()):
        path = make_wav(f"irmas/{name}", seconds, 440.0 + k)  # none is of another's content
        if "Part1" in name:
            path.with_suffix(".txt").write_text("vio\t\nvoi\n")
    config = BuildConfig((), str(tmp_path / "ds"), f"irmas:{tmp_path / 'irmas'}", shard_size=4)
    report = build(config)
    assert (report.wanted, report.got) == (len(files), len(files))
    assert build(config).got == len(files)
    rows = pq.read_table(tmp_path / "ds" / "clips", partitioning=None).to_pylist()
    assert {row["n_samples"] for row in rows if row["split"] == "train"} == {3 * 44_100}
    assert Counter("+".join(row["classes"]) for row in rows) == {"cel": 3, "pia": 3, "vio+voi": 8}
    splits = Counter(row["split"] for row in rows)
    assert set(splits) == {"train", "val", "test"}
    groups = Dataset.open(config.out).groups([row["segment_id"] for row in rows])
    assert sorted(Counter(groups).values()) == [1] * 6 + [2] * 4  # a song's parts go together
    card = fit(FitConfig(config.out, str(tmp_path / "m"), preset(None, "random-forest"))).card
    assert card.windows.window_s == 10
    assert [row["epoch"] for row in card.training["history"]] == [1]
    assert ": fitted once." in (tmp_path / "m" / "report.html").read_text()
    scoring = EvaluateConfig(str(tmp_path / "m"), str(tmp_path / "e"), config.out, validation=False)
    metrics = evaluate(scoring)
    assert metrics.n_items == splits["test"]
    with pytest.raises(UsageError, match="--segments"):
        build(replace(config, segments=("x.csv",)))
    with pytest.raises(UsageError, match="--segments: needed"):
        build(replace(config, source=str(tmp_path)))


@pytest.mark.parametrize("split", ["audioset", "60/20/20"])
def test_splits(corpus: Corpus, ray_local, tmp_path, split):
    source = str(corpus.folder / "videos")
    build(BuildConfig(corpus.sheets, str(tmp_path / "ds"), source, split=split))
    rows = pq.read_table(tmp_path / "ds" / "segments.parquet").to_pylist()
    if split == "audioset":
        evals = {v.ytid for v in corpus.selected if v.subset == "eval"}
        assert {r["ytid"] for r in rows if r["split"] == "test"} == evals
    assert {r["split"] for r in rows} >= {"train", "test"}


def test_moments_are_those_of_before_where_nothing_was_done(tmp_path):
    dataset, before = Dataset(Folder(str(tmp_path))), {"samples": {"n": 1}}
    meta = {"complete": True, "train_moments": before}
    dataset.folder.write_json("dataset.json", meta)
    assert train_moments(dataset) == before
    for changed in (meta | {"complete": False}, {"complete": True}):  # an older one has none
        dataset.folder.write_json("dataset.json", changed)
        assert train_moments(dataset)["samples"]["n"] == 0
