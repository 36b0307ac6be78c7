"""CED against the authors' own code.

`ced.npz` was made on 2026-11-28 by jimbozhang/hf_transformers_custom_model_ced (the code of the
hub's mispeech/ced-*; transformers 5.24.0, torchaudio 2.11.0, torch 2.11.0, CPU, float32): a
`CedForAudioClassification` of `SIZES` and 11 outputs, given `drawn` of its own state dict, heard
`sounds(16_000)` of 2 and of 10 s, one at a time, through its `CedFeatureExtractor`. It holds names
and shapes of its tensors, and of those of RicherMans/CED's `AudioTransformer` of the same sizes
(as on Zenodo), whose logits were the same; the inputs of the sigmoids (its "logits" are behind
them), and of the 2-s log-mel every eighth frame. The four published sizes were compared once, too:
logits of 0.9 to 1.1 deviation differed by 1.1e-6 at most.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

from pipeline.errors import UsageError
from pipeline.models.pretrained import ced
from pipeline.models.pretrained.ced import FAMILY
from tests.models.pretrained.drawn import drawn, shapes_of, sounds
from tests.models.pretrained.networks import check_engines

KEPT = np.load(Path(__file__).with_name("ced.npz"))
SIZES = {"width": 64, "depth": 2, "n_heads": 2}
SMALL = replace(FAMILY.variant("ced-tiny"), sizes=SIZES)


@pytest.fixture
def few_outputs(monkeypatch):
    """The family with as many outputs as the network that was compared."""
    family = replace(FAMILY, mids=FAMILY.mids[:11])
    monkeypatch.setattr(ced, "FAMILY", family)
    return family


@pytest.fixture
def network(tmp_path, few_outputs):
    path = tmp_path / "model.safetensors"
    safetensors.torch.save_file(drawn(shapes_of(KEPT["tensors"])), path)
    network = few_outputs.build(SMALL, 11, 0.2)
    network.load_state_dict(few_outputs.read(path, SMALL))
    return network.eval()


def mels(seconds: float) -> np.ndarray:
    return np.stack([FAMILY.input_spec.matrix(one) for one in sounds(16_000, seconds)])


def test_the_front_end_is_the_authors():
    """They clamp where the mel bands are made, we in the network: there it is of each window."""
    found = mels(2.0)
    clamped = np.maximum(found, found.max(axis=(1, 2), keepdims=True) - 120)
    np.testing.assert_allclose(clamped[:, :, ::8], KEPT["mel"], rtol=0, atol=1e-3)
    assert not np.array_equal(clamped[1], found[1])


@pytest.mark.parametrize("seconds", [2, 10])
def test_logits_are_the_authors(network, seconds):
    """At 10 s, as they were trained, and at 2 s, with the first positions; both in one batch."""
    expected = KEPT[f"logits_{seconds}s"]
    with torch.inference_mode():
        logits = network(torch.from_numpy(mels(seconds)))
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-3)
    assert (expected[0] - expected[1]).std() > 0.5
    assert (network.norm.eps, network.head[0].eps, network.init_bn.eps) == (1e-6, 1e-5, 1e-5)


def test_zenodo_s_file_and_the_hub_s_folder_hold_the_same_network(tmp_path, few_outputs):
    """Only the names differ; what is drawn by a name of Zenodo's is found under the hub's."""
    zenodo = drawn(shapes_of(KEPT["zenodo_tensors"]))
    assert "front_end.0.mel_scale.fb" in zenodo
    torch.save(zenodo, tmp_path / "audiotransformer_tiny_mAP_4814.pt")
    on_hub = {
        name if name.startswith("outputlayer.") else f"encoder.{name}": tensor
        for name, tensor in zenodo.items()
        if not name.startswith("front_end.")
    }
    on_hub = {name.replace("init_bn.1.", "init_bn."): one for name, one in on_hub.items()}
    assert list(on_hub) == list(shapes_of(KEPT["tensors"]))
    safetensors.torch.save_file(on_hub, tmp_path / "model.safetensors")
    first = few_outputs.read(tmp_path / "audiotransformer_tiny_mAP_4814.pt", SMALL)
    second = few_outputs.read(tmp_path, SMALL)
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_both_engines_at_a_shorter_window(network):
    check_engines(network, np.ascontiguousarray(mels(2.0)[:, :, :101]), width=64)


def test_the_longest_window_is_of_1012_frames(network):
    assert network(torch.zeros(1, 64, 1012)).shape == (1, 11)
    with pytest.raises(UsageError, match="at most 1012 frames"):
        network(torch.zeros(1, 64, 1013))


def test_a_file_of_another_size_is_refused_by_name(tmp_path):
    torch.save(drawn(shapes_of(KEPT["zenodo_tensors"])), tmp_path / "a.pt")
    with pytest.raises(UsageError, match=r"expected ced-tiny of ced \(model\.safetensors of"):
        FAMILY.read(tmp_path / "a.pt", FAMILY.variant("ced-tiny"))
