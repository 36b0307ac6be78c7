"""The features that trainings map are kept while anybody reads them, and deleted by the last."""

import pytest

from pipeline.flows.material import Material
from pipeline.learn.config import TrainConfig
from pipeline.store.dataset import Dataset
from pipeline.store.folder import Folder


@pytest.fixture
def material(tmp_path, monkeypatch):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    dataset = Dataset(Folder(str(tmp_path / "ds")))
    return Material(dataset, {"fingerprint": "sha256:0123456789abcdef0123"}, TrainConfig())


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
