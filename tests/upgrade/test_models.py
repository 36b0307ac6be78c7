"""Models that the old version has trained, and a training that it was interrupted in."""

import json
import shutil

import pyarrow.parquet as pq
import pytest

from jobs import compare, evaluate, tag_catalog, train
from tests.upgrade.old_version import N_EPOCHS, N_EPOCHS_INTERRUPTED, texts

pytestmark = pytest.mark.slow
_SCORE_TOLERANCE = 1e-5


def scores(folder):
    """Return the status, scores and peaks of each track of a folder of tags, by uri."""
    found = pq.read_table(folder / "tags", columns=["uri", "status", "scores", "peaks"])
    return {row.pop("uri"): row for row in found.to_pylist()}


@pytest.mark.parametrize(("model", "tags"), [("model", "tags"), ("forest", "forest_tags")])
def test_an_old_model_tags_as_it_did(old, tmp_path, model, tags):
    """By the aggregation of then: whole tracks have another default now."""
    flags = ("--aggregate", "s2", "--precision", "f32")
    catalogue = texts("--catalog", old.music, "--model", old.folder / model)
    assert tag_catalog.main([*catalogue, *flags, "--out", str(tmp_path / "tags")]) == 0
    before, now = scores(old.folder / tags), scores(tmp_path / "tags")
    assert set(now) == set(before)
    for uri, row in before.items():
        assert now[uri]["status"] == row["status"]
        if row["status"] == "ok":
            for kind in ("scores", "peaks"):
                assert now[uri][kind] == pytest.approx(row[kind], abs=_SCORE_TOLERANCE), uri


def test_a_training_that_has_ended_is_not_begun_again(old, tmp_path, capsys):
    model = shutil.copytree(old.model, tmp_path / "model")
    before = {path: path.read_bytes() for path in model.rglob("*") if path.is_file()}
    assert train.main(texts(*old.train(N_EPOCHS), "--out", model)) == 0
    assert "the same run has ended before: nothing to do" in capsys.readouterr().out
    assert {path: path.read_bytes() for path in model.rglob("*") if path.is_file()} == before


def test_an_interrupted_training_goes_on_from_its_checkpoint(old, tmp_path, ray_local):
    model = shutil.copytree(old.interrupted, tmp_path / "model")
    assert not (model / "model.json").exists()
    assert train.main(texts(*old.train(N_EPOCHS_INTERRUPTED), "--out", model)) == 0
    history = json.loads((model / "model.json").read_text())["training"]["history"]
    assert [row["epoch"] for row in history] == list(range(1, N_EPOCHS_INTERRUPTED + 1))
    assert "seconds" not in history[0]  # the old version did not say how long an epoch took


def test_an_old_model_scores_as_it_did_and_old_evaluations_are_compared(old, tmp_path, ray_local):
    now = tmp_path / "evaluation"
    flags = texts("--model", old.model, "--dataset", old.dataset, "--out", now)
    assert evaluate.main(flags) == 0
    old_scores, new_scores = (
        {row["uri"]: row["scores"] for row in pq.read_table(f / "scores.parquet").to_pylist()}
        for f in (old.evaluation, now)
    )
    assert set(new_scores) == set(old_scores)
    both = texts("--evaluations", old.evaluation, now)
    assert compare.main([*both, "--out", str(tmp_path / "comparison")]) == 0
    record = json.loads((tmp_path / "comparison" / "comparison.json").read_text())
    assert len(record["models"]) == 2
