"""jobs.export on folders as jobs.tag_catalog writes them."""

from __future__ import annotations

import io
import json
import os
import signal
from datetime import timedelta
from pathlib import Path

import duckdb
import jams
import pandas as pd
import pyarrow as pa
import pytest

from jobs import export, harness
from pipeline.exports.texts import PEOPLE, file_stem
from pipeline.store.folder import Folder
from schemas.tags import tags_schema
from schemas.timeline import INTERVALS
from tests.s3 import BUCKET, S3Server
from tests.tag_rows import CODES, MODEL, NAMES, WHEN, failed, interval
from tests.tag_rows import track as ok
from tests.waiting import wait_for

ROOT = Path(__file__).parents[2]
HOSTILE = [
    '=cmd("x")://a',
    "/m/../../up.mp3",
    '/m/a,"b"\r\nc.mp3',
    "/m/nul\0.mp3",
    "/m/ü\u2028.mp3",
]


def write_tags(folder, rows, name="a", *, intervals=None, codes=CODES):
    place = f"model={rows[0]['model_id']}/date=2026-11-21/{name}.parquet"
    table = pa.Table.from_pylist(rows, tags_schema(codes))
    folder.write_table(f"tags/{place}", table)
    if intervals is not None:
        folder.write_table(f"intervals/{place}", pa.Table.from_pylist(intervals, INTERVALS))


def write_run(folder, name="run.json", *, model_id=MODEL, **other):
    run = {
        "identity": {"model_id": model_id, "aggregation": "s2"},
        "complete": True,
        "gone": 0,
        "catalog": "/m",
        "class_names": NAMES,
        "provenance": {"timbre": "0.1.0"},
    }
    folder.write_json(name, run | other)


@pytest.fixture
def run_folder(tmp_path):
    """A tagging run's folder: two files of TAGS, the first with intervals beside it."""
    folder = Folder(str(tmp_path / "run"))
    first = [
        ok("/m/a.mp3"),
        ok("/m/both.mp3", ("cel", "pia"), 0.875),
        failed("/m/broken.mp3", detail="no samples"),
    ]
    second = [ok("/m/none.mp3", ()), *(ok(uri, ("pia",)) for uri in HOSTILE)]
    beside = [interval(first[0], "cel", 1.0, 4.0), interval(first[1], "pia", 0.0, 2.5)]
    write_tags(folder, first, intervals=beside)
    write_tags(folder, second, "b")
    write_run(folder)
    return folder


@pytest.fixture
def run_export(tmp_path, capsys):
    """Give a function that runs the job; it returns exit code, output and the files by name."""

    def run(folder, name, *flags):
        out = tmp_path / f"out-{name}"
        argv = ["--tags", folder.uri, "--format", name, "--out", str(out), *flags]
        code = export.main(argv)
        said = capsys.readouterr()
        there = sorted(out.rglob("*")) if out.is_dir() else []
        files = {str(p.relative_to(out)): p.read_bytes() for p in there if p.name != ".lock"}
        return code, said.out if code == harness.OK else said.err, files

    return run


def name_of(uri, suffix):
    """Return the name of a track's file: that in its catalogue's folder, if every disk takes it."""
    below = uri.removeprefix("/m/")
    is_flat = uri in HOSTILE or not uri.startswith("/m/")
    return f"{file_stem(uri) if is_flat else below}.{suffix}"


def jam_of(files, uri):
    text = files[name_of(uri, "jams")].decode()
    return jams.load(io.StringIO(text), validate=True, strict=True)


def plain(texts):
    return [text.removeprefix("'") for text in texts]


def test_csv_opens_in_pandas_and_duckdb(run_folder, run_export, tmp_path):
    code, said, files = run_export(run_folder, "csv")
    assert code == harness.OK
    assert list(files) == ["tags.csv"]
    path = tmp_path / "out-csv" / "tags.csv"
    expected = ["/m/a.mp3", "/m/both.mp3", "/m/broken.mp3", "/m/none.mp3", *HOSTILE]
    frame = pd.read_csv(path)
    assert plain(frame["uri"]) == expected
    assert frame["score_cel"].isna().tolist() == [uri == "/m/broken.mp3" for uri in expected]
    assert frame["score_cel"].max() == 0.875
    assert frame["labels"][1] == "cel+pia"
    assert pd.to_datetime(frame["tagged_at"])[0] == WHEN
    relation = duckdb.sql(f"from read_csv('{path}')")
    assert dict(zip(relation.columns, map(str, relation.types), strict=True)) == {
        **dict.fromkeys(
            ("uri", "status", "reason", "labels", "model_id", "label_names", *PEOPLE), "VARCHAR"
        ),
        **dict.fromkeys(("duration_s", "score_cel", "score_pia"), "DOUBLE"),
        "tagged_at": "TIMESTAMP WITH TIME ZONE",
    }
    assert plain(row[0] for row in relation.select("uri").fetchall()) == expected
    assert f"9 tracks, 1 of them failed, by {MODEL}\n" in said
    assert "tags.csv: 9 rows, failed tracks too\n" in said
    assert "  1 uris begin as a formula does" in said


