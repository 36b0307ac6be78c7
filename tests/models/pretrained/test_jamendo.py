"""musicnn and FCN of the music tagging benchmark: files by their authors' names give their numbers.

The forward passes below are typed from the layers that the authors name in training/model.py and
modules.py of github.com/minzwon/sota-music-tagging-models, on tensors by their names; the front end
is torchaudio's. The published files themselves could not be had here.
"""

from pathlib import Path

import numpy as np
import pytest
import torch
import torchaudio
from torch.nn import functional

from jobs import import_model
from pipeline.errors import UsageError
from pipeline.models.pretrained import fcn, jamendo, musicnn
from pipeline.selection.vocabulary import audioset_names, shipped_vocabulary
from tests.models.pretrained.drawn import drawn, sounds

N_TAGS = 50
FCN_WIDTHS, FCN_POOLS = (1, 64, 128, 128, 128, 64), ((2, 4), (2, 4), (2, 4), (3, 5), (4, 4))


def norm(name, n):
    sizes = dict.fromkeys(("weight", "bias", "running_mean", "running_var"), (n,))
    return {f"{name}.{key}": size for key, size in (sizes | {"num_batches_tracked": ()}).items()}


def convolution(name, n_in, n_out, *kernel):
    return {
        f"{name}.conv.weight": (n_out, n_in, *kernel),
        f"{name}.conv.bias": (n_out,),
    } | norm(f"{name}.bn", n_out)


def dense(name, n_in, n_out):
    return {f"{name}.weight": (n_out, n_in), f"{name}.bias": (n_out,)}


FRONT_END = {"spec.spectrogram.window": (512,), "spec.mel_scale.fb": (257, 96)}
FCN = FRONT_END | norm("spec_bn", 1)
for k, ends in enumerate(zip(FCN_WIDTHS[:-1], FCN_WIDTHS[1:], strict=True), 1):
    FCN |= convolution(f"layer{k}", *ends, 3, 3)
FCN |= dense("dense", 64, N_TAGS)
MUSICNN = FRONT_END | norm("spec_bn", 1)
for k, kernel in enumerate(((67, 7), (38, 7))):
    MUSICNN |= convolution(f"layers.{k}", 1, 204, *kernel)
for k, length in enumerate((129, 65, 33), 2):
    MUSICNN |= convolution(f"layers.{k}", 1, 51, length)
for k, n_in in enumerate((561, 64, 64), 1):
    MUSICNN |= convolution(f"layer{k}", n_in, 64, 7)
MUSICNN |= dense("dense1", 1506, 200) | norm("bn", 200) | dense("dense2", 200, N_TAGS)


def normed(tensors, name, x):
    mean, variance, weight, bias = (
        tensors[f"{name}.{key}"] for key in ("running_mean", "running_var", "weight", "bias")
    )
    return functional.batch_norm(x, mean, variance, weight, bias)


