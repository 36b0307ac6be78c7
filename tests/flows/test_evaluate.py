"""Evaluation scores the TAGS that a catalogue gets, of a split or of a tagging run."""

import json
import shutil
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import f1_score, log_loss

from pipeline.errors import SpecMismatch, TableError, UsageError
from pipeline.evaluation.labels.aggregate import METHODS
from pipeline.evaluation.labels.thresholds import RULES, tuned
from pipeline.evaluation.runs.scored import from_table
from pipeline.flows.evaluation import clip_scorer
from pipeline.flows.evaluation import evaluate as evaluation
from pipeline.flows.evaluation.clip_scorer import are_few
from pipeline.flows.evaluation.evaluate import EvaluateConfig, evaluate
from pipeline.flows.tagging.tag import TagConfig, tag_catalog
from pipeline.inference.inference_config import calibrated, inference_config
from pipeline.models.model import load_card, load_model, save_model
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder
from pipeline.store.tags.tagstore import TagStore
from pipeline.tagging.truth import aligned, as_tagged, read_tags, read_truth, split_truth
from tests.store.test_tagstore import tags as tag_rows

pytestmark = pytest.mark.usefixtures("in_process")


@pytest.fixture(scope="module")
def scored_split(model, dataset, tmp_path_factory):
    """Score the test split at thresholds that are tuned on validation."""
    out = tmp_path_factory.mktemp("evaluation")
    config = EvaluateConfig(str(model), str(out), str(dataset), aggregate="s2", thresholds="tuned")
    return evaluate(config), out


def test_a_split_is_scored_whole_from_its_tags(scored_split, dataset):
    metrics, out = scored_split
    clips = pq.read_table(dataset / "clips", filters=[("split", "=", "test")], partitioning=None)
    truth = {
        r["segment_id"]: r["classes"] for r in clips.select(["segment_id", "classes"]).to_pylist()
    }
    tags = {r["uri"]: r for r in pq.read_table(out / "tags", partitioning=None).to_pylist()}
    assert metrics.n_items == len(truth) == len(tags)
    codes = list(next(iter(tags.values()))["scores"])
    wanted = np.array([[c in truth[i] for c in codes] for i in truth])
    named = np.array([[c in tags[i]["labels"] for c in codes] for i in truth])
    expected = f1_score(wanted, named, average="macro", zero_division=0)
    assert metrics.macro_f1 == pytest.approx(expected)
    report = json.loads((out / "metrics.json").read_text())
    assert report["metrics"]["macro_f1"] == pytest.approx(expected)
    assert report["build"]["wanted"] == Dataset.open(str(dataset)).meta()["n_segments"]
    scored = from_table(pq.read_table(out / "scores.parquet"))
    assert (scored.codes, scored.uris) == (codes, list(truth))
    assert scored.groups == [uri.rpartition("_")[0] for uri in truth]  # the video
    assert (scored.truth == wanted).all()
    assert scored.scores.tolist() == [[tags[i]["scores"][c] for c in codes] for i in truth]
    assert {row["method"] for row in report["aggregation"]["methods"]} == set(METHODS)
    assert [r["rule"] for r in report["thresholds"]["rules"]] == list(RULES)
    assert set(report["training"]) == {"seconds", "peak_memory_mib"}  # None in older models
    page = (out / "report.html").read_text()
    assert page.count("data:image/") >= 6
    assert "http://" not in page.replace("http://www.w3.org", "").replace("http://127.0.0.1", "")


def test_what_is_no_evaluation_is_left_alone(model, dataset, tmp_path):
    """A split's tags are made anew, so --out must not be where a catalogue's are."""
    for out, name in ((tmp_path, "run.json"), (model, "model.json"), (dataset, "dataset.json")):
        (tmp_path / "run.json").write_text("{}")
        with pytest.raises(UsageError, match=f"{name} is there"):
            evaluate(EvaluateConfig(str(model), str(out), str(dataset)))
    out = Folder(str(tmp_path / "in use"))
    with out.claimed(), pytest.raises(UsageError, match="another job is writing there"):
        evaluate(EvaluateConfig(str(model), out.uri, str(dataset)))


