"""A cross-validation holds every clip out once, goes on after a kill, and says what it came to."""

import json
from dataclasses import replace

import pytest

from pipeline.errors import UsageError
from pipeline.evaluation.runs.scored import from_table
from pipeline.flows.evaluation.evaluate import EvaluateConfig, evaluate
from pipeline.flows.training.fit import FitConfig
from pipeline.flows.training.folds import cross_validate
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder
from pipeline.training.recipes import preset

pytestmark = pytest.mark.slow

KNN = preset(None, "knn")


def ids_of(dataset, *splits):
    tables = [t for s in splits for t in Dataset.open(str(dataset)).features(s, ["segment_id"])]
    return {i for table in tables for i in table["segment_id"].to_pylist()}


@pytest.fixture(scope="module")
def folds(dataset, tmp_path_factory):
    out = tmp_path_factory.mktemp("folds") / "cv"
    return out, cross_validate(FitConfig(str(dataset), str(out), KNN), 3)


def test_every_clip_of_train_and_val_is_held_out_once(dataset, folds):
    out, result = folds
    scored = from_table(Folder(str(out)).read_table("scores.parquet"))
    assert len(scored.uris) == len(set(scored.uris))
    assert set(scored.uris) == ids_of(dataset, "train", "val")
    assert [row["model_id"] for row in result.report.folds] == [c.model_id for c in result.cards]
    assert sum(row["n_items"] for row in result.report.folds) == len(scored.uris)
    written = json.loads((out / "folds.json").read_text())
    assert written == json.loads(json.dumps(result.report.to_dict()))
    page = (out / "report.html").read_text()
    assert "held-out fold" in page
    assert "±" in page


def test_folds_that_have_ended_are_not_done_again(dataset, folds):
    out, result = folds
    before = [(out / f"fold-{k}/model.json").stat().st_mtime_ns for k in range(3)]
    again = cross_validate(FitConfig(str(dataset), str(out), KNN), 3)
    assert [(out / f"fold-{k}/model.json").stat().st_mtime_ns for k in range(3)] == before
    assert again.report.summary == result.report.summary


def test_what_a_user_gets_wrong(dataset, model):
    with pytest.raises(UsageError, match="so it holds a model; name another folder"):
        cross_validate(FitConfig(str(dataset), str(model), KNN), 3)


def test_a_folds_model_is_not_tuned_on_what_it_has_learned_from(dataset, folds, tmp_path, capsys):
    out, _ = folds
    config = EvaluateConfig(str(out / "fold-0"), str(tmp_path / "e"), str(dataset))
    for changes in ({"split": "val"}, {"thresholds": "tuned"}, {"keep_thresholds": True}):
        with pytest.raises(UsageError, match="a model of a cross-validation has learned from"):
            evaluate(replace(config, **changes))
    evaluate(config)
    assert "a fold's model has learned from it" in capsys.readouterr().err
    assert "validation" not in json.loads((tmp_path / "e/metrics.json").read_text())


@pytest.mark.parametrize("n_folds", [-1, 0, 1, 2])
def test_too_few_folds_are_told_before_anything_runs(dataset, tmp_path, n_folds):
    config = FitConfig(str(dataset), str(tmp_path / "out"), KNN)
    with pytest.raises(UsageError, match=f"--folds {n_folds}: expected 3 or more"):
        cross_validate(config, n_folds)
    assert not (tmp_path / "out").exists()


def test_training_leaves_curves_and_a_page(model):
    assert list((model / "tensorboard").glob("events.out.tfevents.*"))
    page = (model / "report.html").read_text()
    assert "best of 2 epochs" in page
    assert "weight_decay" in page
