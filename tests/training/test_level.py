"""A model hears a recording and a softer or louder copy of it as the same, whatever its input."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import soundfile
import torch

from pipeline.audio.spectra.input_kinds import FeatureInput, SamplesInput, input_from_dict
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.audio.spectra.windows import WindowSpec
from pipeline.datasets.training_data import TrainingData
from pipeline.errors import SpecMismatch
from pipeline.inference.described import describe, windows_of
from pipeline.inference.inference_config import inference_config
from pipeline.inference.tagger import TrackTagger
from pipeline.models.engines.engines import make_engine
from pipeline.models.model import Architecture, ModelCard, Preparation, save_model
from pipeline.models.networks.classical import pooled
from pipeline.selection.vocabulary import default_vocabulary
from pipeline.store.catalogue import list_tracks
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder
from pipeline.training.config import TrainConfig
from pipeline.training.data.windows import load_windows
from schemas.dataset import DatasetRecord

META = DatasetRecord(
    classes=default_vocabulary().to_dict(),
    feature_spec=LogMelSpec().to_dict(),
    fingerprint="sha256:x",
)
OWN = ["cnn1d-raw", "cnn2d-mfcc", "cnn1d-descriptors"]
OTHERS = ["resnet10t:cqt", "resnet10t:chroma", "crnn:mel-chroma-mfcc"]
"""Networks of log-mels with another input."""


def config_of(name: str) -> TrainConfig:
    """Return the config of a model, or of `model:input`."""
    model, _, network_input = name.partition(":")
    return TrainConfig(model=model, input=network_input or None, input_size=(32, 32))


def plucked(f0_hz: float, seed: int) -> np.ndarray:
    """Return three seconds of a decaying tone a second, with a pause and a recorder's noise."""
    rng, time_s = np.random.default_rng(seed), np.arange(3 * 44_100) / 44_100
    since_s = time_s % 1 - 0.1
    partials = [np.sin(2 * np.pi * k * f0_hz * time_s) / k**1.5 for k in range(1, 20)]
    notes = 0.25 * np.sum(partials, axis=0) * np.where(since_s > 0, np.exp(-6 * since_s), 0)
    return (notes + 1e-3 * rng.standard_normal(len(notes))).astype(np.float32)


def trained(model: str, path) -> TrainingData:
    """Write a model of that name as a training's first step has it, scaled by four recordings."""
    training_data = TrainingData(Dataset(Folder(str(path))), META, config_of(model))
    input_spec = training_data.input_spec
    table = pa.table(
        {
            "segment_id": ["s0", "s1", "s2", "s3"],
            "classes": [["pia"]] * 4,
            "matrix": pa.array(
                [input_spec.matrix(plucked(f, f)).tobytes() for f in (110, 196, 330, 700)],
                pa.large_binary(),
            ),
        }
    )
    data = load_windows(
        [table], codes=training_data.vocabulary.codes, windows=WindowSpec(), input_spec=input_spec
    )
    tagger = training_data.new_model(data).eval()
    card = ModelCard(
        architecture=tagger.architecture,
        vocabulary=training_data.vocabulary,
        input_spec=input_spec,
        windows=training_data.windows,
        aggregation="s1",
        thresholds={"s1": dict.fromkeys(training_data.vocabulary.codes, 0.5)},
        dataset_fingerprint="sha256:x",
        training={"history": []},
        provenance={},
    )
    save_model(Folder(str(path)), tagger.state_dict(), card)
    return training_data


def served(model_uri: str, path) -> np.ndarray:
    """Return a track's windows as tagging cuts them and the network sees them."""
    inference = inference_config(model_uri)
    (described,) = describe(list_tracks(str(path)), inference)
    return windows_of(described, inference)[0][:]


@pytest.mark.parametrize(("subtype", "most"), [("FLOAT", 0.02), ("PCM_16", 0.1)])
@pytest.mark.parametrize("gain_db", [-20, 6])
@pytest.mark.parametrize("model", [*OWN, "crnn", *OTHERS])
def test_a_softer_or_louder_copy_is_heard_as_the_same(model, gain_db, subtype, most, tmp_path):
    """Up to the rounding of a softer copy's pauses, where its file has 16 bits."""
    trained(model, tmp_path / "model")
    engine = make_engine(str(tmp_path / "model"), engine="torch", precision="f32")
    found = {}
    for name, gain in (("one", 1.0), ("other", 10 ** (gain_db / 20))):
        wav = tmp_path / f"{name}.wav"
        soundfile.write(wav, gain * plucked(262, 9), 44_100, subtype)
        windows = served(str(tmp_path / "model"), wav)
        with torch.inference_mode():
            prepared = engine._preparation.prepared(torch.from_numpy(windows.copy()))
        found[name] = prepared.numpy(), engine.scores(windows)[0]
    (prepared, scores), (others, other_scores) = found["one"], found["other"]
    apart = np.abs(prepared - others).mean(axis=(0, 2))  # of each row, in training deviations
    assert np.median(apart) < most
    if model == "crnn:mel-chroma-mfcc":
        apart = apart[1:]  # 0 to 26 Hz, where there is nothing but what the file's bits add
    assert apart.max() < 4 * most
    assert np.abs(scores - other_scores).max() < 0.005