@pytest.mark.slow
def test_rays_processes_say_what_this_one_says(
    scored_split, model, dataset, ray_local, tmp_path, monkeypatch
):
    """Many clips are scored by Ray, few in the job's own process."""
    metrics, out = scored_split
    config = EvaluateConfig(
        str(model), str(tmp_path), str(dataset), aggregate="s2", thresholds="tuned"
    )
    inference = inference_config(str(model))
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert are_few(Dataset.open(str(dataset)), ["val", "test"], inference)
    monkeypatch.setattr(clip_scorer, "SMALL_BYTES", 0)
    assert not are_few(Dataset.open(str(dataset)), ["val", "test"], inference)
    on_ray = evaluate(config)
    here, there = (from_table(pq.read_table(f / "scores.parquet")) for f in (out, tmp_path))
    assert (here.uris, here.codes) == (there.uris, there.codes)
    np.testing.assert_allclose(here.scores, there.scores, atol=1e-5)
    for mine, rays in zip(metrics.per_class, on_ray.per_class, strict=True):
        assert mine.threshold == pytest.approx(rays.threshold, abs=1e-5)  # of validation
    assert metrics.macro_f1 == pytest.approx(on_ray.macro_f1)
    monkeypatch.setattr(clip_scorer, "SMALL_BYTES", 1 << 40)
    monkeypatch.setenv("RAY_ADDRESS", "auto")
    assert not are_few(Dataset.open(str(dataset)), ["val", "test"], inference)


@pytest.mark.slow
def test_validation_hears_what_tagging_hears(scored_split, model, dataset, tmp_path):
    """What is found on validation is what tagging the validation split gives."""
    metrics, out = scored_split
    evaluate(EvaluateConfig(str(model), str(tmp_path), str(dataset), "val", aggregate="s2"))
    held = from_table(pq.read_table(tmp_path / "scores.parquet"))
    assert held.uris == list(split_truth(Dataset.open(str(dataset)), "val"))
    expected = tuned(held.truth, held.scores, class_codes=held.codes).array()
    for code in load_card(str(model)).untrained_classes:
        expected[held.codes.index(code)] = 1.0  # no score reaches it
    limits = [row.threshold for row in metrics.per_class]
    np.testing.assert_allclose(limits, expected, atol=2e-3)
    report, own = (json.loads((f / "metrics.json").read_text()) for f in (out, tmp_path))
    found = {row["method"]: row for row in report["aggregation"]["methods"]}["s2"]
    clipped = held.scores.clip(1e-7, 1 - 1e-7).ravel()
    assert found["loss"] == pytest.approx(log_loss(held.truth.ravel(), clipped), rel=1e-2)
    assert own["aggregation"]["methods"] == []  # there it is the split that is measured


@pytest.mark.slow
def test_a_tagging_run_is_scored_against_its_truth(model, corpus, tmp_path):
    videos = [v for v in corpus.selected if v.fault == "none"][:3]
    manifest, truth = tmp_path / "m.csv", tmp_path / "truth.csv"
    paths = [str(corpus.folder / "videos" / f"{v.ytid}.webm") for v in videos]
    manifest.write_text("\n".join(["uri", *paths, "gone.wav"]) + "\n")
    lines = [f"{path},{'+'.join(v.codes)}" for path, v in zip(paths, videos, strict=True)]
    truth.write_text("\n".join(["uri,labels", *lines, "gone.wav,cel"]) + "\n")
    tag_catalog(TagConfig(str(manifest), str(model), str(tmp_path / "tagging")))
    config = EvaluateConfig(
        str(model), str(tmp_path / "e"), tags=str(tmp_path / "tagging"), truth=str(truth)
    )
    metrics = evaluate(config)
    assert metrics.n_items == 4  # the failed one counts: nothing was named
    with pytest.raises(SpecMismatch, match=r"are by s2-10s-top3, not s1; give --aggregate s2"):
        evaluate(replace(config, aggregate="s1"))
    truth.write_text("uri,labels\nother.wav,cel\n")
    with pytest.raises(UsageError, match=r"1 tracks of the truth have no row.*other\.wav"):
        evaluate(config)
    truth.write_text("uri,labels\ngone.wav,cel+kazoo\n")
    with pytest.raises(TableError, match=r"truth\.csv:2: found label 'kazoo'"):
        evaluate(config)


