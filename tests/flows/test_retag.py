"""Labels made anew from stored scores: the rows, the lineage, kills, and what a user gets wrong."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs import retag as job
from pipeline.audio.spectra.input_kinds import LogMelInput
from pipeline.audio.spectra.windows import WindowSpec
from pipeline.errors import SpecMismatch, StoreError, UsageError
from pipeline.evaluation.labels.calibration import Calibration
from pipeline.models.model import Architecture, ModelCard, save_card
from pipeline.selection.vocabulary import Vocabulary
from pipeline.store.folder import Folder
from pipeline.store.tags.track_facts.corrections import add_corrections, read_corrections
from pipeline.store.tags.track_facts.gone import gone_tracks, rows_of_gone
from pipeline.tagging.retag import IDENTITY_KEY, RetagConfig, retag
from schemas.tags import tags_schema
from tests.flows.conftest import kill
from tests.s3 import S3Server
from tests.waiting import wait_for

CODES = ["cel", "pia", "voi"]
LIMITS = {"cel": 0.5, "pia": 0.5, "voi": 0.5}
ME = "net/10-0123"  # as odd as a backbone's name may be
POOLS: list[pa.MemoryPool] = []  # Arrow's buffers must not outlive their pool
LINEAGE = {"timbre.model_sha256": "ab" * 32}


def tags_of(rng, n, *, model_id=ME, failed_every=7):
    """Return rows of TAGS with labels by thresholds of 0.5 and a gate of 0.2."""
    rows = []
    for k in range(n):
        row = {"uri": f"/music/{rng.integers(1e9)}.flac", "model_id": model_id, "attempts": 1}
        row |= {"tagged_at": datetime(2026, 11, 21, tzinfo=UTC), "status": "ok", "reason": "ok"}
        if failed_every and k % failed_every == 3:
            row |= {"status": "failed", "reason": "empty", "detail": "no audio", "labels": []}
        else:
            scores, peaks = (dict(zip(CODES, rng.random(3), strict=True)) for _ in range(2))
            row |= {"scores": scores, "peaks": peaks, "n_windows": 9, "n_active": 9}
            row["labels"] = [c for c in CODES if scores[c] >= 0.5 and peaks[c] >= 0.2]
            if k % 11 == 5:
                row |= {"labels": [], "n_active": 0}
        rows.append(row)
    return pa.Table.from_pylist(rows, tags_schema(CODES))


def write_run(folder, tables, *, model_id=ME, night=21, calibration=None, **said):
    """Write a tagging run's folder, a file a table."""
    identity = {"model_id": model_id, "aggregation": "s2", "thresholds": LIMITS, "window_s": 1.0,
                "gate": 0.2}  # fmt: skip
    identity |= {} if calibration is None else {"calibration": calibration}
    place = f"tags/model={model_id.replace('/', '%2F')}/date=2026-11-{night}"
    for k, table in enumerate(tables):
        lineage = LINEAGE | {"timbre.tagging": json.dumps(identity)}
        table = table.replace_schema_metadata(lineage)
        Folder(str(folder)).write_table(f"{place}/{night}-{k:03d}.parquet", table)
    run = {"identity": identity, "complete": True, "catalog": "/music", "model": "/models/me"}
    run |= {"run_id": f"202611{night}", "class_names": dict.fromkeys(CODES, "an instrument")} | said
    for name in ("run.json", f"runs/{run['run_id']}.json"):
        Folder(str(folder)).write_json(name, run)


def write_model(folder, model_id=ME, **thresholds):
    vocabulary = Vocabulary.from_dict(
        [{"code": c, "name": c, "any_of": [f"/m/{c}"], "none_of": []} for c in CODES]
    )
    card = ModelCard(
        architecture=Architecture("resnet10t", 3),
        vocabulary=vocabulary,
        input_spec=LogMelInput(),
        windows=WindowSpec(),
        aggregation="s1",
        thresholds={"s1": dict.fromkeys(CODES, 0.9), "s2": LIMITS | thresholds},
        dataset_fingerprint="",
        training={},
        provenance={},
        model_id=model_id,
    )
    save_card(Folder(str(folder)), card)
    return str(folder)


@pytest.fixture
def tagged(tmp_path, rng) -> Path:
    folder = tmp_path / "run"
    write_run(folder, [tags_of(rng, n) for n in (40, 1, 25)])
    return folder


def made(folder, out, **options):
    return retag(RetagConfig(str(folder), str(out), **options))


