"""A model becomes int8 with windows that serving has, and what that costs is told."""

import json
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import f1_score

from jobs import quantize as job
from pipeline.errors import SpecMismatch, UsageError
from pipeline.evaluation.labels.aggregate import aggregate
from pipeline.flows.evaluation.quantize import QuantizeConfig, calibration_windows, quantize
from pipeline.inference.inference_config import inference_config
from pipeline.models.engines.engines import make_engine
from pipeline.models.engines.graphs import best_precision
from pipeline.models.model import load_card, load_model, save_model
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder
from pipeline.training.data.mapped import mapped_clips
from pipeline.training.data.windows import load_windows

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def config(model, dataset, tmp_path_factory):
    return QuantizeConfig(
        str(model), str(dataset), str(tmp_path_factory.mktemp("int8") / "m"), n_windows=64
    )


@pytest.fixture(scope="module")
def report(config):
    return quantize(config)


def windows_of(config, split, cache):
    """Return a split's windows as training has them."""
    card = load_card(config.model)
    tables = mapped_clips(Dataset.open(config.dataset), split, card.input_spec, cache)
    codes = card.vocabulary.codes
    return load_windows(tables, codes=codes, windows=card.windows, input_spec=card.input_spec)


def test_the_figures_are_those_of_the_model_that_was_written(config, report, tmp_path):
    val, inference = (
        windows_of(config, "val", tmp_path),
        inference_config(config.model, None, None, gpu=False),
    )
    for name, uri in [("f32", config.model), ("int8", config.out)]:
        engine = make_engine(uri, precision=name)
        windows = [engine.scores(val.clip_windows(clip))[0] for clip in range(len(val.matrices))]
        scores = np.stack([aggregate(one, inference.aggregation) for one in windows])
        named = scores >= np.array(inference.thresholds)
        expected = f1_score(val.targets > 0.5, named, average="macro", zero_division=0)
        assert report.precisions[name]["macro_f1"] == pytest.approx(expected)
        assert report.precisions[name]["windows_per_cpu_s"] > 0
    assert list(report.precisions) == list(dict.fromkeys(["f32", best_precision(), "int8"]))
    found = report.precisions
    assert found["f32"]["largest_difference"] == 0
    assert 0 < found["int8"]["largest_difference"] < 0.2
    lead = "macro_f1_present"
    assert report.drop == found["f32"][lead] - found["int8"][lead]


def test_the_folder_says_what_it_is(config, report):
    written = json.loads(Folder(config.out).read_bytes("quantize.json"))
    assert written == json.loads(json.dumps(report.to_dict()))
    card = load_card(config.out)
    assert card.model_id == report.model_id == f"{load_card(config.model).model_id}-int8"
    calibration = card.quantized["calibration"]
    assert calibration["n_windows"] == 64
    assert calibration["dataset_fingerprint"] == card.dataset_fingerprint


def test_it_is_calibrated_with_training_windows_of_many_clips(config, tmp_path):
    dataset, inference = (
        Dataset.open(config.dataset),
        inference_config(config.model, None, None, gpu=False),
    )
    train = windows_of(config, "train", tmp_path)
    known = {window.tobytes() for window in train.windows(np.arange(len(train)))}
    for n in (10, 10_000):
        windows, n_clips = calibration_windows(dataset, inference, n_windows=n, seed=0)
        assert len(windows) == min(n, len(train))
        assert n_clips == min(n, len(train.matrices))
        assert {window.tobytes() for window in windows} <= known
    again, _ = calibration_windows(dataset, inference, n_windows=10, seed=0)
    other, _ = calibration_windows(dataset, inference, n_windows=10, seed=1)
    first, _ = calibration_windows(dataset, inference, n_windows=10, seed=0)
    assert first.tobytes() == again.tobytes() != other.tobytes()


def test_what_cannot_be_done_is_refused(config, report, tmp_path):
    with pytest.raises(UsageError, match="that is what --model names"):
        quantize(replace(config, out=config.model + "/"))
    with pytest.raises(UsageError, match="expected val or test"):
        replace(config, split="train")
    with pytest.raises(UsageError, match="expected more than 0"):
        replace(config, n_windows=0)
    with pytest.raises(UsageError, match=r"-int8 is int8 already"):
        quantize(replace(config, model=config.out, out=str(tmp_path)))
    meta = Dataset.open(config.dataset).meta()
    other, out = Folder(str(tmp_path / "ds")), str(tmp_path / "out")
    other.write_json("dataset.json", meta)
    with pytest.raises(UsageError, match="no clips in its train split"):
        quantize(replace(config, dataset=other.uri, out=out))
    other.write_json("dataset.json", {**meta, "classes": meta["classes"][1:]})
    with pytest.raises(SpecMismatch, match="have different classes"):
        quantize(replace(config, dataset=other.uri, out=out))
    assert not Folder(out).exists("model.json")


def test_another_model_is_not_overwritten(config, model, tmp_path):
    other = Folder(str(tmp_path / "other"))
    tagger, card = load_model(str(model))
    save_model(other, {k: v * 2 for k, v in tagger.state_dict().items()}, card)
    before = other.read_bytes("model.safetensors")
    with pytest.raises(UsageError, match="is there, of another run; give another --out"):
        quantize(replace(config, out=other.uri))
    assert other.read_bytes("model.safetensors") == before
    with pytest.raises(UsageError, match="that is what --dataset names; name another folder"):
        quantize(replace(config, out=config.dataset))


@pytest.mark.parametrize(("max_drop", "code"), [("1%", 0), ("0.001", 3)])
def test_the_job_ends_with_3_where_int8_costs_too_much(
    max_drop, code, config, report, monkeypatch, capsys
):
    monkeypatch.setattr(job, "quantize", lambda _: replace(report, drop=0.005))
    flags = ["--model", "m", "--dataset", "d", "--out", "o", "--max-drop", max_drop]
    assert job.main(flags) == code
    said = capsys.readouterr()
    assert report.model_id in said.out
    assert ("falls by 0.005" in said.err) == (code == 3)
