"""AST with published weights: its own front end, its own classifier, the same scores."""

import json
from functools import partial
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pyarrow as pa
import pytest
import soundfile
import torch
import transformers

from jobs import train as train_job
from pipeline.audio.spectra.input_kinds import LogMelInput, SamplesInput
from pipeline.audio.spectra.kaldi import DB_PER_NEPER, KaldiInput
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.audio.spectra.windows import WindowSpec
from pipeline.datasets.training_data import TrainingData
from pipeline.errors import UsageError
from pipeline.flows.training.fit import FitConfig
from pipeline.inference.described import describe, windows_of
from pipeline.inference.inference_config import InferenceConfig, inference_config
from pipeline.inference.tagger import TrackTagger
from pipeline.models.model import Architecture, ModelCard, Tagger, load_model, save_model
from pipeline.models.networks.parts.ast_weights import LANDMARKS
from pipeline.selection.vocabulary import (
    Instrument,
    Vocabulary,
    audioset_order,
    default_vocabulary,
)
from pipeline.store.catalogue import list_tracks
from pipeline.store.folder import Folder
from pipeline.training.config import TrainConfig
from pipeline.training.recipes import input_spec_of, preset
from pipeline.training.spectra.logmel import SamplesToLogMel, with_margins
from pipeline.training.step.gradients import augmented
from schemas.dataset import DatasetRecord
from tests.conftest import tones
from tests.training.test_recipes import set_of

MIDS = audioset_order()
EVERY_LABEL = Vocabulary(
    tuple(Instrument(f"c{row}", f"c{row}", (mid,)) for row, mid in enumerate(MIDS))
)
SMALL = dict(
    hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
)  # fmt: skip


def publish(folder: Path, **settings) -> transformers.ASTForAudioClassification:
    """Write a small AST as Hugging Face lays it out, of random weights; return it."""
    torch.manual_seed(0)
    network = transformers.ASTForAudioClassification(
        transformers.ASTConfig(**{**SMALL, "num_labels": 527, **settings})
    )
    with torch.no_grad():
        for parameter in network.parameters():  # transformers leaves many of them 0 or 1
            parameter += 0.2 * torch.randn_like(parameter)
    network.save_pretrained(folder)
    return network.eval()


@pytest.fixture
def published(tmp_path):
    return publish(tmp_path / "ast"), tmp_path / "ast"


def training_data(weights, vocabulary=None, **settings) -> TrainingData:
    """What a run is about, as far as it needs no audio."""
    meta = DatasetRecord(
        classes=(vocabulary or default_vocabulary()).to_dict(), feature_spec=LogMelSpec().to_dict()
    )
    labelled = pa.table(
        {"segment_id": ["s_0"], "classes": [(vocabulary or default_vocabulary()).codes]}
    )
    dataset = SimpleNamespace(features=lambda split, columns: [labelled])  # every class is learned
    return TrainingData(dataset, meta, TrainConfig(model="ast", weights=str(weights), **settings))


def save(model: Tagger, run: TrainingData, folder: Path) -> str:
    card = ModelCard(
        architecture=model.architecture,
        vocabulary=run.vocabulary,
        input_spec=run.input_spec,
        windows=run.windows,
        aggregation="s1",
        thresholds={"s1": dict.fromkeys(run.vocabulary.codes, 0.5)},
        dataset_fingerprint="sha256:x",
        training={"history": []},
        provenance={},
    )
    save_model(Folder(str(folder)), model.state_dict(), card)
    return str(folder)


@pytest.fixture
def ten_seconds(tmp_path):
    """A wav of AudioSet's length, at AST's rate."""
    rng = np.random.default_rng(0)
    samples = tones(10.0, 220, 1500, sample_rate_hz=16_000)
    samples += (0.02 * rng.standard_normal(len(samples))).astype(np.float32)
    (tmp_path / "music").mkdir()
    path = tmp_path / "music" / "a.wav"
    soundfile.write(path, samples, 16_000, subtype="PCM_16")
    return soundfile.read(path, dtype="float32")[0], path.parent


