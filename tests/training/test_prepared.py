"""Steps before the front end: the same in training and tagging, and kept in model.json."""

from dataclasses import replace

import librosa
import numpy as np
import pyarrow as pa
import pytest
import soundfile

from pipeline.audio.decoding.clip import to_pcm16, wav_bytes
from pipeline.audio.description.noise_gate import NoiseProfile
from pipeline.audio.description.prepare import Step, low_pass
from pipeline.audio.spectra.front_ends.prepared import PreparedInput
from pipeline.audio.spectra.input_kinds import LogMelInput, SamplesInput, input_from_dict
from pipeline.audio.spectra.input_spec import unprepared
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.datasets.training_data import TrainingData
from pipeline.errors import UsageError
from pipeline.inference.described import describe, windows_of
from pipeline.inference.inference_config import inference_config
from pipeline.inference.tagger import TrackTagger
from pipeline.models.model import ModelCard, load_card, save_model
from pipeline.selection.vocabulary import default_vocabulary
from pipeline.store.catalogue import list_tracks
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder
from pipeline.training.config import TrainConfig
from schemas.dataset import DatasetRecord

RATE = 16_000
SPEC = LogMelSpec(RATE, 512, 128, 32)
META = DatasetRecord(
    classes=default_vocabulary().to_dict(), feature_spec=SPEC.to_dict(), fingerprint="sha256:p"
)
TINY = TrainConfig("resnet10t", input_size=(32, 32), augment=())


def sound(seed: int) -> np.ndarray:
    """Return 3 s of a tone that comes and goes, a high whistle, and hiss."""
    time_s = np.arange(3 * RATE) / RATE
    tone = 0.3 * np.sin(2 * np.pi * (300 + 50 * seed) * time_s) * (time_s % 1 > 0.3)
    whistle = 0.1 * np.sin(2 * np.pi * 6000 * time_s)
    hiss = 0.01 * np.random.default_rng(seed).standard_normal(len(time_s))
    return (tone + whistle + hiss).astype(np.float32)


@pytest.fixture
def noise(tmp_path):
    hiss = 0.01 * np.random.default_rng(9).standard_normal(2 * RATE)
    soundfile.write(tmp_path / "noise.wav", hiss, RATE, "FLOAT")
    return tmp_path / "noise.wav"


@pytest.fixture
def dataset(tmp_path):
    return dataset_of([sound(k) for k in range(3)], tmp_path)


def dataset_of(sounds, tmp_path) -> Dataset:
    """Write sounds as a dataset's clips to learn from."""
    folder = Folder(str(tmp_path / "ds"))
    folder.write_json("dataset.json", {"feature_spec": SPEC.to_dict()})
    rows = [
        {
            "segment_id": f"s{k}",
            "classes": ["pia"],
            "audio": {"bytes": wav_bytes(to_pcm16(one), RATE), "path": None},
        }
        for k, one in enumerate(sounds)
    ]
    folder.write_table("clips/train-0.parquet", pa.Table.from_pylist(rows))
    features = [{"segment_id": row["segment_id"], "classes": ["pia"]} for row in rows]
    folder.write_table("features/train-0.parquet", pa.Table.from_pylist(features))
    return Dataset(folder)


def training_data(dataset, tmp_path, prepare, config=TINY) -> TrainingData:
    own = replace(config, prepare=prepare, cache_dir=str(tmp_path / "cache"))
    return TrainingData(dataset, META, own)


def test_training_and_tagging_prepare_alike_and_need_no_file(dataset, noise, tmp_path):
    data = training_data(dataset, tmp_path, f"lowpass:4000,denoise:{noise}")
    assert isinstance(data.input_spec, PreparedInput)
    windows = data.train_set()
    tagger = data.new_model(windows).eval()
    card = ModelCard(
        architecture=data.architecture, vocabulary=data.vocabulary, input_spec=data.input_spec,
        windows=data.windows, aggregation="s1",
        thresholds={"s1": dict.fromkeys(data.vocabulary.codes, 0.5)},
        dataset_fingerprint="sha256:p", training={"history": []}, provenance={},
    )  # fmt: skip
    save_model(Folder(str(tmp_path / "model")), tagger.state_dict(), card)
    noise.unlink()
    assert "noise.wav" not in (tmp_path / "model" / "model.json").read_text()
    assert load_card(str(tmp_path / "model")).input_spec == data.input_spec

    (tmp_path / "s1.wav").write_bytes(wav_bytes(to_pcm16(sound(1)), RATE))
    inference = inference_config(str(tmp_path / "model"))
    (described,) = describe(list_tracks(str(tmp_path / "s1.wav")), inference)
    served = windows_of(described, inference)[0][:]
    np.testing.assert_array_equal(served[0], windows.clip_windows(1)[0])
    row = TrackTagger(inference).tag(tmp_path / "s1.wav")
    assert row["status"] == "ok"

    edges_hz = librosa.mel_frequencies(SPEC.n_mels + 2, fmin=0, fmax=RATE / 2)
    whistle = np.abs(edges_hz[1:-1] - 6000).argmin()
    plain = LogMelInput(SPEC).matrix(sound(1)).astype(np.float32)
    assert plain[whistle, 60] - served[0][whistle, 60].astype(np.float32) > 40


