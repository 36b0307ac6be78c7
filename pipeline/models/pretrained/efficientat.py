"""EfficientAT: MobileNetV3 taggers, distilled from transformers on AudioSet.

The networks are MobileNetV3-Large (Howard et al., "Searching for MobileNetV3", ICCV 2019) in
several widths, on log-mels of one channel. They differ from torchvision's, which they are built of
here, in the epsilon of batch norm, in the sigmoid of squeeze-excitation, and in the head's width.

Schmid, Koutini and Widmer, "Efficient large-scale audio tagging via transformer-to-CNN knowledge
distillation", ICASSP 2023.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path

from torch import Tensor, nn

from pipeline.audio.spectra.filterbank import FilterBankInput, FilterBankSpec
from pipeline.audio.spectra.windows import WindowSpec
from pipeline.models.networks.parts.weights import read_weights
from pipeline.models.pretrained.family import TUNED_THRESHOLDS, Family, Variant, WeightsSource
from pipeline.models.pretrained.tensors import tensors_of
from pipeline.selection.vocabulary import audioset_order

INPUT = FilterBankInput(
    FilterBankSpec(
        sample_rate_hz=32_000,
        frame_length=800,
        n_fft=1024,
        hop=320,
        n_mels=128,
        f_min_hz=0.0,
        f_max_hz=15_000.0,
        mel_scale="kaldi",
        window="hann_symmetric",
        is_centred=True,
        pre_emphasis=0.97,
        logarithm="ln",
        offset=1e-5,
        mean=-4.5,
        deviation=5.0,
    )
)

_RELU, _HARDSWISH = "RE", "HS"
_BLOCKS = (
    # channels in, kernel, expanded, out, squeeze-excitation, activation, stride
    (16, 3, 16, 16, False, _RELU, 1),
    (16, 3, 64, 24, False, _RELU, 2),
    (24, 3, 72, 24, False, _RELU, 1),
    (24, 5, 72, 40, True, _RELU, 2),
    (40, 5, 120, 40, True, _RELU, 1),
    (40, 5, 120, 40, True, _RELU, 1),
    (40, 3, 240, 80, False, _HARDSWISH, 2),
    (80, 3, 200, 80, False, _HARDSWISH, 1),
    (80, 3, 184, 80, False, _HARDSWISH, 1),
    (80, 3, 184, 80, False, _HARDSWISH, 1),
    (80, 3, 480, 112, True, _HARDSWISH, 1),
    (112, 3, 672, 112, True, _HARDSWISH, 1),
    (112, 5, 672, 160, True, _HARDSWISH, 2),
    (160, 5, 960, 160, True, _HARDSWISH, 1),
    (160, 5, 960, 160, True, _HARDSWISH, 1),
)
"""MobileNetV3-Large at width 1: table 1 of its paper."""
_LAST_CHANNELS = 1280


class MobileNet(nn.Module):
    """MobileNetV3-Large on windows as images of one channel.

    Parameters
    ----------
    width
        Channels as a share of the paper's, rounded to multiples of 8.
    """

    def __init__(self, *, width: float, n_outputs: int, dropout: float) -> None:
        super().__init__()
        from torchvision.models import mobilenetv3  # here: only who builds one waits for it
        from torchvision.ops import SqueezeExcitation

        block = partial(
            mobilenetv3.InvertedResidual,
            se_layer=partial(SqueezeExcitation, scale_activation=nn.Sigmoid),
        )
        adjusted = mobilenetv3.InvertedResidualConfig.adjust_channels
        network = mobilenetv3.MobileNetV3(
            [mobilenetv3.InvertedResidualConfig(*row, 1, width) for row in _BLOCKS],
            adjusted(_LAST_CHANNELS, width),
            num_classes=n_outputs,
            block=block,
            norm_layer=partial(nn.BatchNorm2d, eps=0.001, momentum=0.01),
            dropout=dropout,
        )
        stem = network.features[0][0]
        network.features[0][0] = nn.Conv2d(
            1, stem.out_channels, stem.kernel_size, stem.stride, stem.padding, bias=False
        )
        self.features, self.classifier = network.features, network.classifier

    def forward(self, windows: Tensor) -> Tensor:
        """Return logits, `[n, n_outputs]`, for windows, `[n, n_rows, n_frames]`."""
        maps = self.features(windows.unsqueeze(1))
        logits: Tensor = self.classifier(maps.mean(dim=(2, 3)))
        return logits

    def frames(self, windows: Tensor) -> Tensor:
        """Return what the head sees of each step, `[n, n_steps, width]`, 32 frames apart."""
        maps: Tensor = self.features(windows.unsqueeze(1))
        return maps.mean(dim=2).transpose(1, 2)

    def get_classifier(self) -> nn.Module:
        """Return the head: two linear layers."""
        head: nn.Module = self.classifier
        return head

    def embedding_layer(self) -> nn.Module:
        """Return the head's first layer: it sees the mean of the last maps over a window."""
        layer: nn.Module = self.classifier[0]
        return layer