def test_jsonl_opens_in_pandas_and_duckdb(run_folder, run_export, tmp_path):
    code, _, files = run_export(run_folder, "jsonl")
    assert (code, list(files)) == (harness.OK, ["tags.jsonl"])
    path = tmp_path / "out-jsonl" / "tags.jsonl"
    expected = ["/m/a.mp3", "/m/both.mp3", "/m/broken.mp3", "/m/none.mp3", *HOSTILE]
    rows = [json.loads(line) for line in files["tags.jsonl"].decode().splitlines()]
    assert [row["uri"] for row in rows] == expected
    assert rows[1]["scores"] == rows[1]["peaks"] == {"cel": 0.875, "pia": 0.875}
    assert (rows[2]["reason"], rows[2]["detail"]) == ("empty", "no samples")
    assert pd.read_json(path, lines=True)["uri"].tolist() == expected
    found = duckdb.sql(f"select uri, scores.cel from '{path}'").fetchall()
    assert [uri for uri, _ in found] == expected
    assert found[2][1] is None


@pytest.mark.filterwarnings("ignore:Passing a schema to Validator:DeprecationWarning")
def test_jams(run_folder, run_export):
    code, said, files = run_export(run_folder, "jams")
    assert code == harness.OK
    uris = ["/m/a.mp3", "/m/both.mp3", "/m/none.mp3", *HOSTILE]
    assert set(files) == {*(name_of(uri, "jams") for uri in uris), "index-jams.jsonl"}
    entries = [json.loads(line) for line in files["index-jams.jsonl"].splitlines()]
    assert {one["uri"]: one["file"] for one in entries} == {u: name_of(u, "jams") for u in uris}
    for uri in uris:
        assert jam_of(files, uri).file_metadata.identifiers.uri == uri
    jam = jam_of(files, "/m/both.mp3")
    assert list(jam.annotations[0].data) == [(0.0, 2.5, "piano", 0.5), (0.0, 10.0, "cello", 0.875)]
    about = jam.annotations[0].annotation_metadata
    assert (about.annotator.model_id, about.annotator.aggregation) == (MODEL, "s2")
    assert about.version == "0.1.0"
    whole = jam_of(files, HOSTILE[0]).annotations[0].data
    assert list(whole) == [(0.0, 10.0, "piano", 0.75)]
    assert "8 files .jams, one per track; failed ones are left out\n" in said
    assert "  6 tracks have labels without an interval: those span their track\n" in said


def test_audacity(run_folder, run_export):
    code, _, files = run_export(run_folder, "audacity")
    assert code == harness.OK
    assert files[name_of("/m/a.mp3", "txt")] == b"1.000000\t4.000000\tcello\n"
    assert files[name_of(HOSTILE[1], "txt")] == b"0.000000\t10.000000\tpiano\n"
    assert files[name_of("/m/none.mp3", "txt")] == b""
    assert len(files) == 9


def test_without_any_intervals(run_folder, run_export, tmp_path):
    for path in (tmp_path / "run" / "intervals").rglob("*.parquet"):
        path.unlink()
    _, said, files = run_export(run_folder, "audacity")
    assert files[name_of("/m/a.mp3", "txt")] == b"0.000000\t10.000000\tcello\n"
    assert "  7 tracks have labels that span them: the folder keeps no intervals" in said


def test_intervals_of_other_content_and_of_a_copy(run_folder, run_export):
    renamed = ok("/new/a.mp3", fingerprint=ok("/m/a.mp3")["fingerprint"])
    write_tags(run_folder, [renamed, ok("/new/b.mp3")], "copied")
    before = ok("/m/edited.mp3", fingerprint="blake2b:before")
    write_tags(run_folder, [ok("/m/edited.mp3")], "c", intervals=[interval(before, "pia", 0, 1)])
    _, _, files = run_export(run_folder, "audacity")
    assert files[name_of("/new/a.mp3", "txt")] == b"1.000000\t4.000000\tcello\n"
    assert files[name_of("/new/b.mp3", "txt")] == b"0.000000\t10.000000\tcello\n"
    assert files[name_of("/m/edited.mp3", "txt")] == b"0.000000\t10.000000\tcello\n"


