"""The report's experiments on a tiny IRMAS: all the way to the page, once more, and what fails."""

from __future__ import annotations

import csv
from dataclasses import replace

import pytest

from jobs import harness, reproduce
from pipeline.configs.reproduce import ReproduceConfig
from pipeline.errors import SpecMismatch, UsageError
from pipeline.flows.reproduction.experiments import Experiments, attempted
from pipeline.flows.reproduction.reproduce import reproduce as run
from pipeline.reproduction import figures
from pipeline.reproduction.plan import Scoring, Training
from pipeline.selection.vocabulary import default_vocabulary
from pipeline.store.folder import Folder
from pipeline.training.config import TrainConfig
from schemas.dataset import DatasetRecord
from schemas.reproduction import ReproductionRecord
from tests.tiny_irmas import CODES, write_irmas


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_tiny_irmas_goes_all_the_way_and_is_not_done_again(
    ray_local, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(figures, "WINDOWS_S", (1.0, 3.0))  # a training less
    irmas, out = write_irmas(tmp_path / "irmas"), tmp_path / "out"
    words = (
        f"harmony --irmas {irmas} --out {out} --only data,descriptors,windows,ast --limit 1 "
        "--epochs 1 --backbone resnet10t --input-size 32x32 --weights none"
    ).split()
    assert reproduce.main(words) == harness.OK
    said = capsys.readouterr().out
    assert "resnet10t-3s: macro F1 0." in said and "ast: ast is not trained: give --ast-" in said
    assert said.count("\nclaim: ") == 3
    record = Folder(str(out)).read_record("reproduction.json", ReproductionRecord)
    assert record.complete and record.n_failed == 0
    models = {row.name: row for row in record.trainings}
    assert models["resnet10t"].n_parameters > 4_000_000 and models["resnet10t"].seconds > 0
    assert models["ast"].state == "skipped"
    results = {row.name: row for row in record.results}
    assert results["resnet10t"].n_items == results["resnet10t-3s"].n_items
    windows = [claim for claim in record.claims if claim.figure == "windows"]
    assert [claim.text for claim in windows] == ["Windows of 1 s are better than those of 3 s."]
    assert windows[0].p_value is not None
    dataset = Folder(str(out / "datasets/irmas")).read_record("dataset.json", DatasetRecord)
    assert dataset.n_clips < 2 * len(CODES) + 12  # --limit 1
    rows = {row["name"]: row for row in csv.DictReader((out / "results.csv").open())}
    assert (
        float(rows["resnet10t"]["hamming_score"]) == results["resnet10t"].figures["hamming_score"]
    )
    html = (out / "report.html").read_text()
    assert "irmas, validation and test: durations by class" in html and "Tonnetz does not." in html

    metrics = (out / "evaluations/resnet10t/metrics.json").read_bytes()
    assert reproduce.main(words) == harness.OK
    assert (out / "evaluations/resnet10t/metrics.json").read_bytes() == metrics  # its date, too
    again = Folder(str(out)).read_record("reproduction.json", ReproductionRecord)
    assert (again.trainings, again.results, again.claims) == (
        *(record.trainings, record.results, record.claims),
    )
    assert reproduce.main([*words, "--seed", "1"]) == harness.USAGE
    assert "holds a reproduction with another seed; give another --out" in capsys.readouterr().err

    experiments = Experiments(
        ReproduceConfig(str(irmas), str(out)), Folder(str(out)), {"irmas": f"{out}/datasets/irmas"}
    )
    both = experiments.score(Scoring("both", ("resnet10t", "resnet10t-3s")), models)
    assert both.state == "done" and (out / "evaluations/both/metrics.json").exists()


def test_an_experiment_that_cannot_be_is_a_row(tmp_path):
    config = ReproduceConfig("irmas", str(tmp_path))
    Folder(str(tmp_path)).write_json("ds/dataset.json", DatasetRecord(split="irmas").to_dict())
    experiments = Experiments(config, Folder(str(tmp_path)), {"irmas": str(tmp_path / "ds")})
    row = experiments.train(Training("odd", "odd", TrainConfig(model="ast", lr=1e-5)))
    assert row.state == "failed" and row.reason.startswith("model 'ast': its 86 million")
    row = experiments.train(Training("early", "early", TrainConfig()))
    assert row.state == "failed" and "the build has not ended" in row.reason
    result = experiments.score(Scoring("early", ("early",)), {"early": row})
    assert result.state == "skipped" and "early is not trained: " in result.reason


def test_a_bug_is_a_row_too_and_its_traceback_is_said(capsys):
    assert attempted("x", lambda: str(1 // 0), lambda why: why) == (
        "ZeroDivisionError: integer division or modulo by zero"
    )
    assert "Traceback (most recent call last)" in capsys.readouterr().err
    with pytest.raises(KeyboardInterrupt):
        attempted("x", interrupted, lambda why: why)


def interrupted() -> str:
    raise KeyboardInterrupt


def test_what_a_user_gets_wrong_is_said_before_anything_is_written(tmp_path):
    config = ReproduceConfig(str(tmp_path / "nowhere"), str(tmp_path / "out"))
    with pytest.raises(
        UsageError, match=r"--irmas .*nowhere: no such folder; expected IRMAS's own"
    ):
        run(config)
    irmas = tmp_path / "irmas"
    irmas.mkdir()
    (irmas / "a.wav").touch()
    with pytest.raises(UsageError, match=r"no dataset.json there"):
        run(replace(config, irmas=str(irmas), audioset=str(irmas)))
    other = DatasetRecord(classes=default_vocabulary().to_dict()[:2], complete=True)
    Folder(str(tmp_path / "ds")).write_json("dataset.json", other.to_dict())
    with pytest.raises(
        UsageError, match=r"--audioset .*ds: its classes are cel, cla; expected the eleven"
    ):
        run(replace(config, irmas=str(irmas), audioset=str(tmp_path / "ds")))
    assert not (tmp_path / "out").exists()


def test_an_irmas_without_clips_is_told_by_its_flag_before_ray_starts(tmp_path):
    (tmp_path / "irmas").mkdir()
    config = ReproduceConfig(str(tmp_path / "irmas"), str(tmp_path / "out"))
    with pytest.raises(
        UsageError, match=r"^--irmas /.*: found no wav file; expected IRMAS's train"
    ):
        run(config)


def test_a_dry_run_prints_the_plan(tmp_path, capsys):
    words = ["harmony", "--irmas", "/nowhere", "--out", str(tmp_path / "out"), "--dry-run"]
    assert reproduce.main(words) == harness.OK
    assert "windows of 1, 2 and 3 s" in capsys.readouterr().out
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"backbone": "cnn1d-raw"}, "--backbone cnn1d-raw: expected a network of timm's"),
        ({"out": "runs/a,b"}, "--out runs/a,b: expected no comma"),
    ],
)
def test_what_would_fail_after_hours_is_refused(options, said):
    with pytest.raises(UsageError, match=said):
        ReproduceConfig(**{"irmas": "irmas", "out": "out"} | options)


def test_weights_that_come_later_go_on_in_the_folder():
    config = ReproduceConfig("irmas", "out")
    assert replace(config, ast_weights="ast").identity() == config.identity()
    assert replace(config, weights="none").identity() != config.identity()


def test_other_options_are_refused_in_a_folder(tmp_path):
    (tmp_path / "irmas").mkdir()
    (tmp_path / "irmas" / "a.wav").touch()
    config = ReproduceConfig(str(tmp_path / "irmas"), str(tmp_path / "out"))
    record = ReproductionRecord("harmony", config.identity())
    Folder(config.out).write_json("reproduction.json", record.to_dict())
    with pytest.raises(SpecMismatch, match="holds a reproduction with other limit, epochs;"):
        run(replace(config, epochs=1, limit=3))