def _build(variant: Variant, n_outputs: int, dropout: float) -> nn.Module:
    return MobileNet(width=variant.sizes["width"], n_outputs=n_outputs, dropout=dropout)


_SQUEEZE = re.compile(r"fc[12]\.weight$")


def _read(path: Path, variant: Variant) -> dict[str, Tensor]:
    """Read a plain state dict: its squeeze-excitation has linear layers, torchvision's is 1x1."""
    weights = {_renamed(name): tensor for name, tensor in read_weights(str(path)).items()}
    for name in filter(_SQUEEZE.search, weights):
        weights[name] = weights[name][:, :, None, None]
    return tensors_of(FAMILY, variant, weights, source=str(path))


def _renamed(name: str) -> str:
    """Return torchvision's name of one of the authors' tensors.

    >>> _renamed("features.4.block.2.conc_se_layers.0.fc1.bias"), _renamed("classifier.5.bias")
    ('features.4.block.2.fc1.bias', 'classifier.3.bias')
    """
    layers = {"classifier.2.": "classifier.0.", "classifier.5.": "classifier.3."}
    for theirs, ours in layers.items():
        name = name.replace(theirs, ours)
    return name.replace("conc_se_layers.0.", "")


_THRESHOLDS = {
    "cel": 0.014,
    "cla": 0.12,
    "flu": 0.46,
    "gac": 0.032,
    "gel": 0.011,
    "org": 0.055,
    "pia": 0.19,
    "sax": 0.051,
    "tru": 0.18,
    "vio": 0.029,
    "voi": 0.0029,
}
_SIBLINGS = "thresholds: those of mn04, as nobody has tuned this one yet"

_RELEASE = "https://github.com/fschmid56/EfficientAT/releases/download/v0.0.1"

FAMILY = Family(
    name="efficientat",
    variants=(
        Variant(
            "mn04",
            {"width": 0.4},
            WeightsSource(
                f"{_RELEASE}/mn04_as_mAP_432.pt",
                "899a8c6217063f6941793102a2780b3dd788ab11fce468d9cf5f0577c453321c",
                4_066_513,
            ),
            n_parameters=983_599,
            published_map=0.432,
            thresholds=_THRESHOLDS,
            threshold_source=TUNED_THRESHOLDS,
        ),
        Variant(
            "mn10",
            {"width": 1.0},
            WeightsSource(f"{_RELEASE}/mn10_as_mAP_471.pt", None),
            n_parameters=4_876_831,
            published_map=0.471,
            thresholds=_THRESHOLDS,
            threshold_source=_SIBLINGS,
        ),
        Variant(
            "mn40",
            {"width": 4.0},
            WeightsSource(f"{_RELEASE}/mn40_as_mAP_484.pt", None),
            n_parameters=68_427_303,
            published_map=0.484,
            thresholds=_THRESHOLDS,
            threshold_source=_SIBLINGS,
        ),
    ),
    input_spec=INPUT,
    windows=WindowSpec(10.0, 10.0),
    mids=audioset_order(),
    build=_build,
    read=_read,
    licence="MIT",
    home="https://github.com/fschmid56/EfficientAT",
)