def test_m3u(run_folder, run_export):
    write_tags(run_folder, [ok("/m/best.mp3", score=0.9375), ok("/m/A.mp3")], "more")
    code, said, files = run_export(run_folder, "m3u")
    assert (code, sorted(files)) == (harness.OK, ["cel.m3u8", "index-m3u.jsonl", "pia.m3u8"])
    first, _ = map(json.loads, files["index-m3u.jsonl"].splitlines())
    assert first == {"code": "cel", "name": "cello", "file": "cel.m3u8", "n_tracks": 4}
    assert files["cel.m3u8"].decode().splitlines() == [
        *("#EXTM3U", "#EXTENC:UTF-8", "#PLAYLIST:cello"),
        *("#EXTINF:10,best", "/m/best.mp3", "#EXTINF:10,both", "/m/both.mp3"),
        *("#EXTINF:10,A", "/m/A.mp3", "#EXTINF:10,a", "/m/a.mp3"),
    ]
    entries = files["pia.m3u8"].decode().splitlines()[4::2]
    assert set(entries) == {
        "/m/both.mp3",
        HOSTILE[0],
        HOSTILE[1],
        "file:///m/a%2C%22b%22%0D%0Ac.mp3",
        "file:///m/nul%00.mp3",
        "file:///m/%C3%BC%E2%80%A8.mp3",
    }
    assert "2 playlists, 10 entries; failed tracks are left out\n" in said
    assert "  1 tracks have no label and are on no playlist\n" in said
    assert "  3 uris cannot stand on a line of a playlist" in said


def test_a_class_that_nobody_has_is_an_empty_playlist(tmp_path, run_export):
    folder = Folder(str(tmp_path / "run"))
    write_tags(folder, [ok("/m/a.mp3")])
    _, _, files = run_export(folder, "m3u")
    assert files["pia.m3u8"] == b"#EXTM3U\n#EXTENC:UTF-8\n#PLAYLIST:pia\n"


def test_a_track_has_its_last_row_once(run_folder, run_export):
    later = WHEN + timedelta(days=1)
    again = [ok("/m/a.mp3", ("pia",), tagged_at=later), ok("/m/broken.mp3", tagged_at=later)]
    write_tags(run_folder, again, "later")
    write_tags(run_folder, [ok("/m/none.mp3", ())], "copy")
    _, said, files = run_export(run_folder, "jsonl")
    rows = [json.loads(line) for line in files["tags.jsonl"].splitlines()]
    by_uri = {row["uri"]: row for row in rows}
    assert len(rows) == len(by_uri) == 9
    assert by_uri["/m/a.mp3"]["labels"] == ["pia"]
    assert by_uri["/m/broken.mp3"]["status"] == "ok"
    assert "9 tracks, 0 of them failed" in said
    assert "  3 rows left out: their tracks were tagged again later\n" in said


def test_several_models(run_folder, run_export):
    other = ok("/m/a.mp3", (), model_id="other", scores={"org": 0.5}, peaks={"org": 0.5})
    write_tags(run_folder, [other | {"labels": ["org"]}], codes=["org"])
    write_run(run_folder, "runs/20261101T000000Z.json", model_id="other", class_names={"org": "O"})
    assert "9 tracks" in run_export(run_folder, "m3u")[1]
    _, said, files = run_export(run_folder, "m3u", "--model-id", "other")
    assert "1 tracks, 0 of them failed, by other\n" in said
    assert b"#PLAYLIST:O\n" in files["org.m3u8"]
    code, said, _ = run_export(run_folder, "csv", "--model-id", "third")
    assert code == harness.USAGE
    assert said.endswith(f"no tags of third; found tags of {MODEL}, other: give --model-id\n")
    for name in ("run.json", *run_folder.names("runs", ".json")):
        run_folder.delete(name)
    code, said, _ = run_export(run_folder, "csv")
    assert code == harness.USAGE
    assert "no run.json, which names the last model; found tags of" in said


def test_what_the_last_run_says_of_itself(run_folder, run_export):
    write_run(run_folder, "runs/20261120T000000Z.json")
    run_folder.write_json("run.json", {"identity": {"model_id": MODEL}, "complete": False})
    _, said, files = run_export(run_folder, "m3u")
    assert "  the last run has not ended: these are the tracks that it has committed\n" in said
    assert b"#PLAYLIST:cello\n" in files["cel.m3u8"]
    write_run(run_folder, gone=2)
    assert (
        "  2 of the tracks are not in the last run's catalogue, and are written too\n"
        in run_export(run_folder, "csv")[1]
    )


