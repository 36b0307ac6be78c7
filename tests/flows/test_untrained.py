"""Classes without a clip to learn from: they are told, nothing is taught of them, none is named."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.datasets import trained_model
from pipeline.datasets.training_data import TrainingData
from pipeline.errors import UsageError
from pipeline.evaluation.labels.aggregate import aggregate
from pipeline.evaluation.labels.validation import Choice
from pipeline.flows.evaluation import evaluate
from pipeline.flows.training import fit
from pipeline.inference.inference_config import inference_config
from pipeline.models.engines.engines import TorchEngine, make_engine
from pipeline.models.model import ModelCard, load_card, load_model, save_card
from pipeline.report.pages.training_page import training_page
from pipeline.runs.compare import read_evaluation
from pipeline.selection.vocabulary import default_vocabulary
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder
from pipeline.training.config import TrainConfig
from schemas.dataset import DatasetRecord
from schemas.features import features_schema
from schemas.ledger import LEDGER
from schemas.segments import SEGMENTS
from tests.models.test_engines import _threads as _threads  # a fixture
from tests.models.test_engines import windows_for, write_model

SPEC = LogMelSpec()
CODES = default_vocabulary().codes
CLIPS = {
    "train": [["cel"], ["pia", "cel"], ["voi"], ["pia"]],
    "val": [["cel"], ["org"], ["voi"]],
}


@pytest.fixture
def stored(tmp_path, monkeypatch):
    """A dataset of seven clips of noise; `org` is in validation alone, and `tru` unknown in one."""
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dataset = Dataset(Folder(str(tmp_path / "ds")))
    classes = default_vocabulary().to_dict()
    meta = DatasetRecord(
        classes=classes,
        feature_spec=SPEC.to_dict(),
        complete=True,
        fingerprint="sha256:" + "0" * 64,
    )
    rng, planned = np.random.default_rng(0), []
    for split, clips in CLIPS.items():
        rows = [
            {
                "segment_id": f"{split}{k}_0",
                "classes": has,
                "unknown": ["tru"] if (split, k) == ("train", 0) else [],
                "split": split,
                "n_frames": 200,
                "logmel": rng.normal(-40, 9, (SPEC.n_mels, 200)).astype("<f2").tobytes(),
            }
            for k, has in enumerate(clips)
        ]
        planned += [{key: row[key] for key in ("segment_id", "classes", "split")} for row in rows]
        features = pa.Table.from_pylist(rows, features_schema(SPEC.to_dict()))
        dataset.commit(
            f"{split}-1", clips=features.slice(0, 0), features=features, ledger=LEDGER.empty_table()
        )
    dataset.folder.write_table("segments.parquet", pa.Table.from_pylist(planned, SEGMENTS))
    dataset.folder.write_json("dataset.json", meta.to_dict())
    return dataset


def material_of(stored, **options) -> TrainingData:
    return TrainingData(
        stored, stored.record(), TrainConfig(model="resnet10t", activity=False, **options)
    )


def test_classes_without_a_clip_are_known_before_the_training(stored, capfd):
    training_data = material_of(stored)
    found = [CODES[k] for k in training_data.untrained]
    assert found == [code for code in CODES if code not in ("cel", "pia", "voi")]
    fit._warn_of_untrained(training_data)
    said = capfd.readouterr().err
    assert said.startswith("warning: no clip to learn from has cla, flu, gac")
    assert said.count("\n") == 1
    assert training_data.architecture.untrained == training_data.untrained
    assert trained_model._thresholds(training_data) == {
        code: 0.5 if code in ("cel", "pia", "voi") else 1.0 for code in CODES
    }


def test_nothing_is_taught_of_them_and_no_epoch_judged_by_them(stored):
    training_data, org = material_of(stored), CODES.index("org")
    train, val = training_data.train_set(), training_data.val_set()
    assert np.isnan(train.targets).all(axis=0).tolist() == [
        k in training_data.untrained for k in range(len(CODES))
    ]
    assert np.isnan(val.targets[:, org]).all()
    assert (train.targets[:, CODES.index("cel")] == [1, 1, 0, 0]).all()


def test_folds_are_without_what_their_own_clips_lack(stored):
    in_folds = [material_of(stored, folds=3, fold=k) for k in range(3)]
    for training_data in in_folds:
        ids = {*training_data.train_set().segment_ids}
        there = {
            code for split, clips in CLIPS.items() for k, has in enumerate(clips)
            for code in has if f"{split}{k}_0" in ids
        }  # fmt: skip
        assert [CODES[k] for k in training_data.untrained] == [c for c in CODES if c not in there]
        assert not np.isnan(training_data.held_out().targets).all(axis=0).any()


@pytest.fixture
def uri(tmp_path):
    """A model of random weights, which has not learned two classes."""
    uri, card = write_model(tmp_path / "model")
    codes = {"untrained_classes": ["org", "voi"]}
    save_card(Folder(uri), ModelCard.from_dict(card.to_dict() | codes))
    return uri


def test_the_card_names_them_and_older_ones_have_none(uri, tmp_path):
    card = load_card(uri)
    assert card.untrained_classes == ["org", "voi"] == card.to_dict()["untrained_classes"]
    assert "untrained" not in card.to_dict()["architecture"]
    plain = write_model(tmp_path / "plain")[1].to_dict()
    assert "untrained_classes" not in plain
    assert ModelCard.from_dict(plain).architecture.untrained == ()
    page = training_page(
        "m",
        {"history": [{"epoch": 1, "train_loss": 1, "val_loss": 1, "val_macro_f1": 0}]}
        | {"config": {"epochs": 1}},
        {},
        untrained=card.untrained_classes,
    )
    assert "org, voi" in page.notes[0]


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_they_have_no_score_with_any_engine(uri, engine):
    card = load_card(uri)
    windows, silent = windows_for(card, n=5).copy(), list(card.architecture.untrained)
    scores, _ = make_engine(uri, engine=engine, precision="f32").scores(windows)
    assert (scores[:, silent] == 0).all()
    assert (np.delete(scores, silent, axis=1) > 0).all()
    validated = TorchEngine(load_model(uri)[0], torch.device("cpu"), precision="f32").scores(
        windows
    )[0]
    assert ((validated == 0) == (scores == 0)).all()
    assert (aggregate(scores, "s2")[silent] == 0).all()


def test_no_threshold_names_them(uri):
    inference = inference_config(uri, None, 0.0)
    limits = dict(zip(inference.codes, inference.thresholds, strict=True))
    assert limits["org"] == limits["voi"] == 1.0
    assert limits["cel"] == 0.0
    assert replace(inference, thresholds=(0.2,) * 11).thresholds[CODES.index("voi")] == 1.0


def test_an_evaluation_leaves_out_what_a_split_does_not_know(uri, tmp_path):
    inference, codes = inference_config(uri), CODES[:2]
    truth = {"a": ["cel"], "b": [], "c": ["cla"]}
    scores = [{code: 0.9 if code in codes else 0.1 for code in CODES}] * 3
    tags = pa.table({"uri": list(truth), "labels": [codes] * 3, "scores": scores})
    tagged = evaluate._Tagged(inference, tags, truth, list(truth), {"b": codes})
    config = evaluate.EvaluateConfig(uri, str(tmp_path / "e"), dataset="ds")
    metrics = evaluate._score(
        config, Choice(inference.aggregation), tagged, Folder(config.out), own=inference.thresholds
    )
    rows = metrics.per_class[:2]
    assert [(row.n_positive, row.n_predicted, row.n_unknown) for row in rows] == [(1, 2, 1)] * 2
    stored = pq.read_table(tmp_path / "e" / "scores.parquet").to_pylist()
    assert [row["unknown"] for row in stored] == [[], codes, []]
    kept = read_evaluation(config.out)[0].scored.truth
    assert np.isnan(kept[1, :2]).all() and np.isnan(kept).sum() == 2


def test_softmax_takes_one_label_a_clip(stored):
    material = material_of(stored, loss="softmax")
    assert material.architecture.exclusive
    with pytest.raises(UsageError, match=r"--loss softmax: 2 clips .* several of 11, or unknown"):
        material.check_model()