@pytest.mark.slow
def test_a_run_is_scored_with_its_own_aggregation_thresholds_and_gate(model, corpus, tmp_path):
    """The model's own may have changed since, and it is the run's labels that people have."""
    videos = [v for v in corpus.selected if v.fault == "none"][:6]
    paths = [str(corpus.folder / "videos" / f"{v.ytid}.webm") for v in videos]
    lines = [f"{path},{'+'.join(v.codes)}" for path, v in zip(paths, videos, strict=True)]
    truth, run = tmp_path / "truth.csv", str(tmp_path / "tagging")
    truth.write_text("\n".join(["uri,labels", *lines]) + "\n")
    tag_catalog(
        TagConfig(str(truth), str(model), run, aggregate="max", threshold=0.1, min_confidence=0.4)
    )
    config = EvaluateConfig(str(model), str(tmp_path / "e"), tags=run, truth=str(truth))
    metrics = evaluate(config)
    never = load_card(str(model)).untrained_classes  # 1.0: no score reaches it
    assert {row.threshold for row in metrics.per_class if row.code not in never} == {0.1}
    report = json.loads((tmp_path / "e" / "metrics.json").read_text())
    assert report["aggregation"]["used"] == "max"
    rows = {row["rule"]: row for row in report["thresholds"]["rules"]}
    tags = {r["uri"]: r for r in pq.read_table(f"{run}/tags", partitioning=None).to_pylist()}
    codes = [row.code for row in metrics.per_class]
    wanted = np.array([[c in v.codes for c in codes] for v in videos])
    named = np.array([[c in tags[path]["labels"] for c in codes] for path in paths])
    expected = f1_score(wanted, named, average="macro", zero_division=0)
    assert rows["labels"]["macro_f1"] == pytest.approx(expected)
    assert rows["own"]["macro_f1"] == metrics.macro_f1
    scores = np.array([[tags[path]["scores"][c] for c in codes] for path in paths])
    assert (named < (scores >= 0.1)).any()  # the gate took some away, or nothing is shown here
    page = (tmp_path / "e" / "report.html").read_text()
    assert "those of the run (used here)" in page
    absent = [c for c, there in zip(codes, wanted.any(axis=0), strict=True) if not there]
    assert f"No clip of the truth has {', '.join(absent)}" in page
    there = f1_score(wanted, scores >= 0.1, average=None, zero_division=0)[wanted.any(axis=0)]
    assert metrics.macro_f1_present == pytest.approx(there.mean())
    again = evaluate(replace(config, threshold=0.7)).per_class
    assert {row.threshold for row in again if row.code not in never} == {0.7}
    page = (tmp_path / "e" / "report.html").read_text()
    assert "0.7 for every class, as asked for (used here)" in page


def test_only_the_truth_s_tracks_are_read_and_their_last_rows(tmp_path):
    """Another model's classes do not matter, nor in which order the files lie."""
    inference = SimpleNamespace(
        card=SimpleNamespace(model_id="m"), aggregation="s2", codes=["cel"], identity={}
    )
    with pytest.raises(UsageError, match="no tags there; make some"):
        as_tagged(str(tmp_path), inference)
    store = TagStore(Folder(str(tmp_path)))
    other = pa.table({"uri": ["a"], "model_id": ["other"], "scores": [{"kazoo": 1}],
                      "fingerprint": [None]})  # fmt: skip
    store.commit(other, date="2026-01-01", beside={})
    with pytest.raises(SpecMismatch, match="no tags there by this model, m"):
        as_tagged(str(tmp_path), inference)
    store.commit(tag_rows(("a", 9), ("b", 2), ("c", 3), at=9), date="2026-01-01", beside={})
    store.commit(tag_rows(("a", 1), at=1), date="2026-01-02", beside={})
    tags = read_tags(str(tmp_path), inference, ["a", "b"])
    assert set(tags["uri"].to_pylist()) == {"a", "b"}
    names, scores, named = aligned(tags, {"b": [], "a": []}, inference)
    labels = {row["uri"]: row["labels"] for row in tags.sort_by("tagged_at").to_pylist()}
    assert names == ["b", "a"]
    assert named.tolist() == [["cel" in labels["b"]], ["cel" in labels["a"]]]
    np.testing.assert_allclose(scores, [[0.2], [0.9]])


