"""PANNs against the authors' own code.

`panns.npz` was made on 2026-11-28 by qiuqiangkong/audioset_tagging_cnn (pytorch/models.py,
torchlibrosa 0.1.0, torch 2.11.0, CPU, float32): `Cnn14`, its blocks made narrow (`WIDTHS`), and
`MobileNetV1` as it is, each given `drawn` of its own state dict (but for the tensors of its front
end) and `sounds(32_000)`. It holds the names and shapes of all their tensors, the inputs of the
sigmoids, and of the log-mel every eighth frame. The same was done once with the whole `Cnn14`:
logits of 5.6 deviation differed by 1.0e-5.
"""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from pipeline.errors import UsageError
from pipeline.models.networks.registry import build_network
from pipeline.models.pretrained.panns import FAMILY
from tests.models.pretrained.drawn import drawn, shapes_of, sounds
from tests.models.pretrained.networks import check_engines

KEPT = np.load(Path(__file__).with_name("panns.npz"))
WIDTHS = (16, 16, 32, 32, 64, 64)
NARROW = replace(FAMILY.variant("cnn14"), sizes={"cnn14_widths": WIDTHS})
MOBILE = FAMILY.variant("mobilenetv1")
BOTH = pytest.mark.parametrize("variant", [NARROW, MOBILE], ids=["cnn14", "mobilenetv1"])


def published(folder: Path, variant) -> Path:
    """Write a file as the authors' are, front end and all."""
    path = folder / "Some_mAP=0.5.pth"
    tensors = drawn(shapes_of(KEPT[f"{variant.name}_tensors"]))
    assert any("logmel_extractor" in name for name in tensors)
    torch.save({"iteration": 1, "model": tensors}, path)
    return path


def read(folder: Path, variant) -> torch.nn.Module:
    network = FAMILY.build(variant, 527, 0.2)
    network.load_state_dict(FAMILY.read(published(folder, variant), variant))
    return network.eval()


@pytest.fixture(scope="module")
def mels():
    return np.stack([FAMILY.input_spec.matrix(samples) for samples in sounds(32_000)])


def test_the_front_end_is_the_authors(mels):
    np.testing.assert_allclose(mels[:, :, ::8], KEPT["mel"], rtol=0, atol=1e-3)


@BOTH
def test_logits_are_the_authors(tmp_path, mels, variant):
    expected = KEPT[f"{variant.name}_logits"]
    with torch.inference_mode():
        logits = read(tmp_path, variant)(torch.from_numpy(mels))
    np.testing.assert_allclose(logits, expected, rtol=0, atol=1e-3)
    assert (expected[0] - expected[1]).std() > 1


@BOTH
def test_both_engines_at_a_shorter_window(tmp_path, mels, variant):
    check_engines(
        read(tmp_path, variant),
        np.ascontiguousarray(mels[:, :, :33]),
        width=WIDTHS[-1] if variant is NARROW else 1024,
    )


def test_embeddings_are_as_wide_as_the_authors():
    with torch.device("meta"):
        network = FAMILY.build(FAMILY.variant("cnn14"), 527, 0.0)
    assert network.get_classifier().in_features == 2048


def test_windows_that_pooling_would_leave_nothing_of_are_refused():
    network = build_network("mobilenetv1", n_classes=3, input_shape=(64, 32), dropout=0.0)
    assert network.eval()(torch.zeros(1, 64, 32)).shape == (1, 3)
    with pytest.raises(UsageError, match=r"64 x 31; expected 64 x at least 32"):
        build_network("mobilenetv1", n_classes=3, input_shape=(64, 31), dropout=0.0)


def test_a_file_of_the_other_network_is_refused_by_name(tmp_path):
    with pytest.raises(UsageError) as told:
        FAMILY.read(published(tmp_path, MOBILE), FAMILY.variant("cnn14"))
    assert "expected cnn14 of panns (Cnn14_mAP=0.431.pth of https://zenodo.org/" in str(told.value)
    assert "\n" not in str(told.value)
    with pytest.raises(UsageError, match=r"a folder; expected a file, mobilenetv1 of panns \("):
        FAMILY.read(tmp_path, MOBILE)
