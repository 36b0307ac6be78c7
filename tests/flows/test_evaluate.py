"""Evaluation scores the TAGS that a catalogue gets, of a split or of a tagging run."""

import json

import numpy as np
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import f1_score

from pipeline.errors import TableError, UsageError
from pipeline.flows.evaluate import EvaluateConfig, evaluate
from pipeline.flows.tag import TagConfig, tag_catalog
from pipeline.store.dataset import Dataset


def test_a_split_is_scored_whole_from_its_tags(model, dataset, tmp_path):
    metrics = evaluate(EvaluateConfig(str(model), str(tmp_path), dataset=str(dataset)))
    clips = pq.read_table(dataset / "clips", filters=[("split", "=", "test")], partitioning=None)
    truth = {
        r["segment_id"]: r["classes"] for r in clips.select(["segment_id", "classes"]).to_pylist()
    }
    tags = {r["uri"]: r for r in pq.read_table(tmp_path / "tags", partitioning=None).to_pylist()}
    assert metrics.n_items == len(truth) == len(tags)
    codes = list(next(iter(tags.values()))["scores"])
    wanted = np.array([[c in truth[i] for c in codes] for i in truth])
    named = np.array([[c in tags[i]["labels"] for c in codes] for i in truth])
    expected = f1_score(wanted, named, average="macro", zero_division=0)
    assert metrics.macro_f1 == pytest.approx(expected)
    report = json.loads((tmp_path / "metrics.json").read_text())
    assert report["metrics"]["macro_f1"] == pytest.approx(expected)
    assert report["build"]["wanted"] == Dataset.open(str(dataset)).meta()["n_segments"]
    page = (tmp_path / "report.html").read_text()
    assert page.count("data:image/") >= 6
    assert "http://" not in page.replace("http://www.w3.org", "").replace("http://127.0.0.1", "")


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
    truth.write_text("uri,labels\nother.wav,cel\n")
    with pytest.raises(UsageError, match=r"1 tracks of the truth have no row.*other\.wav"):
        evaluate(config)
    truth.write_text("uri,labels\ngone.wav,cel+kazoo\n")
    with pytest.raises(TableError, match=r"truth\.csv:2: found label 'kazoo'"):
        evaluate(config)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "either --dataset or --tags"),
        ({"dataset": "d", "tags": "t", "truth": "x"}, "either --dataset or --tags"),
        ({"tags": "t"}, "--tags and --truth"),
        ({"dataset": "d", "truth": "x"}, "--tags and --truth"),
        ({"dataset": "d", "split": "all"}, "--split 'all'"),
    ],
)
def test_flags_that_do_not_go_together(options, message):
    with pytest.raises(UsageError, match=message):
        EvaluateConfig("m", "o", **options)