@pytest.mark.parametrize("engine", ["torch", "openvino"])
def test_a_file_s_scores_are_the_published_network_s(published, ten_seconds, tmp_path, engine):
    """From the file on: decoded, through the front end, the network and its whole classifier."""
    network, folder = published
    samples, music = ten_seconds
    extractor = transformers.ASTFeatureExtractor()
    features = extractor(samples, sampling_rate=16_000, return_tensors="pt")["input_values"]
    with torch.inference_mode():
        expected = network(features).logits[0]
    run = training_data(folder, EVERY_LABEL, window_s=10.24)
    model = run.new_model(None).eval()
    inference = inference_config(save(model, run, tmp_path / "model"))
    inference = InferenceConfig(**{**vars(inference), "engine": engine, "precision": "f32"})
    (described,) = describe(list_tracks(str(music)), inference)
    windows = windows_of(described, inference)[0][:]
    ours = model.scaled(torch.from_numpy(windows.copy()))
    n_frames = ours.shape[2]
    assert n_frames == 1022  # the network has no patch of the other two
    torch.testing.assert_close(ours[0].T, features[0, :n_frames], rtol=0, atol=1e-3)
    (row,) = TrackTagger(inference)(described).to_pylist()
    logits = torch.logit(torch.tensor(list(row["scores"].values()), dtype=torch.float64))
    torch.testing.assert_close(logits.float(), expected, rtol=0, atol=1e-3)
    assert expected.std() > 0.3


def test_a_head_begins_from_the_published_rows(published):
    network, folder = published
    head = training_data(folder).new_model(None).backbone.head
    theirs = network.classifier
    torch.testing.assert_close(head[0].weight, theirs.layernorm.weight)
    torch.testing.assert_close(head[0].bias, theirs.layernorm.bias)
    for number, instrument in enumerate(default_vocabulary().instruments):
        rows = [MIDS.index(mid) for mid in instrument.any_of]
        torch.testing.assert_close(head[2].weight[number], theirs.dense.weight[rows].mean(dim=0))
        torch.testing.assert_close(head[2].bias[number], theirs.dense.bias[rows].mean())
    assert len(rows) == 8  # the voice


def test_one_file_is_as_good_as_the_folder(published, tmp_path):
    _, folder = published
    whole = training_data(folder).new_model(None).state_dict()
    alone = training_data(folder / "model.safetensors").new_model(None).state_dict()
    assert all(torch.equal(whole[name], alone[name]) for name in whole)


def test_labels_in_another_order_are_refused(tmp_path):
    names = {row: f"sound {row}" for row in range(527)} | LANDMARKS
    publish(tmp_path / "right", id2label=names)
    assert training_data(tmp_path / "right").new_model(None).backbone.n_kept == 11
    publish(tmp_path / "wrong", id2label=names | {137: "Dog", 70: "Music"})
    with pytest.raises(UsageError, match="row 137 of its classifier is 'Dog', and 'Music' in Aud"):
        training_data(tmp_path / "wrong").check_model()


def test_a_classifier_of_other_labels_leaves_only_its_norm(tmp_path):
    network = publish(tmp_path / "ast", num_labels=35)
    backbone = training_data(tmp_path / "ast").new_model(None).backbone
    assert backbone.n_kept == 0
    torch.testing.assert_close(backbone.head[0].weight, network.classifier.layernorm.weight)


def test_an_encoder_without_a_classifier_will_do(published, tmp_path):
    network, _ = published
    network.audio_spectrogram_transformer.save_pretrained(tmp_path / "encoder")
    backbone = training_data(tmp_path / "encoder").new_model(None).backbone
    assert backbone.n_kept == 0
    torch.testing.assert_close(
        backbone.encoder.layernorm.weight, network.audio_spectrogram_transformer.layernorm.weight
    )


def test_a_trained_one_is_served_without_the_weights_it_began_from(published, tmp_path):
    _, folder = published
    run = training_data(folder)
    assert run.architecture.input_shape == (128, 98)
    model = run.new_model(None).eval()
    positions = model.backbone.encoder.embeddings.position_embeddings
    assert positions.shape[1] == 110  # the report's, in place of 1,214
    uri = save(model, run, tmp_path / "model")
    for file in folder.iterdir():
        file.unlink()
    loaded, card = load_model(uri)
    assert card.input_spec == KaldiInput()
    windows = torch.randn(2, 128, 98) - 4
    with torch.inference_mode():
        torch.testing.assert_close(loaded(windows), model(windows))