@pytest.mark.slow
def test_what_validation_says_is_kept_for_tagging(model, dataset, scored_split, tmp_path, capsys):
    mine = tmp_path / "m"
    mine.mkdir()
    for name in ("model.json", "model.safetensors"):
        shutil.copy(model / name, mine / name)
    before = load_card(str(mine))
    config = EvaluateConfig(
        str(mine), str(tmp_path / "e"), str(dataset), thresholds="tuned", keep_thresholds=True
    )
    metrics = evaluate(replace(config, keep_calibration=True))
    said = "fewer than 25 validation clips have these classes"
    assert f"warning: {said}" in capsys.readouterr().err
    assert said in (tmp_path / "e" / "report.html").read_text()
    card = load_card(str(mine))
    assert said in card.threshold_notes[-1]
    assert set(card.calibration) == set(METHODS)
    served = calibrated(inference_config(str(mine)))
    assert served.calibration.to_dict() == card.calibration["s2"]
    assert card.model_id == before.model_id
    found = {row.code: row.threshold for row in metrics.per_class}
    assert inference_config(str(mine), None, None, gpu=False).thresholds == tuple(found.values())
    assert set(card.thresholds) == set(METHODS)
    assert found != before.thresholds["s2"]
    top = replace(config, aggregate="top5")
    evaluate(top)
    assert load_card(str(mine)).calibration == card.calibration
    kept = load_card(str(mine)).thresholds["top5"]
    evaluate(replace(config, thresholds="precision"))
    assert load_card(str(mine)).thresholds["top5"] != kept  # found anew, by the same rule


def test_a_truth_with_two_rows_of_a_track_is_told(tmp_path):
    truth = tmp_path / "truth.csv"
    truth.write_text(f"uri,labels\na.wav,cel\nb.wav,pia\n{tmp_path}/a.wav,pia\n")
    with pytest.raises(TableError, match=r"truth\.csv:4: found .*a\.wav again.*joined by \+"):
        read_truth(str(truth), ["cel", "pia"])


@pytest.mark.slow
def test_a_model_that_is_trained_meanwhile_keeps_its_own_thresholds(
    model, dataset, tmp_path, monkeypatch
):
    mine = tmp_path / "m"
    tagger, card = load_model(str(model))
    save_model(Folder(str(mine)), tagger.state_dict(), card)

    def score_while_training(*args, **options):
        weights = {name: value * 2 for name, value in tagger.state_dict().items()}
        save_model(Folder(str(mine)), weights, replace(card, thresholds={"s2": {"cel": 0.9}}))

    monkeypatch.setattr(evaluation, "_score", score_while_training)
    config = EvaluateConfig(
        str(mine), str(tmp_path / "e"), str(dataset), thresholds="tuned", keep_thresholds=True
    )
    with pytest.raises(SpecMismatch, match=f"and held {card.model_id} when this began"):
        evaluate(config)
    assert load_card(str(mine)).thresholds == {"s2": {"cel": 0.9}}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either --dataset or --tags"),
        ({"dataset": "d", "tags": "t", "truth": "x"}, "either --dataset or --tags"),
        ({"tags": "t"}, "--tags and --truth"),
        ({"dataset": "d", "truth": "x"}, "--tags and --truth"),
        ({"dataset": "d", "split": "all"}, "--split 'all'"),
        ({"dataset": "d", "thresholds": "best"}, "--thresholds 'best'"),
        ({"dataset": "d", "thresholds": "tuned", "threshold": 0.3}, "do not go together"),
        ({"dataset": "d", "thresholds": "tuned", "split": "val"}, "needs a dataset's validation"),
        ({"dataset": "d", "thresholds": "precision", "validation": False}, "no --no-validation"),
        ({"tags": "t", "truth": "x", "thresholds": "tuned"}, "needs a dataset's validation"),
        ({"tags": "t", "truth": "x", "keep_thresholds": True}, "--keep-thresholds needs"),
        ({"dataset": "d", "split": "val", "keep_calibration": True}, "--keep-calibration needs"),
        ({"dataset": "d", "target_precision": 1.5}, "--target-precision 1.5"),
        ({"dataset": "d", "threshold": 7.0}, "--threshold 7.0: expected 0 to 1"),
        ({"tags": "t", "truth": "x", "threshold": float("nan")}, "--threshold nan"),
    ],
)
def test_flags_that_do_not_go_together(options, message):
    with pytest.raises(UsageError, match=message):
        EvaluateConfig("m", "o", **options)
