"""PANNs: convolutional taggers of AudioSet, CNN14 and the small MobileNetV1.

Kong, Cao, Iqbal, Wang, Wang and Plumbley, "PANNs: Large-scale pretrained audio neural networks for
audio pattern recognition", IEEE/ACM TASLP 28, 2020: sections II-C (CNN14), II-E (MobileNetV1).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.audio.spectra.filterbank import FilterBankInput, FilterBankSpec
from pipeline.audio.spectra.windows import WindowSpec
from pipeline.errors import UsageError
from pipeline.models.networks.parts.weights import read_weights
from pipeline.models.pretrained.family import Family, Variant, WeightsSource
from pipeline.models.pretrained.tensors import tensors_of
from pipeline.selection.vocabulary import audioset_order

N_MELS = 64

INPUT = FilterBankInput(
    FilterBankSpec(
        sample_rate_hz=32_000,
        frame_length=1024,
        n_fft=1024,
        hop=320,
        n_mels=N_MELS,
        f_min_hz=50.0,
        f_max_hz=14_000.0,
        mel_scale="slaney",
        equal_area=True,
        window="hann_periodic",
        is_centred=True,
        logarithm="db",
        floor=1e-10,
    )
)

CNN14_WIDTHS = (64, 128, 256, 512, 1024, 2048)
"""Channels of CNN14's six blocks, in order."""

MOBILENET_BLOCKS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *[(512, 1)] * 5,
    (1024, 2),
    (1024, 1),
)
"""Channels of MobileNetV1's separable blocks (Howard et al. 2017, table 1), and by how much each
makes the image smaller."""

_BLOCK_DROPOUT = 0.2  # behind each of CNN14's blocks, as its authors trained it
_FRONT_END = ("spectrogram_extractor.", "logmel_extractor.")  # the authors' files hold it, too


class PannsNetwork(nn.Module):
    """A convolutional network on time by mel bands, as all of PANNs are built.

    Parameters
    ----------
    features
        From an image, `[n, 1, n_frames, n_mels]`, to maps, `[n, width, fewer, fewer]`.
    width
        Channels of its maps, and width of the embedding.
    n_outputs
        Logits a window.
    dropout
        Before each of the two linear layers.
    """

    def __init__(self, features: nn.Module, width: int, n_outputs: int, dropout: float) -> None:
        super().__init__()
        self.bn0 = nn.BatchNorm1d(N_MELS)
        self.features = features
        self.dropout = nn.Dropout(dropout)
        self.fc1 = nn.Linear(width, width)
        self.fc_audioset = nn.Linear(width, n_outputs)

    def forward(self, windows: Tensor) -> Tensor:
        """Return logits, `[n, n_outputs]`, for mel bands in dB, `[n, n_mels, n_frames]`."""
        maps: Tensor = self.features(self.bn0(windows).transpose(1, 2).unsqueeze(1))
        over_time = maps.mean(dim=3)  # the bands' mean
        pooled = over_time.amax(dim=2) + over_time.mean(dim=2)
        embedding = torch.relu(self.fc1(self.dropout(pooled)))
        logits: Tensor = self.fc_audioset(self.dropout(embedding))
        return logits

    def frames(self, windows: Tensor) -> Tensor:
        """Return what the head sees of each step, `[n, n_steps, width]`, 32 frames apart.

        As the authors' `Cnn14_DecisionLevelAtt` has it: the largest and the mean of three steps.
        """
        maps: Tensor = self.features(self.bn0(windows).transpose(1, 2).unsqueeze(1))
        steps = maps.mean(dim=3)  # [n, width, n_steps]
        largest = functional.max_pool1d(steps, 3, stride=1, padding=1)
        around = largest + functional.avg_pool1d(steps, 3, stride=1, padding=1)
        embedding = torch.relu(self.fc1(self.dropout(around).transpose(1, 2)))
        kept: Tensor = self.dropout(embedding)
        return kept

    def get_classifier(self) -> nn.Module:
        """Return the last linear layer, which sees the embedding."""
        return self.fc_audioset


