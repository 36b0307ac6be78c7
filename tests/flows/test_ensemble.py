"""Two models with other front ends: evaluated together, kept as a folder, and tagging as one."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from jobs import evaluate as evaluate_job
from jobs import tag_catalog as tag_job
from pipeline.flows.compare_tags import CompareTagsConfig, compare_tags
from pipeline.flows.evaluate import EvaluateConfig, evaluate
from pipeline.flows.export import ExportConfig, export_tags
from pipeline.flows.retag import RetagConfig, retag
from pipeline.flows.tag import TagConfig, tag_catalog
from pipeline.learn.tagger import TrackTagger, describe
from pipeline.learn.tagging import tagging
from pipeline.score.aggregate import METHODS
from pipeline.store.catalogue import list_tracks
from tests.conftest import tones
from tests.learn.test_engines import _threads as _threads  # a fixture
from tests.learn.test_ensemble import CODES, FRONT_ENDS, all_count, write


@pytest.fixture
def music(tmp_path):
    folder = tmp_path / "music"
    folder.mkdir()
    for k, pitch_hz in enumerate((220, 440, 880)):
        soundfile.write(folder / f"{k}.wav", tones(3 + k, pitch_hz), (44_100, 16_000, 48_000)[k])
    (folder / "notes.mp3").write_bytes(b"a shopping list")
    return folder


def rows(out):
    table = pq.read_table(out / "tags", partitioning=None).to_pylist()
    return {row["uri"]: row for row in table}


def test_an_ensemble_is_evaluated_kept_and_tags(dataset, music, tmp_path, capsys):
    a, b = (write(tmp_path / name, name) for name in FRONT_ENDS)
    kept, out = tmp_path / "kept", tmp_path / "out"
    flags = ["--ensemble", f"{a},{b}", "--dataset", dataset, "--out", kept]
    flags += ["--thresholds", "tuned", "--keep-thresholds"]
    assert evaluate_job.main(list(map(str, flags))) == 0
    assert f"the thresholds are in {kept}/ensemble.json now" in capsys.readouterr().out
    said, report = (
        json.loads((kept / name).read_text()) for name in ("ensemble.json", "metrics.json")
    )
    mixed = tagging(str(kept)).aggregation
    assert set(said["thresholds"]) >= {*METHODS, mixed}
    used = {row["code"]: row["threshold"] for row in report["metrics"]["per_class"]}
    assert said["thresholds"][mixed] == pytest.approx(used)
    assert {one["model"] for one in said["members"]} == {a, b}

    flags = ["--catalog", music, "--model", kept, "--out", out, "--workers", 1]
    flags += ["--engine", "torch", "--precision", "f32", "--examples", 1]
    assert tag_job.main(list(map(str, flags))) == 0
    run, found = json.loads((out / "run.json").read_text()), rows(out)
    assert (run["tracks"], run["tagged"], run["failed"]) == (4, 3, 1)
    assert run["identity"]["model_id"] == said["model_id"]
    assert [one["window_s"] for one in run["identity"]["members"]] == [
        part.windows.window_s for part in tagging(str(kept)).parts
    ]
    how = all_count(tagging(str(kept), whole_tracks=True))
    how = replace(how, gate=run["identity"]["gate"])
    tagger = TrackTagger(how)
    for described in describe(list_tracks(str(music)), how):
        (row,) = tagger(described).to_pylist()
        tagged = found[row["uri"]]
        assert (tagged["status"], tagged["labels"]) == (row["status"], row["labels"])
        if row["status"] == "ok":
            scores = [[one["scores"][code] for code in CODES] for one in (row, tagged)]
            np.testing.assert_allclose(*scores, atol=1e-5)
    page = (out / "report.html").read_text()
    assert "the first of the models that are averaged" in page
    assert "1 s, every 1 s" in page and "2 s, every 0.5 s" in page

    config = TagConfig(str(music), str(kept), str(out), engine="torch", precision="f32")
    assert tag_catalog(config)["unchanged"] == 4
    assert retag(RetagConfig(str(out), str(tmp_path / "r"), model=str(kept)))["relabelled"] == 0
    retag(RetagConfig(str(out), str(tmp_path / "all"), threshold=0.0, gate=0.0))
    compared = compare_tags(
        CompareTagsConfig(str(out), str(tmp_path / "all"), str(tmp_path / "differences"))
    )
    assert compared["n_compared"] == 3
    assert export_tags(ExportConfig(str(out), "csv", str(tmp_path / "csv"))).n_tracks == 4

    truth = tmp_path / "truth.csv"
    labels = {uri: "+".join(row["labels"]) for uri, row in found.items() if row["scores"]}
    truth.write_text("uri,labels\n" + "".join(f"{u},{named}\n" for u, named in labels.items()))
    config = EvaluateConfig(f"{b},{a}", str(tmp_path / "e"), tags=str(out), truth=str(truth))
    assert evaluate(config).n_items == 3
