"""The features that trainings map are kept while anybody reads them, and deleted by the last."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest
import torch

from pipeline.audio.spectra.input_kinds import LogMelInput, SamplesInput
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.audio.spectra.stacked import StackedInput
from pipeline.audio.spectra.windows import WindowSpec
from pipeline.datasets.training_data import TrainingData
from pipeline.errors import StoreError, UsageError
from pipeline.selection.vocabulary import default_vocabulary
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder
from pipeline.training.config import TrainConfig
from pipeline.training.data.windows import load_windows
from pipeline.training.spectra.logmel import with_margins
from schemas.dataset import DatasetRecord
from tests.flows.conftest import mounted
from tests.front_ends import EFFICIENTAT, YAMNET


@pytest.fixture
def training_data(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dataset = Dataset(Folder(str(tmp_path / "ds")))
    return TrainingData(dataset, META, TrainConfig())


def test_a_full_disk_is_one_clear_line(dataset, tmp_path, monkeypatch):
    with mounted(tmp_path / "disk", "1m") as disk:
        monkeypatch.setattr("tempfile.tempdir", str(disk))
        stored = Dataset.open(str(dataset))
        training_data = TrainingData(stored, stored.record(), TrainConfig())
        with pytest.raises(StoreError, match=rf"^cannot write {disk}/.* free some space"):
            with training_data.kept():
                training_data.train_set()
        assert not list(disk.rglob("*.tmp"))


def test_a_folder_that_cannot_be_made_is_one_clear_line(training_data, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    with (
        pytest.raises(UsageError, match=r"that is a file, or lies below one"),
        training_data.kept(),
    ):
        pass


def test_the_last_one_out_deletes_the_cache(training_data, tmp_path):
    with training_data.kept():
        training_data.cache.mkdir(parents=True)
        with training_data.kept():
            pass
        assert training_data.cache.is_dir()
    assert not training_data.cache.exists()
    assert training_data.cache.is_relative_to(tmp_path)


def test_what_failed_or_goes_on_leaves_it_to_the_next(training_data):
    with pytest.raises(ValueError), training_data.kept():
        training_data.cache.mkdir(parents=True)
        raise ValueError
    assert training_data.cache.is_dir()
    with training_data.kept(is_last=False):
        pass
    assert training_data.cache.is_dir()


@pytest.mark.parametrize("model", ["cnn2d-mfcc", "cnn1d-descriptors"])
def test_features_are_not_mixed_as_sounds(dataset, model):
    stored = Dataset.open(str(dataset))
    with pytest.raises(UsageError, match=r"--sampling dynamic: .* do not add up"):
        TrainingData(stored, stored.record(), TrainConfig(model=model, sampling="dynamic"))


# Front ends of pretrained networks. No dataset is read: these say what becomes of samples.

META = DatasetRecord(
    classes=default_vocabulary().to_dict(),
    feature_spec=LogMelSpec().to_dict(),
    fingerprint="sha256:0123456789abcdef0123",
)


def front_end(input_spec, monkeypatch, tmp_path, **settings):
    """Return the material of a run whose model has that front end."""
    monkeypatch.setattr("pipeline.datasets.model_plan.input_spec_of", lambda *_: input_spec)
    monkeypatch.setattr(TrainingData, "untrained", ())
    config = TrainConfig(model="crnn", **settings)
    return TrainingData(Dataset(Folder(str(tmp_path))), META, config)


def set_of(input_spec, n_seconds=2, samples=None):
    rng = np.random.default_rng(0)
    if samples is None:
        samples = rng.standard_normal(n_seconds * input_spec.sample_rate_hz) * 0.1
    matrix = input_spec.matrix(samples.astype(np.float32)).tobytes()
    columns = {"segment_id": ["a"], "classes": [["pia"]]}
    table = pa.table({**columns, "matrix": pa.array([matrix], pa.large_binary())})
    codes = default_vocabulary().codes
    return load_windows([table], codes=codes, windows=WindowSpec(), input_spec=input_spec)


def test_a_pretrained_front_end_trains_on_samples(monkeypatch, tmp_path):
    training_data = front_end(EFFICIENTAT, monkeypatch, tmp_path, augment=("noise",))
    assert training_data.trains_on_samples
    data = with_margins(set_of(SamplesInput(32_000)), EFFICIENTAT.spec)
    front = training_data.samples_to_log_mel(data)
    windows = torch.from_numpy(data.windows(np.arange(2)))
    plain = front(windows, torch.Generator(), ())
    noisy = front(windows, torch.Generator().manual_seed(0), ("noise",))
    assert plain.shape == noisy.shape == (2, 128, 100)
    assert (noisy - plain).abs().max() > 0.1
    assert not front_end(EFFICIENTAT, monkeypatch, tmp_path, augment=()).trains_on_samples


@pytest.mark.parametrize("model", ["cnn2d-mfcc", "cnn1d-descriptors"])
def test_a_feature_of_samples_is_the_stored_one_and_hears_noise_and_pitch(model, tmp_path):
    config = TrainConfig(model=model, augment=("noise", "pitch"))
    training_data = TrainingData(Dataset(Folder(str(tmp_path))), META, config)
    assert training_data.trains_on_samples
    plain = replace(training_data, config=TrainConfig(model=model, augment=("shift", "masks")))
    assert not plain.trains_on_samples
    classical = replace(training_data, config=TrainConfig(model="svm", augment=("noise",)))
    assert not classical.trains_on_samples
    feature, samples = training_data.input_spec, SamplesInput()
    pcm16 = np.random.default_rng(0).integers(-3000, 3000, 3 * 44_100)  # as CLIPS have it
    stored = set_of(feature, samples=pcm16 / 32_768)
    data = with_margins(set_of(samples, samples=pcm16 / 32_768), feature)
    front = training_data.samples_to_log_mel(data)
    windows = torch.from_numpy(data.windows(np.arange(3)))
    made = front(windows, torch.Generator(), ())
    expected = stored.windows(np.arange(3))
    assert made.shape == expected.shape == (3, 40, 87)
    # Later ones begin within a column. BLAS may round a product otherwise by its number of columns.
    np.testing.assert_allclose(made.numpy()[0], expected[0], rtol=0, atol=1e-4)
    for name in ("noise", "pitch"):
        changed = front(windows, torch.Generator().manual_seed(0), (name,))
        assert (changed - made).abs().max() > 0.01, name


def test_rows_are_scaled_as_their_front_ends_say(monkeypatch, tmp_path):
    own = LogMelInput(LogMelSpec(32_000, 1024, 320, 64))
    for parts, expected in (((EFFICIENTAT,), [-4.5]), ((YAMNET, EFFICIENTAT), [0, -4.5])):
        stack = StackedInput(parts)
        model = front_end(stack, monkeypatch, tmp_path).new_model(set_of(stack))
        rows = np.repeat(np.float32(expected), [part.n_rows for part in parts])
        np.testing.assert_array_equal(model.row_mean[:, 0], rows)
    stack = StackedInput((own, EFFICIENTAT))
    data = set_of(stack)
    model = front_end(stack, monkeypatch, tmp_path).new_model(data)
    measured = data.clip_windows(0)[:, :64].mean(axis=(0, 2))
    np.testing.assert_allclose(model.row_mean[:64, 0], measured, rtol=1e-4)
    np.testing.assert_array_equal(model.row_mean[64:, 0], np.float32(-4.5))
    np.testing.assert_array_equal(model.row_deviation[64:, 0], np.float32(5))


def test_stacked_units_are_not_mixed_as_sounds(monkeypatch, tmp_path):
    stack = StackedInput((YAMNET, EFFICIENTAT))
    with pytest.raises(UsageError, match="takes several front ends, which do not add up"):
        front_end(stack, monkeypatch, tmp_path, sampling="dynamic")
    front_end(StackedInput((EFFICIENTAT,)), monkeypatch, tmp_path, sampling="dynamic")
