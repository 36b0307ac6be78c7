"""jobs.compare on folders as jobs.evaluate writes them."""

from __future__ import annotations

import json

import numpy as np
import pytest

from jobs import compare, harness
from pipeline.evaluation.runs.scored import Scored, to_table
from pipeline.evaluation.statistics.metrics import multilabel_metrics
from pipeline.flows.evaluation.evaluate import training_cost
from pipeline.store.folder import Folder
from tests.flows.test_compare_tags import A, B, labelled, tags_row, write_run

CODES = ["cel", "pia"]


@pytest.fixture
def evaluation(tmp_path):
    """Give a function that writes an evaluation, and returns its folder."""

    def write(name, skill, *, n_items=60, codes=CODES, limit=0.5):
        truth = np.random.default_rng(0).random((n_items, 2)) < 0.4
        noise = np.random.default_rng(len(name)).random(truth.shape)
        scores = ((1 - skill) * noise + skill * truth).astype(np.float32).astype(float)
        metrics = multilabel_metrics(truth, scores, thresholds=limit, class_codes=codes)
        folder = Folder(str(tmp_path / name))
        uris = [f"clip_{k}" for k in range(n_items)]
        folder.write_table("scores.parquet", to_table(Scored(uris, codes, truth, scores, uris)))
        said = {"model_id": f"model of {name}", "aggregation": "s2", "scored": "ds, split test"}
        report = {
            "metrics": metrics.to_dict(),
            "class_names": {code: f"the {code}" for code in codes},
            "provenance": said,
        }
        folder.write_json("metrics.json", report)
        return folder.uri

    return write


def run(tmp_path, *folders):
    return compare.main(["--evaluations", *map(str, folders), "--out", str(tmp_path / "out")])


def test_two_models(evaluation, tmp_path, capsys):
    folders = evaluation("weak", 0.05), evaluation("strong", 0.45, limit=0.4)
    assert run(tmp_path, *folders) == harness.OK
    lines = capsys.readouterr().out.splitlines()
    assert lines[0] == "60 items, 2 models, best first:"
    assert lines[1].startswith("  strong  macro F1")
    assert lines[2].startswith("  weak  macro F1")
    assert lines[2].endswith("p < 0.01")
    report = json.loads((tmp_path / "out" / "comparison.json").read_text())
    best, weak = report["models"]
    saved = json.loads((tmp_path / "strong" / "metrics.json").read_text())["metrics"]
    assert best["macro_f1"] == saved["macro_f1"]
    assert [row["threshold"] for row in best["per_class"]] == [0.4, 0.4]
    assert weak["against_best"]["macro_f1"]["p_value"] < 0.01
    assert (weak["model_id"], weak["thresholds"]) == ("model of weak", "unknown")
    assert report["provenance"]["made_at"]
    page = (tmp_path / "out" / "report.html").read_text()
    assert "the cel" in page
    assert "model of strong" in page
    assert "http://" not in page.replace("http://www.w3.org", "")


def test_an_evaluation_says_what_the_training_took(evaluation, tmp_path):
    folders = evaluation("weak", 0.05), evaluation("strong", 0.45)
    folder = Folder(folders[0])
    took = training_cost({"config": {}, "seconds": 90.5, "peak_mib": 812.0})
    folder.write_json("metrics.json", folder.read_json("metrics.json") | {"training": took})
    assert run(tmp_path, *folders) == harness.OK
    strong, weak = json.loads((tmp_path / "out" / "comparison.json").read_text())["models"]
    assert weak["training"] == {"seconds": 90.5, "peak_memory_mib": 812.0}
    assert strong["training"] == {}  # an evaluation of an older version
    assert "812 MiB" in (tmp_path / "out" / "report.html").read_text()
    assert training_cost({"config": {}}) == {"seconds": None, "peak_memory_mib": None}


def test_folders_of_one_name_are_told_apart(evaluation, tmp_path):
    folders = evaluation("a/test", 0.1), evaluation("b/test", 0.4)
    assert run(tmp_path, *folders) == harness.OK
    report = json.loads((tmp_path / "out" / "comparison.json").read_text())
    assert [row["name"] for row in report["models"]] == ["b", "a"]
    assert [row["folder"] for row in report["models"]] == [folders[1], folders[0]]


@pytest.mark.parametrize(
    ("other", "message"),
    [
        (
            {"n_items": 59},
            "1 are in only one of them, the first is clip_59; compare evaluations of",
        ),
        ({"codes": ["cel", "voi"]}, "only one of them has pia, voi; compare models of the same"),
    ],
)
def test_evaluations_that_do_not_match(evaluation, tmp_path, capsys, other, message):
    folders = evaluation("one", 0.1), evaluation("other", 0.2, **other)
    assert run(tmp_path, *folders) == harness.USAGE
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_no_evaluation(evaluation, tmp_path, capsys):
    folder = evaluation("one", 0.1)
    assert run(tmp_path, folder, tmp_path / "nowhere") == harness.USAGE
    assert "no metrics.json there; make it with python -m jobs.evaluate" in capsys.readouterr().err
    other = evaluation("other", 0.2)
    (tmp_path / "other" / "scores.parquet").unlink()
    assert run(tmp_path, folder, other) == harness.USAGE
    assert "other: no scores.parquet there; make it with" in capsys.readouterr().err