def test_samples_that_are_disturbed_are_prepared_first(dataset, tmp_path):
    config = replace(TINY, augment=("noise",))
    data = training_data(dataset, tmp_path, "lowpass:2000", config)
    assert data.trains_on_samples
    windows = data.train_set()
    recorded = to_pcm16(sound(0)).astype(np.float32) / 32_768
    filtered = low_pass(recorded, sample_rate_hz=RATE, cutoff_hz=2000)
    expected = SamplesInput(RATE).matrix(filtered)
    before = windows.margins[0]
    found = windows.windows(np.array([1]))[0]
    n = found.shape[1]
    assert abs(found[0, before:].astype(int) - expected[0, RATE:][: n - before]).max() <= 1


@pytest.mark.parametrize("model", ["cnn2d-mfcc", "cnn1d-descriptors"])
def test_a_features_rows_are_scaled_by_its_own_and_not_by_its_samples(dataset, tmp_path, model):
    def scaling(prepare: str, *augment: str):
        data = training_data(dataset, tmp_path, prepare, TrainConfig(model, augment=augment))
        network = data.new_model(data.train_set())
        return network.row_mean.numpy(), network.row_deviation.numpy()

    for found, expected in zip(
        scaling("lowpass:6000", "noise"), scaling("lowpass:6000"), strict=True
    ):
        np.testing.assert_array_equal(found, expected)
    assert not np.array_equal(scaling("lowpass:2000", "noise")[0], scaling("", "noise")[0])


def test_short_sounds_are_filled_up_by_soft_noise_also_when_randomised(tmp_path):
    config = TrainConfig("timbral-small", augment=("randomise",), activity=False)
    data = training_data(dataset_of([sound(0)[: RATE // 2]], tmp_path), tmp_path, "", config)
    assert data.is_randomised
    train_set = data.train_set()
    (window,) = train_set.windows(np.array([0]))
    before, behind = train_set.margins
    filled = window[0, before + RATE // 2 : window.shape[1] - behind]
    assert set(np.unique(filled)) == {-1, 1}


def test_a_network_of_samples_takes_prepared_ones(dataset, tmp_path):
    config = TrainConfig("samplecnn", augment=(), window_s=0.5)
    data = training_data(dataset, tmp_path, "lowpass:2000", config)
    assert isinstance(unprepared(data.input_spec), SamplesInput)
    assert data.architecture.linear_rows == (0,)  # windows are at one level, as without steps
    assert data.input_spec.matrix(sound(0)).dtype == np.int16


def test_a_run_is_named_by_what_the_file_holds(dataset, noise, tmp_path):
    data = training_data(dataset, tmp_path, f"denoise:{noise}")
    (digest,) = {step.noise.digest for step in data.steps}
    assert data.named_by == {"prepare": [f"denoise:{digest}"]}
    assert training_data(dataset, tmp_path, "").named_by == {}
    assert "prepare" not in TrainConfig().identity()


@pytest.mark.parametrize(
    ("prepare", "said"),
    [
        ("lowpass:8000", "--prepare lowpass:8000: .* 16,000 Hz; give a cutoff below 8,000 Hz"),
        ("denoise", "--prepare denoise: .* give a clip of the noise, denoise:FILE"),
        ("standardise:0:1", "its rows are scaled anyway: leave it out"),
        ("denoise:/nowhere.wav", "--prepare denoise:/nowhere.wav: no such file; name an audio"),
        ("smooth:3", "found step 'smooth:3'; expected one of"),
    ],
)
def test_what_cannot_be_is_told_in_a_line(dataset, tmp_path, prepare, said):
    with pytest.raises(UsageError, match=said):
        _ = training_data(dataset, tmp_path, prepare).input_spec


def test_teachers_take_a_recording_as_it_is(dataset, tmp_path):
    with pytest.raises(UsageError, match=r"--teacher: .* leave out --prepare"):
        training_data(dataset, tmp_path, "lowpass:2000", replace(TINY, teacher=("a",)))


def test_noise_of_another_rate_is_refused_when_model_json_is_read():
    hiss = np.random.default_rng(0).standard_normal(RATE).astype(np.float32)
    spec = PreparedInput(
        LogMelInput(SPEC), (Step("denoise", noise=NoiseProfile.of(hiss, RATE)),)
    ).to_dict()
    assert input_from_dict(spec).to_dict() == spec
    spec["steps"][0]["noise"]["sample_rate_hz"] = 44_100
    with pytest.raises(UsageError, match="of 44,100 Hz and the model's audio of 16,000 Hz"):
        input_from_dict(spec)