def files(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.glob("tags/**/*.*"))


def rows(folder: Path) -> list[dict]:
    return [
        row for name in files(folder) for row in pq.ParquetFile(folder / name).read().to_pylist()
    ]


def expected(folder, thresholds, min_confidence):
    """Say by SQL what the labels must be."""
    named = ", ".join(
        f"case when scores.{c} >= {thresholds[c]}::double "
        f"and peaks.{c} >= {min_confidence}::double then '{c}' end"
        for c in CODES
    )
    query = f"""select uri, case when status = 'failed' then labels when n_active = 0 then []
        else list_filter([{named}], lambda x: x is not null) end as labels
        from read_parquet('{folder}/tags/**/*.parquet', hive_partitioning = false)"""
    return dict(duckdb.sql(query).fetchall())


def test_labels_follow_the_new_limits_and_nothing_else_changes(tagged, tmp_path):
    out = tmp_path / "out"
    run = made(tagged, out, threshold=0.3, min_confidence=0.4)
    assert run.model == json.loads((tagged / "run.json").read_text())["model"]
    assert files(out) == files(tagged)
    new, old = rows(out), rows(tagged)
    assert {row["uri"]: row["labels"] for row in new} == expected(
        tagged, dict.fromkeys(CODES, 0.3), 0.4
    )
    assert [row | {"labels": 0} for row in new] == [row | {"labels": 0} for row in old]
    pairs = list(zip(old, new, strict=True))
    for code in CODES:
        plus = sum(code in b["labels"] and code not in a["labels"] for a, b in pairs)
        minus = sum(code in a["labels"] and code not in b["labels"] for a, b in pairs)
        assert (run.labels_added[code], run.labels_removed[code]) == (plus, minus)
        assert plus > 0 < minus
        assert run.labels_in_all[code] == sum(code in row["labels"] for row in new)
    assert run.relabelled == sum(a["labels"] != b["labels"] for a, b in pairs)
    assert (run.tracks, run.failed_in_all) == (66, sum(r["status"] != "ok" for r in old))
    assert run.unlabelled == sum(r["status"] == "ok" and not r["labels"] for r in new)


def test_the_same_limits_give_the_same_labels(tagged, tmp_path):
    run = made(tagged, tmp_path / "out", threshold=0.5)
    assert run.relabelled == 0
    assert rows(tmp_path / "out") == rows(tagged)
    assert run.identity == json.loads((tagged / "run.json").read_text())["identity"]


def test_files_say_where_they_are_from(tagged, tmp_path):
    out = tmp_path / "out"
    run = made(tagged, out, min_confidence=0.6)
    assert json.loads((out / "run.json").read_text()) == run.to_dict()
    assert (run.complete, run.retagged_from) == (True, str(tagged))
    assert run.identity["gate"] == 0.6
    assert run.identity["thresholds"] == LIMITS
    for name in files(out):
        before, after = pq.read_schema(tagged / name), pq.read_schema(out / name)
        assert json.loads(after.metadata[IDENTITY_KEY]) == run.identity
        assert after.metadata[b"timbre.model_sha256"] == before.metadata[b"timbre.model_sha256"]
        assert after.names == before.names
        assert after.field("labels").metadata == before.field("labels").metadata != {}


def test_a_retag_can_be_made_anew(tagged, tmp_path):
    made(tagged, tmp_path / "a", threshold=0.1, min_confidence=0)
    made(tmp_path / "a", tmp_path / "b", threshold=0.5, min_confidence=0.2)
    assert rows(tmp_path / "b") == rows(tagged)


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("t.json", '{"voi": 0.9}'),
        ("t.json", '{"thresholds": {"voi": 0.9}, "gate": 1}'),
        ("t.toml", "voi = 0.9"),
        ("t.toml", "[thresholds]\nvoi = 0.9"),
    ],
)
def test_thresholds_from_a_file(tagged, tmp_path, name, text):
    (tmp_path / name).write_text(text)
    run = made(tagged, tmp_path / "out", thresholds=str(tmp_path / name))
    assert run.identity["thresholds"] == LIMITS | {"voi": 0.9}
    assert run.labels_removed["voi"] > 0
    assert run.labels_removed["cel"] == run.labels_added["cel"] == 0


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('{"xyz": 0.5}', "class 'xyz'; expected some of cel, pia, voi"),
        ('{"cel": 2}', r"cel 2: expected 0 to 1"),
        ('{"cel": "0.5"}', r"cel '0\.5': expected 0 to 1"),
        ('{"cel": null}', r"cel None: expected 0 to 1"),
        ('{"cel": true}', r"cel True: expected 0 to 1"),
        ("{", "neither json nor"),
        ("[]", "found no thresholds"),
        ("{}", "found no thresholds"),
    ],
)
def test_files_of_thresholds_that_are_none(tagged, tmp_path, text, said):
    (tmp_path / "t.json").write_text(text)
    with pytest.raises(UsageError, match=said):
        made(tagged, tmp_path / "out", thresholds=str(tmp_path / "t.json"))
    assert not (tmp_path / "out").exists()


