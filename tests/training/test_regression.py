"""Regression: what goes with it, its targets, loss and figures, and a network that learns them."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from pipeline import preset
from pipeline.audio.decoding.clip import to_pcm16, wav_bytes
from pipeline.audio.description.timbral.descriptors import timbral_descriptors
from pipeline.datasets.regression_data import RegressionData, training_data_of
from pipeline.errors import UsageError
from pipeline.inference.inference_config import inference_config
from pipeline.models.card import is_regressor
from pipeline.models.model import ModelCard, load_card, load_model, save_model
from pipeline.models.names import AUGMENTATIONS, CLASSICAL, PROBE
from pipeline.models.regression import Regression
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder
from pipeline.training.config import TrainConfig
from pipeline.training.loop import Hooks, train
from pipeline.training.presets import PRESETS
from pipeline.training.regression.descriptors import SHORT, SILENT, TARGETS
from pipeline.training.regression.figures import absolute_errors, clip_errors
from pipeline.training.regression.targets import mapped_targets
from pipeline.training.transfer.pinned import card_of
from pipeline.training.validation import clip_scores
from tests.training.transfer import META, as_stored

RATE_HZ = 44_100
CPU = torch.device("cpu")
SMALL = replace(preset("timbral-small"), epochs=2, batch_size=4)


def drum(hz: float, decay_s: float, seconds: float = 0.4) -> np.ndarray:
    """Return a decaying tone with noise in it."""
    time_s = np.arange(round(seconds * RATE_HZ)) / RATE_HZ
    noise = np.random.default_rng(round(hz)).standard_normal(len(time_s))
    sound = (np.sin(2 * np.pi * hz * time_s) + hz / 4000 * noise) * np.exp(-time_s / decay_s)
    return as_stored((0.4 * sound / np.abs(sound).max()).astype(np.float32))


def sounds(split: str) -> dict[str, np.ndarray]:
    """Return eight sounds of a split, of which in train one is silent and one too short."""
    first = 100 if split == "train" else 130
    made = {f"{split}{k}_0": drum(first * 1.5**k, 0.02 + 0.02 * k) for k in range(8)}
    if split == "train":
        made["train6_0"] = np.zeros(RATE_HZ // 2, np.float32)
        made["train7_0"] = made["train7_0"][: RATE_HZ // 100]
    return made


@pytest.fixture(scope="module")
def dataset(tmp_path_factory) -> Dataset:
    """Give a dataset of unlabelled sounds: a shard for train, val and test each."""
    store = Folder(str(tmp_path_factory.mktemp("regression") / "dataset"))
    store.write_json("dataset.json", META.to_dict())
    for split in ("train", "val", "test"):
        clips = sounds(split)
        wavs = [{"bytes": wav_bytes(to_pcm16(one), RATE_HZ)} for one in clips.values()]
        none = pa.array([[]] * len(clips), pa.list_(pa.string()))
        table = {"segment_id": list(clips), "classes": none, "audio": pa.array(wavs)}
        store.write_table(f"clips/{split}-0.parquet", pa.table(table))
    return Dataset(store)


@pytest.fixture(scope="module")
def data(dataset, tmp_path_factory) -> RegressionData:
    """Give what the small network learns from; its targets are computed once for all tests."""
    cache = str(tmp_path_factory.mktemp("cache"))
    found = training_data_of(dataset, META, replace(SMALL, cache_dir=cache))
    assert isinstance(found, RegressionData)
    return found


def card_of_data(data: RegressionData) -> ModelCard:
    """Return the card of a model that learned from the data."""
    return ModelCard(
        data.architecture, data.vocabulary, data.input_spec, data.windows, "s1", {}, "",
        {"config": {}}, {}, regression=data.regression,
    )  # fmt: skip


def test_runs_of_before_keep_their_names():
    assert not {"task", "output_activation"} & TrainConfig().identity().keys()
    assert SMALL.identity()["task"] == "regression"


@pytest.mark.parametrize("name", [name for name in PRESETS if name.startswith("timbral-")])
def test_a_preset_is_a_regression_of_20_epochs(name):
    config = PRESETS[name]
    assert (config.model, config.task, config.epochs) == (name, "regression", 20)
    assert preset(None, name, "regression") == config


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"loss": "softmax"}, "--loss softmax: its loss is the mean absolute error"),
        ({"loss": "triplet"}, "--loss triplet: its loss"),
        ({"select": "map"}, "--select map: its epoch is chosen by the mean absolute error"),
        ({"select": "f1"}, "--select f1: its epoch"),
        ({"sampling": "dynamic"}, "--sampling dynamic: the targets of a mixture"),
        ({"balance": "full"}, "--balance full: it counts classes"),
        ({"activity": True}, "--no-activity"),
        ({"teacher": ("m",)}, "--teacher: teachers score classes; leave it out"),
        ({"init": "m"}, "--init: it begins from a tagger's classes"),
        ({"folds": 3}, "--folds: a cross-validation measures classes"),
        ({"aggregation": "s2"}, "a clip's value is the mean over its windows"),
        *(({"augment": (one,)}, f"--augment {one}: it changes the sound") for one in AUGMENTATIONS
          if one not in ("masks", "shift")),
        *(({"model": one}, f"{one} tells classes") for one in (*CLASSICAL, PROBE)),
        ({"output_activation": "relu"}, "--output-activation relu: expected linear, sigmoid"),
    ],
)  # fmt: skip
def test_what_does_not_go_with_it_is_told_in_a_line(change, told):
    with pytest.raises(UsageError, match=told) as error:
        replace(SMALL, **change)
    assert "\n" not in str(error.value)


def test_what_is_of_a_regression_alone_is_told():
    with pytest.raises(UsageError, match="--select mae: of a regression; give --task regression"):
        TrainConfig(select="mae")
    with pytest.raises(UsageError, match="--output-activation: of a regression"):
        TrainConfig(output_activation="sigmoid")
    with pytest.raises(UsageError, match="--task both: expected tags, regression"):
        TrainConfig(task="both")


def test_targets_are_the_descriptors_of_the_clips_as_they_are(dataset, data):
    found = mapped_targets(dataset, "train", data.cache)
    assert found.left_out == {SHORT: 1, SILENT: 1}
    row = found.segment_ids.index("train3_0")
    expected = timbral_descriptors(sounds("train")["train3_0"], RATE_HZ)
    assert found.values[row].tolist() == [expected[name] for name in TARGETS]
    assert np.isnan(found.values[[6, 7]]).all()


def test_they_are_computed_once(dataset, data, monkeypatch):
    before = mapped_targets(dataset, "train", data.cache)
    monkeypatch.setattr(Folder, "read_table", None)
    again = mapped_targets(dataset, "train", data.cache)
    np.testing.assert_array_equal(again.values, before.values)


@pytest.mark.slow
def test_processes_give_the_same(dataset, data, tmp_path):
    found = mapped_targets(dataset, "train", tmp_path, n_processes=2)
    expected = mapped_targets(dataset, "train", data.cache)
    assert (found.segment_ids, found.why) == (expected.segment_ids, expected.why)
    np.testing.assert_array_equal(found.values, expected.values)


def test_they_are_scaled_by_the_training_clips_alone(data):
    train_set, val_set = data.train_set(), data.val_set()
    assert len(train_set) == 6 and len(val_set) == 8  # two of train have no target
    assert not {"train6_0", "train7_0"} & set(train_set.segment_ids)
    np.testing.assert_allclose(train_set.targets.min(axis=0), 0, atol=1e-6)
    np.testing.assert_allclose(train_set.targets.max(axis=0), 1, atol=1e-6)
    assert val_set.targets.max() > 1 or val_set.targets.min() < 0
    assert data.about["without_targets"] == {"train": {SHORT: 1, SILENT: 1}, "val": {}}
    assert train_set.windows(np.array([0])).shape == (1, 1, 16_000)


def test_units_come_back():
    values = np.array([[10.0, 3.0], [30.0, 3.0], [np.nan, 3.0]])
    regression = Regression.of(["depth", "warmth"], values)
    assert regression.scaled(values)[:2].tolist() == [[0, 0], [1, 0]]
    assert regression.unscaled(np.array([[0.5, 0.0], [2.0, 1.0]])).tolist() == [[20, 3], [50, 4]]
    assert Regression.from_dict(regression.to_dict()) == regression
    assert regression.targets[0].median == 20


def test_the_loss_is_the_mean_of_the_defined_targets():
    outputs = torch.tensor([[0.5, 0.5], [0.0, 1.0], [1.0, 1.0]])
    targets = torch.tensor([[0.0, 1.0], [float("nan"), 0.75], [float("nan")] * 2])
    assert absolute_errors(outputs, targets).tolist() == [0.5, 0.25, 0.0]
    found = clip_errors(outputs.numpy(), targets.numpy())
    assert found["val_loss"] == pytest.approx((0.5 + (0.5 + 0.25) / 2) / 2)


@pytest.mark.parametrize("activation", ["linear", "sigmoid"])
def test_a_network_learns_them_and_is_read_again(data, activation, tmp_path):
    config = replace(
        data.config, epochs=15, batch_size=2, lr=1e-4, output_activation=activation, precision="f32"
    )
    own = replace(data, config=config)
    train_set = own.train_set()
    model = own.new_model(train_set)
    hooks = Hooks(lambda step: None, lambda metrics, state: None)
    progress = train(config, model, train_set, train_set, device=CPU, checkpoint=None, hooks=hooks)
    of_medians = np.abs(train_set.targets - np.median(train_set.targets, axis=0)).mean()
    assert progress.best_val_loss < 0.5 * of_medians
    assert progress.history[-1].keys() == {"epoch", "train_loss", "val_loss", "val_r2"}
    model.load_state_dict(progress.best_weights)
    predicted = clip_scores(model, train_set, "s1", CPU)
    assert np.abs(predicted - train_set.targets).mean() == pytest.approx(progress.best_val_loss)
    assert activation == "linear" or np.abs(predicted - 0.5).max() <= 0.5
    save_model(Folder(str(tmp_path)), progress.best_weights, card_of_data(own))
    again, read = load_model(str(tmp_path))
    assert read.regression == own.regression and read.architecture.output == activation
    np.testing.assert_array_equal(clip_scores(again, train_set, "s1", CPU), predicted)


@pytest.mark.parametrize("activation", ["linear", "sigmoid"])
def test_before_it_learns_a_network_says_the_medians(data, activation):
    own = replace(data, config=replace(data.config, output_activation=activation))
    train_set = own.train_set()
    model = own.new_model(train_set)
    model.backbone.get_classifier().weight.data.zero_()
    medians = np.median(train_set.targets, axis=0)
    expected = medians if activation == "linear" else np.clip(medians, 0.01, 0.99)
    predicted = clip_scores(model, train_set, "s1", CPU)
    np.testing.assert_allclose(predicted, np.tile(expected, (len(predicted), 1)), atol=1e-5)


def test_who_scores_classes_refuses_a_regressor(data, tmp_path):
    weights = data.new_model(data.train_set()).state_dict()
    save_model(Folder(str(tmp_path)), weights, card_of_data(data))
    assert is_regressor(str(tmp_path)) and not is_regressor("starter,starter")
    assert load_card(str(tmp_path)).regression is not None
    with pytest.raises(UsageError, match=r"is a regressor of depth, .*, and scores no classes"):
        inference_config(str(tmp_path))
    with pytest.raises(UsageError, match=r"--teacher .*is a regressor"):
        card_of("--teacher", str(tmp_path))


def test_a_network_of_log_mels_takes_it_too(dataset, tmp_path):
    config = replace(
        preset(None, "shortchunk", "regression"),
        augment=("masks", "shift"),
        cache_dir=str(tmp_path),
    )
    own = training_data_of(dataset, META, config)
    own.check_model()
    assert own.architecture.n_classes == len(TARGETS) and own.architecture.below_peak
