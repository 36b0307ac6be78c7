"""Two models with other front ends: evaluated together, kept as a folder, and tagging as one."""

import json
from dataclasses import replace

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile

from jobs import evaluate as evaluate_job
from jobs import tag_catalog as tag_job
from pipeline.evaluation.labels.aggregate import METHODS, aggregate
from pipeline.evaluation.labels.validation import Choice, choose_thresholds
from pipeline.flows.evaluation import evaluate as evaluation
from pipeline.flows.evaluation.evaluate import EvaluateConfig, evaluate
from pipeline.flows.evaluation.validate import validation_of
from pipeline.flows.tagging.tag import TagConfig, tag_catalog
from pipeline.inference.described import describe
from pipeline.inference.inference_config import inference_config
from pipeline.inference.tagger import TrackTagger
from pipeline.models.ensemble import load_any
from pipeline.store.catalogue import list_tracks
from pipeline.tagging.compare_tags import CompareTagsConfig, compare_tags
from pipeline.tagging.export import ExportConfig, export_tags
from pipeline.tagging.retag import RetagConfig, retag
from tests.conftest import tones
from tests.models.test_engines import _threads as _threads  # a fixture
from tests.models.test_ensemble import CODES, FRONT_ENDS, all_count, write

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("in_process")]


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


def test_validation_means_every_aggregation_over_the_models(tmp_path):
    """Each model's windows by themselves, then the mean; what is found goes into the out."""
    a, b = (write(tmp_path / name, name) for name in FRONT_ENDS)
    inference, n = inference_config(f"{a},{b}"), len(CODES)
    rng = np.random.default_rng(0)
    windows = {
        part.card.model_id: {"x": rng.random((k + 3, n)), "y": rng.random((2, n))}
        for k, part in enumerate(inference.parts)
    }
    truth = {"x": ["cel"], "y": ["pia"], "broken": []}
    held = validation_of(list(windows.values()), truth, inference)
    assert set(held.scores) == set(held.own) >= {*METHODS, inference.aggregation}
    for method in ("s1", "max", inference.aggregation):
        each = method.split("+") if "+" in method else [method] * 2
        for row, name in zip(held.scores[method], truth, strict=True):
            said = [
                aggregate(of_part[name], one, hop_s=part.windows.hop_s)
                for of_part, one, part in zip(windows.values(), each, inference.parts, strict=True)
                if name in of_part
            ] or [np.zeros(n)]
            np.testing.assert_allclose(row, np.mean(said, axis=0), rtol=1e-6)
    config = EvaluateConfig(
        f"{a},{b}", str(tmp_path / "e"), "d", thresholds="tuned", keep_thresholds=True,
        keep_calibration=True,
    )  # fmt: skip
    choice = Choice(inference.aggregation, "tuned")
    evaluation._keep(config, inference, choice, held)
    card = load_any(str(tmp_path / "e"))
    expected = choose_thresholds(choice, held, own=inference.thresholds, class_codes=CODES).values
    assert card.thresholds[inference.aggregation] == pytest.approx(expected)
    assert set(card.calibration) == set(held.scores)
    assert evaluation.kept_in(config) == (str(tmp_path / "e"), "ensemble.json")


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
    mixed = inference_config(str(kept)).aggregation
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
        part.windows.window_s for part in inference_config(str(kept)).parts
    ]
    inference = all_count(inference_config(str(kept), whole_tracks=True))
    inference = replace(inference, min_confidence=run["identity"]["gate"])
    tagger = TrackTagger(inference)
    for described in describe(list_tracks(str(music)), inference):
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
    assert tag_catalog(config).unchanged == 4
    assert retag(RetagConfig(str(out), str(tmp_path / "r"), model=str(kept))).relabelled == 0
    retag(RetagConfig(str(out), str(tmp_path / "all"), threshold=0.0, min_confidence=0.0))
    compared = compare_tags(
        CompareTagsConfig(str(out), str(tmp_path / "all"), str(tmp_path / "differences"))
    )
    assert compared.n_compared == 3
    assert export_tags(ExportConfig(str(out), "csv", str(tmp_path / "csv"))).n_tracks == 4

    truth = tmp_path / "truth.csv"
    labels = {uri: "+".join(row["labels"]) for uri, row in found.items() if row["scores"]}
    truth.write_text("uri,labels\n" + "".join(f"{u},{named}\n" for u, named in labels.items()))
    config = EvaluateConfig(f"{b},{a}", str(tmp_path / "e"), tags=str(out), truth=str(truth))
    assert evaluate(config).n_items == 3
