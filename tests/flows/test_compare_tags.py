"""Two tagging runs' folders, as jobs.tag_catalog writes them, compared; no Ray is started."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from pipeline.errors import SpecMismatch, StoreError, UsageError
from pipeline.evaluation.runs.tag_differences import APART, differences_schema
from pipeline.store.folder import Folder
from pipeline.tagging.compare_tags import CompareTagsConfig, compare_tags, models, tagged
from schemas.tags import tags_schema
from tests.s3 import S3Server

CODES = ["cel", "pia", "voi"]
DAY = datetime(2026, 11, 21, tzinfo=UTC)


def tags_row(uri, labels, codes, **changes):
    scores = {code: 0.75 if code in labels else 0.25 for code in codes}
    return {
        "uri": uri,
        "fingerprint": f"blake2b:{uri}",
        "duration_s": 60.0,
        "status": "ok",
        "labels": list(labels),
        "scores": scores,
        "peaks": scores,
        "tagged_at": DAY,
    } | changes


def failed_row(uri, **changes):
    lacks = {"scores": None, "peaks": None, "duration_s": None, "fingerprint": None}
    return tags_row(uri, [], [], status="failed", reason="unreadable", **lacks) | changes


def write_run(folder, model_id, rows, *, codes=CODES, night=21, run=True, **said):
    """Write TAGS three rows a file, and the run's json; return the folder's URI."""
    folder = Folder(str(folder))
    where = f"tags/model={model_id}/date=2026-11-{night}"
    rows = [row | {"model_id": model_id} for row in rows]
    for k in range(0, len(rows), 3):
        table = pa.Table.from_pylist(rows[k : k + 3], tags_schema(codes))
        folder.write_table(f"{where}/{model_id}{k:03d}.parquet", table)
    limits = dict.fromkeys(codes, 0.5)
    identity = {"model_id": model_id, "aggregation": "s1", "thresholds": limits, "gate": 0.2}
    about = {"identity": identity, "complete": True, "run_id": f"202611{night}T021500Z"} | said
    if run:
        folder.write_json("run.json", about)
        folder.write_json(f"runs/{about['run_id']}.json", about)
    return folder.uri


def labelled(labels, codes=CODES):
    return [tags_row(uri, has, codes) for uri, has in labels.items()]


A = {"1": ["cel"], "2": ["pia"], "3": [], "4": ["cel", "voi"], "5": ["voi"]}
B = {"5": ["voi"], "4": ["cel", "pia"], "3": ["pia"], "2": [], "1": ["cel"]}


def run(tmp_path, a, b, **flags):
    config = CompareTagsConfig(str(a), str(b), str(tmp_path / "out"), **flags)
    return compare_tags(config).to_dict()


def assert_meant(schema, expected):
    """Parquet has its own names for what lies in lists; columns, types and meanings stay."""
    assert schema.equals(expected)
    meanings = [[field.metadata[b"meaning"] for field in one] for one in (schema, expected)]
    assert meanings[0] == meanings[1]


@pytest.fixture
def two(tmp_path):
    """Two folders: five tracks that both have, and some that only one has."""
    rows_a = [*labelled(A), tags_row("gone", ["cel"], CODES), failed_row("broken")]
    rows_b = [failed_row("broken"), tags_row("new", ["cel"], CODES), *labelled(B)]
    names = {"cel": "cello", "pia": "piano"}
    return (
        write_run(tmp_path / "a", "m1", rows_a, engine={"name": "torch"}),
        write_run(tmp_path / "b", "m2", rows_b, class_names=names),
    )


def test_a_night_without_anything_new_hides_no_engine(two, tmp_path):
    """The engine of the tags is that of the last run that decoded something."""
    folder, engine = Folder(two[0]), {"name": "openvino", "precision": "bf16", "note": ""}
    first = folder.read_json("run.json") | {"engine": engine}
    quiet = first | {"engine": {}, "run_id": "20261122T021500Z"}
    folder.write_json(f"runs/{first['run_id']}.json", first)
    folder.write_json(f"runs/{quiet['run_id']}.json", quiet)
    folder.write_json("run.json", quiet)
    report = run(tmp_path, *two)
    assert report["a"]["engine"] == engine
    assert report["b"]["engine"] is None  # no run says
    html = (tmp_path / "out" / "report.html").read_text()
    assert re.search(r"<td[^>]*>engine</td><td[^>]*>name openvino, precision bf16</td><td", html)
    assert not re.search(r"<td[^>]*></td>", html)  # a gap is a dash


def test_two_runs(two, tmp_path):
    report = run(tmp_path, *two)
    out = tmp_path / "out"
    assert json.loads((out / "differences.json").read_text()) == report
    assert report["n_compared"] == 5
    labels = report["labels"]
    assert (labels["changed"], labels["added"], labels["removed"]) == (3, 2, 2)
    assert (labels["lost_all"], labels["gained_first"]) == (1, 1)
    assert labels["changed_share"] == 0.6
    assert labels["jaccard_mean"] == pytest.approx((1 + 0 + 0 + 1 / 3 + 1) / 5)
    unmatched = {why: n for why, n in report["apart"].items() if n}
    assert unmatched == {"only_a": 1, "only_b": 1, "failed_both": 1}
    assert report["apart_first"]["only_b"] == ["new"]
    assert report["class_names"] == {"cel": "cello", "pia": "piano", "voi": "voi"}
    assert report["a"]["identity"]["thresholds"] == dict.fromkeys(CODES, 0.5)
    assert (report["a"]["model_id"], report["a"]["engine"]) == ("m1", {"name": "torch"})
    assert (report["b"]["n_tracks"], report["b"]["n_failed"]) == (7, 1)
    table = pq.read_table(out / "differences.parquet")
    assert_meant(table.schema, differences_schema(CODES))
    changes = {row["uri"]: (row["added"], row["removed"]) for row in table.to_pylist()}
    assert changes == {"2": ([], ["pia"]), "3": (["pia"], []), "4": (["pia"], ["voi"])}
    assert table["uri"][0].as_py() == "4"
    assert [row["uri"] for row in report["largest"]] == table["uri"].to_pylist()
    assert report["largest"][0]["duration_s"] == 60
    unmatched = pq.read_table(out / "apart.parquet")
    assert_meant(unmatched.schema, APART)
    assert sorted(unmatched["uri"].to_pylist()) == ["broken", "gone", "new"]
    page = (out / "report.html").read_text()
    assert "m1" in page
    assert page.count("data:image/svg+xml") == 3


def test_the_limit_is_a_share_of_the_compared_tracks(two, tmp_path):
    assert not run(tmp_path, *two, max_changed=0.6)["past_limit"]
    assert run(tmp_path, *two, max_changed=0.59)["past_limit"]


def test_one_folder_with_two_models(two, tmp_path):
    expected = run(tmp_path, *two)
    both = write_run(tmp_path / "both", "m1", labelled(A), night=20)
    write_run(both, "m2", labelled(B), night=21)
    report = run(tmp_path, both, both + "/")
    assert (report["a"]["model_id"], report["b"]["model_id"]) == ("m1", "m2")
    assert report["per_class"] == expected["per_class"]


@pytest.mark.parametrize(
    ("a_model_id", "b_model_id", "expected"),
    [
        (None, None, ("m2", "m3")),
        ("m1", None, ("m1", "m3")),
        ("m3", None, ("m3", "m2")),
        (None, "m1", ("m3", "m1")),
        (None, "m3", ("m2", "m3")),
        ("m1", "m2", ("m1", "m2")),
    ],
)
@pytest.mark.parametrize("runs", ["runs", "no runs"])
def test_which_models_of_one_folder(tmp_path, a_model_id, b_model_id, expected, runs):
    for night, model in enumerate(["m1", "m3", "m2", "m3"], 20):
        rows = [tags_row(f"{night}", [], CODES, tagged_at=DAY + timedelta(days=night))]
        keep = runs == "runs" or model == "m1"
        folder = write_run(tmp_path / "a", model, rows, night=night, run=keep)
    config = CompareTagsConfig(folder, folder, "out", a_model_id=a_model_id, b_model_id=b_model_id)
    assert models(config) == expected


def test_two_folders_each_have_their_last_model(tmp_path):
    one = write_run(tmp_path / "a", "m1", labelled(A), night=20)
    write_run(one, "m2", labelled(A), night=21)
    other = write_run(tmp_path / "b", "m2", labelled(A))
    assert models(CompareTagsConfig(one, other, "out")) == ("m2", "m2")
    assert models(CompareTagsConfig(one, other, "out", a_model_id="m1")) == ("m1", "m2")


def test_the_newest_row_of_a_track_counts(tmp_path):
    later = DAY + timedelta(days=1)
    rows = [
        tags_row("1", ["pia"], CODES, tagged_at=later, fingerprint="new"),
        tags_row("1", ["cel"], CODES),
        *labelled({"2": ["cel"], "3": []}),
        tags_row("3", ["voi"], CODES, tagged_at=later),
    ]
    a = write_run(tmp_path / "a", "m1", rows)
    new = [tags_row("1", ["pia"], CODES, fingerprint="new")]
    b = write_run(tmp_path / "b", "m2", [*new, *labelled({"2": ["cel"], "3": ["voi"]})])
    report = run(tmp_path, a, b)
    assert (report["n_compared"], report["labels"]["changed"]) == (3, 0)
    assert report["a"]["n_tracks"] == 3


def test_classes_that_only_one_model_knows_do_not_count(tmp_path):
    a = write_run(tmp_path / "a", "m1", labelled({"1": ["cel", "org"], "2": []}, ["org", "cel"]),
                  codes=["org", "cel"])  # fmt: skip
    b = write_run(tmp_path / "b", "m2", labelled({"1": ["cel"], "2": ["pia"]}))
    report = run(tmp_path, a, b)
    assert list(report["class_names"]) == ["cel"]
    assert (report["classes_only_a"], report["classes_only_b"]) == (["org"], ["pia", "voi"])
    assert report["labels"]["changed"] == 0
    strange = write_run(tmp_path / "c", "m3", labelled({"1": ["sax"]}, ["sax"]), codes=["sax"])
    with pytest.raises(SpecMismatch, match="m3 knows sax, none of which m1 knows"):
        run(tmp_path, a, strange)


def test_a_run_that_has_not_ended_is_said(two, tmp_path):
    folder = Folder(two[1])
    before = folder.read_json("run.json")
    folder.write_json("run.json", {"identity": before["identity"], "complete": False})
    report = run(tmp_path, *two)
    assert (report["a"]["complete"], report["b"]["complete"]) == (True, False)
    assert report["b"]["run_id"] == "20261121T021500Z"  # what the last whole run says still holds
    assert "The last run of B has not ended" in (tmp_path / "out" / "report.html").read_text()


def test_no_track_in_common(two, tmp_path):
    other = write_run(tmp_path / "c", "m2", [tags_row("x\ny", [], CODES), failed_row("1")])
    with pytest.raises(UsageError, match=r"only_a 6, only_b 1, failed_b 1") as caught:
        run(tmp_path, two[0], other)
    assert "'x\\ny'; tag the same catalogue with both models" in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "out").exists()


def test_folders_that_cannot_be_compared(two, tmp_path):
    one, other = two
    with pytest.raises(UsageError, match="nowhere: no Parquet files below tags/ there"):
        run(tmp_path, tmp_path / "nowhere", other)
    with pytest.raises(UsageError, match=r"no tags of m9; found tags of m2: give --b-model-id"):
        run(tmp_path, one, other, b_model_id="m9")
    with pytest.raises(UsageError, match="two models are needed, there is m1; give --b another"):
        run(tmp_path, one, one)
    with pytest.raises(UsageError, match="two models are needed"):
        run(tmp_path, one, one, a_model_id="m1", b_model_id="m1")
    with pytest.raises(UsageError, match="that is what --b names; name another folder"):
        compare_tags(CompareTagsConfig(one, other, other + "/"))
    next((tmp_path / "b" / "tags").rglob("*.parquet")).write_bytes(b"PAR1 is not enough")
    with pytest.raises(StoreError, match=r"cannot read .*m2.*\.parquet"):
        run(tmp_path, one, other)


def test_each_file_is_read_once_and_only_in_part(tmp_path, monkeypatch):
    labels = {str(k): CODES[k % 3 : k % 3 + 1] for k in range(150)}
    both = write_run(tmp_path / "both", "m1", labelled(labels), night=20)
    write_run(both, "m2", labelled(dict(reversed(labels.items()))), night=21)
    seen = []
    read = Folder.read_table

    def spy(folder, name, columns=None):
        seen.append((name, tuple(columns)))
        return read(folder, name, columns)

    monkeypatch.setattr(Folder, "read_table", spy)
    report = run(tmp_path, both, both)
    assert (report["n_compared"], report["labels"]["changed"]) == (150, 0)
    whole = [name for name, columns in seen if "labels" in columns]
    assert len(whole) == len(set(whole)) == 100  # not the other model's files too
    assert len(seen) - len(whole) <= 2 * 16  # a few only for whose they are
    assert not any("peaks" in columns for _, columns in seen)


def test_columns_do_not_depend_on_how_rows_are_cut(rng):
    rows = labelled({str(k): [c for c in CODES if rng.random() < 0.4] for k in range(50)})
    rows[7] |= {"status": "failed", "scores": None, "labels": []}
    table = pa.Table.from_pylist([row | {"model_id": "m"} for row in rows], tags_schema(CODES))
    whole = tagged([table], CODES)
    cut = tagged([table.slice(k, 7) for k in range(0, 50, 7)], CODES)
    assert whole.uris == cut.uris
    for name in ("labels", "scores", "duration_s", "is_ok"):
        np.testing.assert_array_equal(getattr(whole, name), getattr(cut, name))
    for k, row in enumerate(rows):
        assert [c for c, has in zip(CODES, whole.labels[k], strict=True) if has] == row["labels"]
        assert np.isnan(whole.scores[k]).all() == (k == 7)


def test_runs_in_a_bucket(two, tmp_path):
    with S3Server() as s3:
        for uri, name in zip(two, ("a", "b"), strict=True):
            bucket, local = Folder(s3.uri(name)), Folder(uri)
            for file, _, _ in local.walk():
                bucket.write_bytes(file, local.read_bytes(file))
        config = CompareTagsConfig(s3.uri("a"), s3.uri("b"), s3.uri("out"))
        there = compare_tags(config).to_dict()
        assert "out/differences.parquet" in s3.keys("out")
    here = run(tmp_path, *two)
    assert there["per_class"] == here["per_class"]
    assert there["largest"] == here["largest"]