def test_thresholds_of_the_model_now(tagged, tmp_path):
    model = write_model(tmp_path / "model", pia=0.95)
    run = made(tagged, tmp_path / "out", model=model)
    assert run.identity["thresholds"] == LIMITS | {"pia": 0.95}  # of s2, as the scores are
    other = write_model(tmp_path / "other", model_id="net-9999")
    with pytest.raises(SpecMismatch, match=f"is net-9999; the tags in .* are by {ME}"):
        made(tagged, tmp_path / "out2", model=other)


def test_one_model_among_several(tagged, tmp_path, rng):
    """The last run's, or the one that is named; the other's files stay where they are."""
    write_run(tagged, [tags_of(rng, 5, model_id="net-9999")], model_id="net-9999", night=22)
    last = made(tagged, tmp_path / "last", min_confidence=0.5)
    assert (last.tracks, last.identity["model_id"]) == (5, "net-9999")
    named = made(tagged, tmp_path / "named", model=write_model(tmp_path / "m"), min_confidence=0.5)
    assert (named.tracks, named.identity["model_id"]) == (66, ME)
    assert {row["model_id"] for row in rows(tmp_path / "named")} == {ME}


def test_a_file_without_evidence_among_others_stops_a_gate(tagged, tmp_path, rng):
    older = tags_of(rng, 9).drop_columns(["peaks", "n_active"])
    write_run(tagged, [older], night=22)
    with pytest.raises(UsageError, match=r"22-000\.parquet: a lowest confidence of 0\.2"):
        made(tagged, tmp_path / "out", threshold=0.4)
    assert json.loads((tmp_path / "out" / "run.json").read_text())["complete"] is False


def test_a_rerun_writes_only_what_is_new(tagged, tmp_path, rng):
    out = tmp_path / "out"
    first = made(tagged, out, min_confidence=0.5)
    times = {name: (out / name).stat().st_mtime_ns for name in files(out)}
    again = made(tagged, out, min_confidence=0.5)
    assert {name: (out / name).stat().st_mtime_ns for name in files(out)} == times
    measured = {
        name: getattr(first, name) for name in ("seconds", "run_id", "started_at", "memory")
    }
    made_at = {"made_at": first.provenance["made_at"]}  # a second may have passed
    assert replace(again, **measured, provenance={**again.provenance, **made_at}) == first

    gone, changed, *_ = files(tagged)
    (tagged / gone).unlink()
    pq.write_table(tags_of(rng, 6), tagged / changed)
    write_run(tagged, [tags_of(rng, 3)], night=22)
    run = made(tagged, out, min_confidence=0.5)
    assert files(out) == files(tagged)
    assert run.tracks == 6 + 25 + 3
    assert {row["uri"]: row["labels"] for row in rows(out)} == expected(tagged, LIMITS, 0.5)


def test_labels_of_two_makings_are_not_mixed(tagged, tmp_path, rng):
    made(tagged, tmp_path / "out", min_confidence=0.5)
    with pytest.raises(SpecMismatch, match="give another --out"):
        made(tagged, tmp_path / "out", min_confidence=0.4)
    write_run(tmp_path / "other", [tags_of(rng, 3)])
    with pytest.raises(SpecMismatch, match="give another --out"):
        made(tagged, tmp_path / "other", min_confidence=0.5)
    assert made(tagged, tmp_path / "out", min_confidence=0.5).tracks == 66


@pytest.mark.parametrize("spelling", ["{}", "{}/", "{}/../run", "link"])
def test_never_in_place(tagged, tmp_path, spelling):
    (tmp_path / "link").symlink_to(tagged)
    out = str(tmp_path / "link") if spelling == "link" else spelling.format(tagged)
    with pytest.raises(UsageError, match="that is what --tags names; name another folder"):
        retag(RetagConfig(str(tagged), out, min_confidence=0.5))