def test_a_model_of_before_is_served_as_it_was(tmp_path, monkeypatch):
    """AST heard log-mels of its own, scaled to each window's peak, and model.json knew no sizes."""
    assert transformers.ASTModel  # to load it sets ASTConfig anew
    monkeypatch.setattr(transformers, "ASTConfig", partial(transformers.ASTConfig, **SMALL))
    input_spec = LogMelInput(
        LogMelSpec(sample_rate_hz=16_000, n_fft=1024, hop=160, n_mels=128, htk=True)
    )
    shape = (128, WindowSpec().n_frames(input_spec))
    torch.manual_seed(0)
    model = Tagger(Architecture("ast", 11, input_shape=shape)).eval()
    run = training_data("none")
    uri = save(model, run, tmp_path)
    card = json.loads((tmp_path / "model.json").read_text())
    card["feature_spec"] = input_spec.to_dict()
    del card["architecture"]["sizes"]
    (tmp_path / "model.json").write_text(json.dumps(card))
    loaded, card = load_model(uri)
    assert card.input_spec == input_spec
    assert not any(name.startswith("row_") for name in loaded.state_dict())
    windows = 20 * torch.randn(2, *shape) - 50
    below_peak = 1 + (windows - windows.amax(dim=(1, 2), keepdim=True)).clamp(min=-60) / 30
    with torch.inference_mode():
        torch.testing.assert_close(loaded(windows), model.backbone(below_peak))


# From nothing.


def test_harmony_ast_does_not_begin_from_nothing_unasked(tmp_path, capsys):
    flags = ["--dataset", str(tmp_path), "--out", str(tmp_path / "o"), "--preset", "harmony-ast"]
    assert train_job.main(flags) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "from nothing at --lr 2e-05; give --weights FOLDER (hf download MIT/ast" in line
    assert train_job.main([*flags, "--weights", "none"]) == 2
    assert "no dataset.json" in capsys.readouterr().err  # that far it comes


def test_none_is_no_weights_at_all():
    config = preset("harmony-resnet50")
    assert config.begins_from == "imagenet"
    assert TrainConfig(model="ast", weights="none").begins_from is None
    FitConfig("d", "o", TrainConfig(model="ast"))  # at the rate of one from scratch


def test_weights_are_found_from_the_workers_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "w.safetensors").touch()
    config = FitConfig("d", "o", TrainConfig(weights="w.safetensors"))
    assert config.train.weights == str(tmp_path / "w.safetensors")
    assert FitConfig("d", "o", TrainConfig(weights="imagenet")).train.weights == "imagenet"


# Training.


def test_disturbed_samples_become_the_same_filter_bank():
    data = set_of(SamplesInput(16_000), 2)
    input_spec = input_spec_of("ast", LogMelSpec())
    spec = input_spec.spec
    windows = with_margins(data, spec).clip_windows(0)
    zero = torch.zeros(1, 1)
    front = SamplesToLogMel(spec, mean=zero, deviation=zero)
    bands = front(torch.from_numpy(windows), torch.Generator(), ("shift", "masks"))
    assert bands.shape == (2, 128, 98)
    for one, samples in zip(bands, windows[:, 0], strict=True):
        expected = input_spec.matrix(samples.astype(np.float32) / 32_768)
        np.testing.assert_allclose(one, expected, rtol=0, atol=1e-3)


def test_its_bands_are_disturbed_in_decibels():
    model = Tagger(Architecture("crnn", 2, input_shape=(128, 98), below_peak=False))
    model.db_per_unit = DB_PER_NEPER
    windows, targets = torch.randn(8, 128, 98) - 4, torch.zeros(8, 2)
    config, rng = TrainConfig(augment=("tilt",)), torch.Generator().manual_seed(0)
    tilted, _ = augmented(model, windows, targets, config, rng)
    slopes_db = (tilted - windows) * DB_PER_NEPER
    assert 3 < slopes_db.abs().max() <= 9.01
    torch.testing.assert_close(
        slopes_db, slopes_db[:, :, :1].expand_as(slopes_db), atol=1e-4, rtol=0
    )


def test_powers_add_up_where_clips_are_mixed():
    data = set_of(input_spec_of("ast", LogMelSpec()), 2)
    mixed = data.batch([[0, 2], [1, 3]], 2, np.zeros(len(data), np.int64)).windows
    first = np.stack([data.clip_windows(0), data.clip_windows(1)]).astype(np.float64)
    np.testing.assert_allclose(mixed, np.log(np.exp(first).sum(axis=0)), rtol=0, atol=1e-3)