def convolved(tensors, name, x):
    weight, bias = tensors[f"{name}.conv.weight"], tensors[f"{name}.conv.bias"]
    if weight.ndim == 3:
        y = functional.conv1d(x, weight, bias, padding=weight.shape[2] // 2)
    else:
        rows = weight.shape[2] // 2 if weight.shape[2] == 3 else 0
        y = functional.conv2d(x, weight, bias, padding=(rows, weight.shape[3] // 2))
    return functional.relu(normed(tensors, f"{name}.bn", y))


def linear(tensors, name, x):
    return functional.linear(x, tensors[f"{name}.weight"], tensors[f"{name}.bias"])


def fcn_logits(tensors, image):
    maps = normed(tensors, "spec_bn", image)
    for k, pool in enumerate(FCN_POOLS, 1):
        maps = functional.max_pool2d(convolved(tensors, f"layer{k}", maps), pool)
    assert maps.shape[2:] == (1, 1)
    return linear(tensors, "dense", maps.flatten(1))


def musicnn_logits(tensors, image):
    image = normed(tensors, "spec_bn", image)
    shapes = [convolved(tensors, f"layers.{k}", image).amax(dim=2) for k in (0, 1)]
    shapes += [convolved(tensors, f"layers.{k}", image.mean(dim=2)) for k in (2, 3, 4)]
    joined = torch.cat(shapes, dim=1)
    one = convolved(tensors, "layer1", joined)
    two = convolved(tensors, "layer2", one) + one
    three = convolved(tensors, "layer3", two) + two
    steps = torch.cat([joined, one, two, three], dim=1)
    pooled = torch.cat([steps.amax(dim=2), steps.mean(dim=2)], dim=1)
    hidden = functional.relu(normed(tensors, "bn", linear(tensors, "dense1", pooled)))
    return linear(tensors, "dense2", hidden)


BOTH = pytest.mark.parametrize(
    ("family", "shapes", "logits_of"),
    [(musicnn.FAMILY, MUSICNN, musicnn_logits), (fcn.FAMILY, FCN, fcn_logits)],
    ids=["musicnn", "fcn"],
)


def published(folder: Path, shapes) -> tuple[Path, dict[str, torch.Tensor]]:
    """Write a file as the authors' are: a state dict, front end and all."""
    tensors = drawn(shapes)
    tensors["spec_bn.running_mean"], tensors["spec_bn.running_var"] = (
        torch.tensor([-20.0]),
        torch.tensor([400.0]),
    )
    torch.save(tensors, folder / "best_model.pth")
    return folder / "best_model.pth", tensors


def authors_mels(samples):
    spectrum = torchaudio.transforms.MelSpectrogram(16_000, n_fft=512, f_max=8000.0, n_mels=96)
    return torchaudio.transforms.AmplitudeToDB()(spectrum(torch.from_numpy(samples)))


@pytest.fixture(scope="module")
def heard():
    """Two sounds of 29 s."""
    return np.tile(sounds(16_000, seconds=2.9), 10)


def test_the_front_end_is_torchaudios(heard):
    ours = np.stack([jamendo.INPUT.matrix(samples) for samples in heard[:, :48_000]])
    np.testing.assert_allclose(ours, authors_mels(heard[:, :48_000]), rtol=0, atol=1e-2)  # dB


@BOTH
def test_logits_are_those_of_the_authors_layers(tmp_path, heard, family, shapes, logits_of):
    path, tensors = published(tmp_path, shapes)
    (variant,) = family.variants
    network = family.build(variant, N_TAGS, 0.5)
    network.load_state_dict(family.read(path, variant))
    mels = authors_mels(heard[:, : int(16_000 * family.windows.window_s)])
    with torch.inference_mode():
        expected = logits_of(tensors, mels.unsqueeze(1))
        found = network.eval()(mels)
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
    assert (expected[0] - expected[1]).std() > 0.1


def test_tags_stand_in_the_order_of_a_label_binarizer():
    """The authors' `LabelBinarizer` sorts; an AudioSet id stands for a label of that meaning."""
    assert len(jamendo.TAGS) == len(set(jamendo.IDS)) == N_TAGS
    assert list(jamendo.TAGS) == sorted(jamendo.TAGS)
    by_tag = dict(zip(jamendo.TAGS, jamendo.IDS, strict=True))
    names = {tag: audioset_names().get(mid) for tag, mid in by_tag.items()}
    assert names["instrument---violin"] == "Violin, fiddle"
    assert names["genre---newage"] == "New-age music"
    assert by_tag["mood/theme---film"] == "mood/theme---film"


def test_an_import_has_the_instruments_or_all_tags(tmp_path, capsys):
    path, _ = published(tmp_path, MUSICNN)
    base = ["--family", "musicnn", "--weights", str(path), "--out"]
    assert import_model.main([*base, str(tmp_path / "model")]) == 0
    codes = shipped_vocabulary("jamendo").codes
    assert len(codes) == 13 and {"gac", "gel", "pia", "vio", "voice"} <= {*codes}
    assert import_model.main([*base, str(tmp_path / "all"), "--classes", "all"]) == 0
    assert import_model.main([*base, str(tmp_path / "no"), "--classes", "instruments"]) == 2
    assert "musicnn-jamendo has no output for cel" in capsys.readouterr().err


def test_a_file_of_another_network_is_refused(tmp_path):
    path, _ = published(tmp_path, FCN)
    (variant,) = musicnn.FAMILY.variants
    with pytest.raises(UsageError, match=r"expected musicnn-jamendo of musicnn \(best_model.pth"):
        musicnn.FAMILY.read(path, variant)