def test_what_a_user_gets_wrong(tagged, tmp_path):
    with pytest.raises(UsageError, match="do not go together"):
        RetagConfig("a", "b", threshold=0.5, model="m")
    with pytest.raises(UsageError, match="what is new"):
        RetagConfig("a", "b")
    for options in ({"threshold": 1.5}, {"min_confidence": -0.1}):
        with pytest.raises(UsageError, match="expected 0 to 1"):
            RetagConfig("a", "b", **options)
    with pytest.raises(UsageError, match=r"no run\.json there"):
        made(tmp_path / "nothing", tmp_path / "out", min_confidence=0.5)
    with pytest.raises(UsageError, match=r"no model\.json"):
        made(tagged, tmp_path / "out", model=str(tmp_path))
    with pytest.raises(UsageError, match=r"t\.json"):
        made(tagged, tmp_path / "out", thresholds=str(tmp_path / "t.json"))
    write_run(tagged, [], complete=False)
    with pytest.raises(UsageError, match="has not ended"):
        made(tagged, tmp_path / "out", min_confidence=0.5)
    write_run(tmp_path / "empty", [])
    with pytest.raises(UsageError, match="no tags by"):
        made(tmp_path / "empty", tmp_path / "out", min_confidence=0.5)
    assert not (tmp_path / "out").exists()


def test_a_broken_file_stops_it_by_name(tagged, tmp_path):
    broken = files(tagged)[1]
    (tagged / broken).write_bytes(b"no parquet")
    with pytest.raises(StoreError, match=Path(broken).name):
        made(tagged, tmp_path / "out", min_confidence=0.5)
    assert files(tmp_path / "out") == [name for name in files(tagged) if name != broken]


def test_memory_does_not_grow_with_the_catalogue(tmp_path, rng):
    table, most = tags_of(rng, 2000), []
    for n_files in (8, 64):
        write_run(tmp_path / f"run{n_files}", [table] * n_files)
        before, pool = pa.default_memory_pool(), pa.proxy_memory_pool(pa.default_memory_pool())
        POOLS.append(pool)
        pa.set_memory_pool(pool)
        try:
            made(tmp_path / f"run{n_files}", tmp_path / f"out{n_files}", min_confidence=0.5)
        finally:
            pa.set_memory_pool(before)
        most.append(pool.max_memory())
    assert 0 < most[1] < 2 * most[0]


@pytest.mark.slow
def test_killed_with_9_and_run_again(tmp_path, rng, start_job):
    table = tags_of(rng, 500)
    write_run(tmp_path / "run", [table] * 400)
    flags = ["--tags", tmp_path / "run", "--out", tmp_path / "out", "--threshold", "0.4"]
    process = start_job("retag", *flags)
    out = tmp_path / "out"
    wait_for(lambda: len(files(out)) > 5, process)
    kill(process)
    done = {
        name: (out / name).stat().st_mtime_ns for name in files(out) if name.endswith("parquet")
    }
    assert 0 < len(done) < 400
    assert json.loads((out / "run.json").read_text())["complete"] is False
    for name in done:  # what is there is whole
        assert pq.ParquetFile(out / name).metadata.num_rows == 500
    run = made(tmp_path / "run", out, threshold=0.4)
    assert files(out) == files(tmp_path / "run")
    assert all((out / name).stat().st_mtime_ns == when for name, when in done.items())
    made(tmp_path / "run", tmp_path / "undisturbed", threshold=0.4)
    assert rows(out) == rows(tmp_path / "undisturbed")
    assert run.tracks == 200_000


def test_the_job_prints_what_has_changed(tagged, tmp_path, capsys):
    flags = ["--tags", str(tagged), "--out", str(tmp_path / "out"), "--threshold", "0.3"]
    assert job.main(flags) == 0
    printed = capsys.readouterr().out
    run = json.loads((tmp_path / "out" / "run.json").read_text())
    for code in CODES:
        plus, minus = run["labels_added"][code], run["labels_removed"][code]
        assert f"  {code}  +{plus} -{minus}  ({run['labels_in_all'][code]} tracks now)" in printed
    assert job.main([*flags[:-1], "7"]) == 2
    assert "error: --threshold 7.0: expected 0 to 1" in capsys.readouterr().err