def test_no_tags(tmp_path, run_export):
    for folder in (Folder(str(tmp_path / "nowhere")), Folder(str(tmp_path))):
        code, said, files = run_export(folder, "csv")
        assert (code, files) == (harness.USAGE, {})
        assert f"error: {folder.uri}: no Parquet files below tags/ there; expected the" in said


def test_classes_that_differ(run_folder, run_export):
    write_tags(run_folder, [ok("/m/z.mp3", ())], "z", codes=["cel", "org"])
    code, said, files = run_export(run_folder, "csv")
    assert (code, files) == (harness.USAGE, {})
    assert "z.parquet: its classes differ" in said


def test_a_class_that_would_leave_the_folder(tmp_path, run_export):
    folder = Folder(str(tmp_path / "run"))
    write_tags(folder, [ok("/m/a.mp3", ())], codes=["../x"])
    code, said, _ = run_export(folder, "m3u")
    assert (code, "class code '../x'" in said) == (harness.USAGE, True)


def test_tags_that_are_no_parquet(run_folder, run_export):
    run_folder.write_bytes(f"tags/model={MODEL}/date=2026-11-21/broken.parquet", b"PAR1")
    code, said, _ = run_export(run_folder, "csv")
    assert code == harness.FAILED
    assert said.startswith("error: cannot read ")
    assert "broken.parquet" in said


def test_a_file_that_is_no_model_s(run_folder, run_export):
    run_folder.write_bytes("tags/mine.parquet", b"PAR1")
    code, said, _ = run_export(run_folder, "csv")
    assert code == harness.USAGE
    assert (
        "tags/mine.parquet: expected tags/model=.../part=.../date=.../*.parquet; move it away"
        in said
    )


def test_again_is_the_same_and_leaves_other_files(run_folder, run_export, tmp_path):
    (tmp_path / "out-jams").mkdir()
    (tmp_path / "out-jams" / "mine.tmp").write_bytes(b"1")
    (tmp_path / "out-jams" / ".a.jams.0a1b2c3d.tmp").write_bytes(b"half")  # of a killed export
    once = run_export(run_folder, "jams")
    assert once == run_export(run_folder, "jams")
    assert len(once[2]) == 10
    assert once[2]["mine.tmp"] == b"1"


def test_a_bucket(run_folder, run_export, monkeypatch, capsys):
    with S3Server() as server:
        for name, value in server.environment.items():
            monkeypatch.setenv(name, value)
        bucket = Folder(f"s3://{BUCKET}/run")
        for name, _, _ in run_folder.walk():
            bucket.write_bytes(name, run_folder.read_bytes(name))
        for name in ("csv", "jams", "m3u", "label-studio", "atlas", "navidrome"):
            argv = ["--tags", bucket.uri, "--format", name, "--out", f"s3://{BUCKET}/out-{name}"]
            assert export.main(argv) == harness.OK
            out = Folder(f"s3://{BUCKET}/out-{name}")
            written = {key: out.read_bytes(key) for key, _, _ in out.walk()}
            assert written == run_export(run_folder, name)[2]


@pytest.mark.slow
def test_ctrl_c_leaves_whole_files_and_the_same_command_goes_on(tmp_path, start_job):
    folder, n_tracks = Folder(str(tmp_path / "run")), 5_000
    write_tags(folder, [ok(f"/m/{k}.mp3") for k in range(n_tracks)])
    out = tmp_path / "out"
    argv = ["--tags", folder.uri, "--format", "audacity", "--out", str(out)]
    job = start_job("export", *argv)
    below = out / "m"  # without a run.json nothing says where the catalogue's folder is
    wait_for(lambda: below.is_dir() and len(os.listdir(below)) > 100, job)
    job.send_signal(signal.SIGINT)
    said, _ = job.communicate()
    assert job.returncode == harness.INTERRUPTED
    assert "interrupted: " in said.splitlines()[-1]
    names = os.listdir(below)
    assert not (out / "index-audacity.jsonl").exists()
    assert 100 <= len(names) < n_tracks
    assert {(below / name).read_bytes() for name in names} == {b"0.000000\t10.000000\tcel\n"}
    assert all(name.endswith(".txt") for name in names)
    assert export.main(argv) == harness.OK
    assert len(os.listdir(below)) == n_tracks
    assert len((out / "index-audacity.jsonl").read_text().splitlines()) == n_tracks