def test_files_of_two_runs(evaluation, tmp_path, capsys):
    one, other = evaluation("one", 0.1), evaluation("other", 0.1, n_items=10)
    (tmp_path / "other" / "metrics.json").write_bytes((tmp_path / "one/metrics.json").read_bytes())
    assert run(tmp_path, one, other) == harness.USAGE
    assert "other: metrics.json and scores.parquet are not of one run" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("names", "message"), [(["one"], "two or more folders"), (["one", "one/"], "there twice")]
)
def test_too_few(evaluation, tmp_path, capsys, names, message):
    evaluation("one", 0.1)
    assert run(tmp_path, *(f"{tmp_path}/{name}" for name in names)) == harness.USAGE
    assert message in capsys.readouterr().err


@pytest.fixture
def folders(tmp_path):
    """Two tagging runs of five tracks, three of which get other labels."""
    odd = tags_row("<script>alert(1)</script>", ["cel"], ["cel", "pia", "voi"])
    other = odd | {"labels": ["voi"]}
    return (
        write_run(tmp_path / "a", "m1", [*labelled(A), odd]),
        write_run(tmp_path / "b", "m2", [*labelled(B), other]),
    )


def run_tags(tmp_path, folders, *flags):
    out = str(tmp_path / "out")
    return compare.main(["--a", folders[0], "--b", folders[1], "--out", out, *flags])


def test_tags_of_two_models(folders, tmp_path, capsys):
    assert run_tags(tmp_path, folders) == harness.OK
    lines = capsys.readouterr().out.splitlines()
    assert 5 <= len(lines) <= 10
    assert lines[0] == f"A: m1, 6 tracks in {folders[0]}"
    assert lines[2] == "6 tracks compared in 3 classes; not compared: none"
    assert lines[3].startswith("labels differ in 4 (66.67%): B adds 3 and removes 3, mean Jaccard")
    assert lines[4] == "tracks that lose all their labels: 1; that gain their first: 1"
    out = tmp_path / "out"
    names = {path.name for path in out.iterdir()} - {".lock"}
    assert names == {"differences.json", "differences.parquet", "apart.parquet", "report.html"}
    page = (out / "report.html").read_text()
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page
    assert json.loads((out / "differences.json").read_text())["provenance"]["made_at"]


def test_too_many_changes_are_exit_code_3(folders, tmp_path, capsys):
    assert run_tags(tmp_path, folders, "--max-changed", "67%") == harness.OK
    assert "--max-changed" not in capsys.readouterr().err
    assert run_tags(tmp_path, folders, "--max-changed", "0.66") == harness.PAST_LIMIT
    text = "4 of 6 tracks get other labels, more than --max-changed 66% allows"
    assert text in capsys.readouterr().err
    assert (tmp_path / "out" / "report.html").exists()


def test_two_models_of_one_folder(tmp_path, capsys):
    both = write_run(tmp_path / "both", "m1", labelled(A), night=20)
    write_run(both, "m2", labelled(B), night=21)
    assert run_tags(tmp_path, (both, both)) == harness.OK
    assert capsys.readouterr().out.startswith("A: m1, 5 tracks")
    flags = "--a-model-id", "m2", "--b-model-id", "m1"
    assert run_tags(tmp_path, (both, both), *flags) == harness.OK
    assert capsys.readouterr().out.startswith("A: m2, 5 tracks")


@pytest.mark.parametrize(
    "flags",
    [
        "",
        "--a A",
        "--b B",
        "--a-model-id m1 --b-model-id m2",
        "--evaluations A B --a A --b B",
        "--evaluations A B --a A",
        "--evaluations A B --b-model-id m2",
        "--evaluations A B --max-changed 5%",
    ],
)
def test_one_form_or_the_other(flags, tmp_path, capsys):
    assert compare.main([*flags.split(), "--out", str(tmp_path / "out")]) == harness.USAGE
    error = capsys.readouterr().err
    assert "expected either --evaluations, or both --a and --b" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_runs_without_a_track_in_common(folders, tmp_path, capsys):
    other = write_run(tmp_path / "c", "m2", labelled({"x": ["cel"]}))
    assert run_tags(tmp_path, (folders[0], other)) == harness.USAGE
    error = capsys.readouterr().err
    assert "tag the same catalogue with both models" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()