def test_no_torch_where_no_model_is_named(tagged, tmp_path):
    """The job starts in a second then; with a model it takes several."""
    code = (
        "import sys; from jobs.retag import main; "
        f"main(['--tags', {str(tagged)!r}, '--out', {str(tmp_path / 'o')!r}, '--gate', '0.1']); "
        "sys.exit('torch' in sys.modules)"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    assert (
        subprocess.run([sys.executable, "-c", code], env=environment, check=False).returncode == 0
    )


def test_in_a_bucket(tagged, tmp_path):
    here = made(tagged, tmp_path / "here", min_confidence=0.5)
    with S3Server() as server:
        source, out = server.uri("run"), server.uri("out")
        for path in filter(Path.is_file, tagged.glob("**/*.*")):
            Folder(source).write_bytes(str(path.relative_to(tagged)), path.read_bytes())
        run = made(source, out, min_confidence=0.5)
        assert [key.removeprefix("out/") for key in server.keys("out/tags")] == files(tagged)
        written = server.etags("out/tags")
        again = made(source, out, min_confidence=0.5)
        assert server.etags("out/tags") == written
        for name in files(tagged):
            labels = Folder(out).read_table(name)["labels"]
            assert labels.equals(pq.ParquetFile(tmp_path / "here" / name).read()["labels"])
    keys = ("labels_in_all", "labels_added", "labels_removed", "relabelled", "tracks")
    for key in keys:
        assert getattr(run, key) == getattr(again, key) == getattr(here, key)


def test_of_probabilities_the_model_s_thresholds_are_mapped_too(tmp_path, rng):
    """The same model, the same thresholds of model.json: the same labels as before the map."""
    classes = {"cel": {"slope": 0.4, "offset": -1.0}, "pia": {}, "voi": {"slope": 2.0, "offset": 1}}
    found = Calibration(classes)
    plain = tags_of(rng, 60)
    probable = plain.to_pylist()
    for row in probable:
        if row["scores"]:
            scores = np.array([list(row["scores"].values())])
            row["scores"] = dict(zip(CODES, found.apply(scores)[0], strict=True))
    folder, out = tmp_path / "run", tmp_path / "out"
    write_run(folder, [pa.Table.from_pylist(probable, plain.schema)], calibration=found.to_dict())
    run = made(folder, out, model=write_model(tmp_path / "m", cel=0.3, voi=0.8))
    assert run.identity["calibration"] == found.to_dict()
    write_run(tmp_path / "plain", [plain])
    made(tmp_path / "plain", tmp_path / "raw", model=str(tmp_path / "m"))
    labels = [[row["labels"] for row in rows(each)] for each in (out, tmp_path / "raw")]
    assert labels[0] == labels[1]
    assert labels[0] != plain["labels"].to_pylist()


def test_what_is_gone_is_left_out_by_file_and_by_row(tmp_path, rng, capsys):
    """All of the first file, and some of the second; whoever is back is written again."""
    tables = [tags_of(rng, 5), tags_of(rng, 6)]
    write_run(tmp_path / "run", tables)
    run, place = Folder(str(tmp_path / "run")), "gone/model=net%2F10-0123/0-of-1.parquet"
    gone = [*tables[0]["uri"].to_pylist(), tables[1]["uri"][0].as_py()]
    night = datetime(2026, 11, 22, tzinfo=UTC)
    config = RetagConfig(run.uri, str(tmp_path / "new"), threshold=0.1)
    assert retag(config).tracks == 11
    run.write_table(place, rows_of_gone(gone, "/music", night))
    assert retag(config).tracks == 5
    assert "6 tracks are left out: they are gone from their catalogue" in capsys.readouterr().err
    (path,) = (tmp_path / "new").glob("tags/**/*.parquet")
    assert pq.read_table(path, partitioning=None)["uri"].equals(tables[1]["uri"][1:])
    run.write_table(place, rows_of_gone(gone[:5], "/music", night))
    assert retag(config).tracks == 6
    assert retag(replace(config, include_gone=True)).tracks == 11
    assert len(gone_tracks(Folder(config.out), ME)) == 5


def test_what_people_said_goes_along(tagged, tmp_path):
    uri = rows(tagged)[0]["uri"]
    said = {"uri": uri, "code": "cel", "verdict": "present"}
    add_corrections(Folder(str(tagged)), [said])
    made(tagged, tmp_path / "new", threshold=0.5)
    made(tagged, tmp_path / "new", threshold=0.5)
    (row,) = read_corrections(Folder(str(tmp_path / "new"))).rows.to_pylist()
    assert (row["uri"], row["verdict"]) == (uri, "present")
