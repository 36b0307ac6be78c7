"""--weights, --init, --encoder: a path from where the caller is, or a URI; the driver reads it."""

import json
import pickle
from dataclasses import replace

import pytest
import safetensors.torch
import torch

from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.configs.train import FitConfig
from pipeline.datasets.training_data import TrainingData
from pipeline.errors import SpecMismatch, UsageError
from pipeline.models.model import Tagger
from pipeline.selection.vocabulary import default_vocabulary
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder
from pipeline.training.config import TrainConfig
from pipeline.training.transfer.weight_files import WeightFiles, are_files
from schemas.dataset import DatasetRecord
from tests.models.test_engines import write_model
from tests.s3 import S3Server

CONFIG = TrainConfig(model="resnet10t", input_size=(32, 32), augment=())
META = DatasetRecord(
    classes=default_vocabulary().to_dict(),
    feature_spec=LogMelSpec().to_dict(),
    complete=True,
    fingerprint="sha256:" + "0" * 64,
)


@pytest.fixture(scope="module")
def s3():
    with S3Server() as server:
        yield server


class _Data(TrainingData):
    untrained = ()


def data_of(tmp_path, **config):
    """Return what a driver makes of flags; the caller is in `tmp_path`."""
    train = FitConfig("ds", "out", replace(CONFIG, **config)).train
    return _Data(Dataset(Folder(str(tmp_path / "ds"))), META, train)


@pytest.fixture
def weights(tmp_path, monkeypatch):
    """The bytes of a file w.safetensors in the caller's folder, and its network's first tensor."""
    monkeypatch.chdir(tmp_path)
    torch.manual_seed(1)
    made = Tagger(data_of(tmp_path).architecture).backbone.state_dict()
    made = {name: tensor.contiguous() for name, tensor in made.items()}
    safetensors.torch.save_file(made, tmp_path / "w.safetensors")
    return (tmp_path / "w.safetensors").read_bytes(), next(iter(made.values()))


@pytest.mark.parametrize("place", ["path", "bucket"])
def test_workers_in_another_folder_get_what_the_driver_has_read(
    place, weights, s3, tmp_path, monkeypatch
):
    data, tensor = weights
    uri = "w.safetensors"
    if place == "bucket":
        s3.fill(["in/w.safetensors"], data)
        uri = s3.uri("in/w.safetensors")
    training_data = data_of(tmp_path, weights=uri)
    training_data.check_model()
    (tmp_path / "w.safetensors").unlink()
    s3.fill(["in/w.safetensors"], b"others")
    n_requests, sent = len(s3.requests), pickle.dumps(training_data)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    model = pickle.loads(sent).untrained_model()
    assert next(iter(model.backbone.state_dict().values())).equal(tensor)
    assert len(s3.requests) == n_requests
    assert list(training_data.weight_files.sha256) == ["w.safetensors"]


@pytest.mark.parametrize("flag", ["--weights", "--init", "--encoder"])
def test_what_is_not_there_is_told_with_its_flag(flag, s3, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    bucket = s3.uri("nowhere")
    for given, told in (("nowhere", str(tmp_path / "nowhere")), (bucket, bucket)):
        config = {flag.removeprefix("--"): (given,) if flag == "--encoder" else given}
        model = {"model": "probe"} if flag == "--encoder" else {}
        with pytest.raises(UsageError) as refusal:
            data_of(tmp_path, **config, **model).check_model()
        assert str(refusal.value).startswith(f"{flag} {told}: no ")


def test_weights_that_do_not_fit_are_told_by_their_uri(weights, s3, tmp_path):
    for name, data in (("torn.pth", weights[0][:100]), ("torn.safetensors", weights[0][:100])):
        s3.fill([f"in/{name}"], data)
        with pytest.raises(UsageError) as refusal:
            data_of(tmp_path, weights=s3.uri(f"in/{name}")).check_model()
        assert str(refusal.value).startswith(f"--weights {s3.uri(f'in/{name}')}: not a file of")
    with pytest.raises(UsageError, match=r"^--weights .*w.safetensors are for another network"):
        data_of(tmp_path, weights="w.safetensors", model="resnet18").check_model()


@pytest.mark.parametrize("flag", ["--init", "--encoder"])
@pytest.mark.parametrize("place", ["path", "bucket"])
def test_workers_elsewhere_find_the_model_that_the_driver_has_seen(
    flag, place, s3, tmp_path, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    write_model(tmp_path / "m")
    uri = s3.uri(f"{flag}/m") if place == "bucket" else "m"
    for path in (tmp_path / "m").iterdir():
        Folder(uri).write_bytes(path.name, path.read_bytes())
    begun = {"init": uri} if flag == "--init" else {"encoder": (uri,), "model": "probe"}
    training_data = data_of(tmp_path, **begun)
    training_data.check_model()
    sent = pickle.dumps(training_data)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    expected, found = (one.untrained_model() for one in (training_data, pickle.loads(sent)))
    own = found.state_dict()
    same = [own[name].equal(tensor) for name, tensor in expected.state_dict().items()]
    assert sum(same) > 10
    write_model(tmp_path / "other", seed=1)
    other = Folder(training_data.config.init or training_data.config.encoder[0])
    for path in (tmp_path / "other").iterdir():
        other.write_bytes(path.name, path.read_bytes())
    with pytest.raises(SpecMismatch, match="and this run is of resnet10t-"):
        pickle.loads(sent).untrained_model()


def test_of_a_folder_the_config_and_the_tensors_are_read(tmp_path):
    names = ("config.json", "model.safetensors", "pytorch_model.bin", "README.md")
    for name in names:
        (tmp_path / name).write_text(json.dumps(name))
    files = WeightFiles.read(str(tmp_path))
    assert sorted(files.files) == ["config.json", "model.safetensors"]
    with files.as_path() as path:
        assert Folder(path).read_json("config.json") == "config.json"
    beside = WeightFiles.read(str(tmp_path / "model.safetensors"))
    assert (beside.files, beside.main) == (files.files, "model.safetensors")


def test_words_are_no_files():
    assert [are_files(one) for one in (None, "imagenet", "none", "w.pth")] == [False] * 3 + [True]