class ConvBlock(nn.Module):
    """Two 3x3 convolutions with batch norm and ReLU, then means of `pool` x `pool`."""

    def __init__(self, n_in: int, n_out: int, pool: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(n_in, n_out, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(n_out)
        self.conv2 = nn.Conv2d(n_out, n_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(n_out)
        self.pool = _mean_of(pool)
        self.dropout = nn.Dropout(_BLOCK_DROPOUT)

    def forward(self, image: Tensor) -> Tensor:
        """Return `[n, n_out, height / pool, width / pool]` for `[n, n_in, height, width]`."""
        image = torch.relu(self.bn1(self.conv1(image)))
        image = torch.relu(self.bn2(self.conv2(image)))
        pooled: Tensor = self.dropout(self.pool(image))
        return pooled


def cnn14(widths: Sequence[int], n_outputs: int, dropout: float) -> PannsNetwork:
    """Return a CNN14; all blocks but the last one make the image half as high and wide."""
    pools = [2] * (len(widths) - 1) + [1]
    ends = pairwise((1, *widths))
    blocks = [ConvBlock(*both, pool) for both, pool in zip(ends, pools, strict=True)]
    return PannsNetwork(nn.Sequential(*blocks), widths[-1], n_outputs, dropout)


def mobilenet_v1(share: float, n_outputs: int, dropout: float) -> PannsNetwork:
    """Return a MobileNetV1 with a share of its channels (Howard et al. 2017: "width multiplier").

    It becomes smaller by means of 2x2 where Howard's has strides.
    """
    first = round(32 * share)
    stem = nn.Sequential(
        nn.Conv2d(1, first, 3, padding=1, bias=False), _mean_of(2), nn.BatchNorm2d(first), nn.ReLU()
    )
    outs = [(round(width * share), pool) for width, pool in MOBILENET_BLOCKS]
    widths = [first, *(width for width, _ in outs)]
    blocks = [_separable(n_in, *out) for n_in, out in zip(widths, outs, strict=False)]
    return PannsNetwork(nn.Sequential(stem, *blocks), widths[-1], n_outputs, dropout)


def _separable(n_in: int, n_out: int, pool: int) -> nn.Sequential:
    """Return a 3x3 convolution of each channel, means, then a 1x1 one over the channels."""
    return nn.Sequential(
        nn.Conv2d(n_in, n_in, 3, padding=1, groups=n_in, bias=False),
        _mean_of(pool),
        nn.BatchNorm2d(n_in),
        nn.ReLU(),
        nn.Conv2d(n_in, n_out, 1, bias=False),
        nn.BatchNorm2d(n_out),
        nn.ReLU(),
    )


def _mean_of(pool: int) -> nn.Module:
    return nn.AvgPool2d(pool) if pool > 1 else nn.Identity()


def _build(variant: Variant, n_outputs: int, dropout: float) -> PannsNetwork:
    """Return a network of random weights; its sizes have `cnn14_widths` or `mobilenet_share`."""
    sizes = variant.sizes
    if "cnn14_widths" in sizes:
        return cnn14(sizes["cnn14_widths"], n_outputs, dropout)
    return mobilenet_v1(sizes["mobilenet_share"], n_outputs, dropout)


def _read(path: Path, variant: Variant) -> dict[str, Tensor]:
    """Return the tensors of an authors' .pth, `{"model": state dict}`; see `Family.read`."""
    if path.is_dir():
        expected = FAMILY.expected(variant)
        raise UsageError(f"weights {str(path)!r}: a folder; expected a file, {expected}")
    tensors = {
        re.sub(r"^conv_block(\d)", lambda found: f"features.{int(found[1]) - 1}", name): tensor
        for name, tensor in read_weights(str(path)).items()
        if not name.startswith(_FRONT_END)
    }
    return tensors_of(FAMILY, variant, tensors, source=str(path))


FAMILY = Family(
    name="panns",
    variants=(
        Variant(
            "cnn14",
            sizes={"cnn14_widths": CNN14_WIDTHS},
            source=WeightsSource(
                "https://zenodo.org/record/3987831/files/Cnn14_mAP%3D0.431.pth", None
            ),
            n_parameters=80_753_615,
            published_map=0.431,
        ),
        Variant(
            "mobilenetv1",
            sizes={"mobilenet_share": 1.0},
            source=WeightsSource(
                "https://zenodo.org/record/3987831/files/MobileNetV1_mAP%3D0.389.pth", None
            ),
            n_parameters=4_796_303,
            published_map=0.389,
        ),
    ),
    input_spec=INPUT,
    windows=WindowSpec(10.0, 10.0),
    mids=audioset_order(),
    build=_build,
    read=_read,
    licence="see Zenodo 3987831",
    home="https://zenodo.org/record/3987831",
    smallest=(N_MELS, 32),
)
