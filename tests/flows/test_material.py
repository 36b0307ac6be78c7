"""The features that trainings map are kept while anybody reads them, and deleted by the last."""

import pytest

from pipeline.errors import StoreError, UsageError
from pipeline.flows.material import Material
from pipeline.learn.config import TrainConfig
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder
from tests.flows.conftest import mounted


@pytest.fixture
def material(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dataset = Dataset(Folder(str(tmp_path / "ds")))
    return Material(dataset, {"fingerprint": "sha256:0123456789abcdef0123"}, TrainConfig())


def test_a_full_disk_is_one_clear_line(dataset, tmp_path, monkeypatch):
    with mounted(tmp_path / "disk", "1m") as disk:
        monkeypatch.setattr("tempfile.tempdir", str(disk))
        stored = Dataset.open(str(dataset))
        material = Material(stored, stored.meta(), TrainConfig())
        with pytest.raises(StoreError, match=rf"^cannot write {disk}/.* free some space"):
            with material.kept():
                material.train_set()
        assert not list(disk.rglob("*.tmp"))


def test_a_folder_that_cannot_be_made_is_one_clear_line(material, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path / "file"))
    with pytest.raises(UsageError, match=r"that is a file, or lies below one"), material.kept():
        pass


def test_the_last_one_out_deletes_the_cache(material, tmp_path):
    with material.kept():
        material.cache.mkdir(parents=True)
        with material.kept():
            pass
        assert material.cache.is_dir()
    assert not material.cache.exists()
    assert material.cache.is_relative_to(tmp_path)


def test_what_failed_or_goes_on_leaves_it_to_the_next(material):
    with pytest.raises(ValueError), material.kept():
        material.cache.mkdir(parents=True)
        raise ValueError
    assert material.cache.is_dir()
    with material.kept(is_last=False):
        pass
    assert material.cache.is_dir()


@pytest.mark.parametrize("model", ["cnn2d-mfcc", "cnn1d-descriptors"])
def test_features_are_not_mixed_as_sounds(dataset, model):
    stored = Dataset.open(str(dataset))
    with pytest.raises(UsageError, match=r"--sampling dynamic: .* do not add up"):
        Material(stored, stored.meta(), TrainConfig(model=model, sampling="dynamic"))