@pytest.mark.parametrize("model", OTHERS)
def test_a_model_of_another_input_tags_what_it_has_learned_from(model, tmp_path):
    training_data = trained(model, tmp_path / "model")
    sound = plucked(262, 9)
    matrix = training_data.input_spec.matrix(sound)
    soundfile.write(tmp_path / "one.wav", sound, 44_100, "FLOAT")
    windows = served(str(tmp_path / "model"), tmp_path / "one.wav")
    np.testing.assert_allclose(windows[0], matrix[:, : windows.shape[2]], atol=1e-4)
    inference = inference_config(str(tmp_path / "model"))
    row = TrackTagger(inference).tag(sound, sample_rate_hz=44_100)
    assert row["status"] == "ok"
    engine = make_engine(str(tmp_path / "model"), engine="torch", precision="f32")
    expected = engine.scores(windows)[0].mean(axis=0)
    np.testing.assert_allclose(list(row["scores"].values()), expected, atol=1e-5)


@pytest.mark.parametrize("model", ["svm", "knn"])
def test_classical_models_pool_what_is_levelled(model, tmp_path):
    training_data = TrainingData(Dataset(Folder(str(tmp_path))), META, TrainConfig(model=model))
    preparation = Preparation(training_data.architecture)
    soft, loud = (
        pooled(
            preparation.prepared(
                torch.from_numpy(training_data.input_spec.matrix(sound)[None].copy())
            )
        )
        for sound in (0.1 * plucked(262, 9), 2 * plucked(262, 9))
    )
    torch.testing.assert_close(soft, loud, atol=1e-2, rtol=1e-2)


@pytest.mark.parametrize("model", OWN)
def test_the_loudest_frame_and_silence(model, tmp_path):
    """A frame's level is told from the loudest, down to 60 dB; what fills up a clip stays zero."""
    training_data = TrainingData(Dataset(Folder(str(tmp_path))), META, TrainConfig(model=model))
    sound = plucked(262, 9)[:44_100]
    sound[22_050:] = 0
    matrix = training_data.input_spec.matrix(sound).astype(np.float32)
    n = matrix.shape[1]
    windows = torch.from_numpy(np.pad(matrix, ((0, 0), (0, n // 3)))[None])
    levelled = Preparation(training_data.architecture).levelled(windows)[0]
    assert levelled.isfinite().all()
    assert not levelled[:, n:].any()
    if model != "cnn1d-raw":
        mfcc_db = levelled[0, :n] / 128**0.5
        assert mfcc_db.max() == 0
        assert mfcc_db.min() == pytest.approx(-60)
    zeros = Preparation(training_data.architecture).levelled(torch.zeros_like(windows))
    assert not zeros.any()


def test_models_of_before_are_served_as_they_were_trained(tmp_path):
    frames = {"sample_rate_hz": 44_100, "n_fft": 2048, "hop": 512}
    before = {"kind": "local feature", "name": "mfcc", **frames}
    input_spec = input_from_dict(before)
    assert input_spec == FeatureInput("mfcc")
    assert input_spec.to_dict() == before  # runs of tagging compare it
    assert input_from_dict({"kind": "samples", "sample_rate_hz": 44_100}) == SamplesInput()
    soft, loud = (input_spec.matrix(gain * plucked(262, 9)) for gain in (0.1, 1.0))
    assert np.median(loud[0] - soft[0]) > 50
    architecture = Architecture("cnn2d-mfcc", 11, input_shape=(40, 87), below_peak=False)
    values = architecture.to_dict()
    del values["db_rows"], values["linear_rows"]
    assert Architecture.from_dict(values) == architecture
    with pytest.raises(SpecMismatch, match="level 'loud'"):
        input_from_dict({**before, "level": "loud"})
    assert input_from_dict(replace(input_spec, level="window").to_dict()).level == "window"
