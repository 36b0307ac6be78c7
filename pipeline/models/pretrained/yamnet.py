"""YAMNet: Google's MobileNet v1 on windows of a second, trained on AudioSet.

The network is that of Howard et al., "MobileNets: efficient convolutional neural networks for
mobile vision applications", 2017, table 1, on log-mels of one channel. Batch norms are within the
convolutions here: TFLite's file has them so, and those of Keras's file are put there when it is
read.

Plakal and Ellis, "YAMNet", https://github.com/tensorflow/models, research/audioset/yamnet.
"""

from __future__ import annotations

import itertools
from pathlib import Path

from torch import Tensor, nn
from torch.nn import functional

from pipeline.audio.spectra.filterbank import FilterBankInput, FilterBankSpec
from pipeline.audio.spectra.windows import WindowSpec
from pipeline.errors import UsageError
from pipeline.models.pretrained.family import TUNED_THRESHOLDS, Family, Variant, WeightsSource
from pipeline.models.pretrained.keras import read_keras
from pipeline.models.pretrained.panns import MOBILENET_BLOCKS
from pipeline.models.pretrained.tensors import empty_network, tensors_of
from pipeline.models.pretrained.tflite import read_tflite
from pipeline.selection.vocabulary import audioset_order

INPUT = FilterBankInput(
    FilterBankSpec(
        sample_rate_hz=16_000,
        frame_length=400,
        n_fft=512,
        hop=160,
        n_mels=64,
        f_min_hz=125.0,
        f_max_hz=7500.0,
        mel_scale="kaldi",
        window="hann_periodic",
        is_centred=False,
        power=1,
        logarithm="ln",
        offset=1e-3,
    )
)

_N_FRAMES = 96
_WINDOW_S = (400 + (_N_FRAMES - 1) * 160) / 16_000
"""The first frame is 25 ms, and each further one adds 10 ms: 0.975 s."""

_DROPPED = {
    "/m/05zppz",  # male speech
    "/m/02zsn",  # female speech
    "/t/dd00003",  # male singing
    "/t/dd00004",  # female singing
    "/t/dd00032",  # funny music
    "/m/04gy_2",  # battle cry
}
"""AudioSet's classes that YAMNet does not have; the others stand in AudioSet's order."""

_STEM_CHANNELS = 32
_N_FEATURES = MOBILENET_BLOCKS[-1][0]


class _Convolution(nn.Conv2d):
    """A 3x3 convolution with TensorFlow's padding: at stride 2, an even size pads behind alone."""

    def forward(self, maps: Tensor) -> Tensor:
        """Return `[n, channels, ceil(height / stride), ceil(width / stride)]`."""
        height, width = (
            (int(stride == 1 or size % 2 == 1), 1)
            for size, stride in zip(maps.shape[2:], self.stride, strict=True)
        )
        return super().forward(functional.pad(maps, (*width, *height)))


class YamNet(nn.Module):
    """MobileNet v1 on windows as images of one channel, time downwards as its authors have it."""

    def __init__(self, *, activation: type[nn.Module], n_outputs: int, dropout: float) -> None:
        super().__init__()
        channels = [_STEM_CHANNELS, *(n for n, _ in MOBILENET_BLOCKS)]
        blocks = [
            nn.Sequential(
                _Convolution(n_in, n_in, 3, stride, groups=n_in),
                activation(),
                nn.Conv2d(n_in, n_out, 1),
                activation(),
            )
            for (n_in, n_out), (_, stride) in zip(
                itertools.pairwise(channels), MOBILENET_BLOCKS, strict=True
            )
        ]
        self.features = nn.Sequential(_Convolution(1, _STEM_CHANNELS, 3, 2), activation(), *blocks)
        self.dropout = nn.Dropout(dropout)
        self.classifier = nn.Linear(_N_FEATURES, n_outputs)

    def forward(self, windows: Tensor) -> Tensor:
        """Return logits, `[n, n_outputs]`, for windows, `[n, n_rows, n_frames]`."""
        maps = self.features(windows.transpose(1, 2).unsqueeze(1))
        logits: Tensor = self.classifier(self.dropout(maps.mean(dim=(2, 3))))
        return logits

    def get_classifier(self) -> nn.Module:
        """Return the head, which sees the mean of the last maps over a window."""
        return self.classifier


def _build(variant: Variant, n_outputs: int, dropout: float) -> nn.Module:
    activation = nn.ReLU6 if variant.sizes["is_capped"] else nn.ReLU
    return YamNet(activation=activation, n_outputs=n_outputs, dropout=dropout)


def _read(path: Path, variant: Variant) -> dict[str, Tensor]:
    """Read TFLite's file, whose activations end at 6, or the float weights of Keras.

    Both hold convolutions and the head in the order in which they are run.
    """
    expected = FAMILY.expected(variant)
    reader = read_tflite if variant.sizes["is_capped"] else read_keras
    modules = empty_network(FAMILY, variant).named_modules()
    names = [name for name, layer in modules if hasattr(layer, "bias")]
    layers = reader(path, expected=expected)
    if len(layers) != len(names):
        found = f"{len(layers)} layers instead of {len(names)}"
        raise UsageError(f"weights {str(path)!r}: {found}; expected {expected}")
    tensors = {
        f"{name}.{kind}": tensor
        for name, layer in zip(names, layers, strict=True)
        for kind, tensor in zip(("weight", "bias"), layer, strict=True)
    }
    return tensors_of(FAMILY, variant, tensors, source=str(path))


_THRESHOLDS = {
    "cel": 0.012,
    "cla": 0.17,
    "flu": 0.39,
    "gac": 0.016,
    "gel": 0.0071,
    "org": 0.0056,
    "pia": 0.066,
    "sax": 0.056,
    "tru": 0.15,
    "vio": 0.051,
    "voi": 0.0016,
}
_SIBLINGS = "thresholds: those of yamnet, as nobody has tuned this one yet"

FAMILY = Family(
    name="yamnet",
    variants=(
        Variant(
            "yamnet",
            {"is_capped": True},
            WeightsSource(
                "https://storage.googleapis.com/download.tensorflow.org/models/tflite/task_library"
                "/audio_classification/android/lite-model_yamnet_classification_tflite_1.tflite",
                "10c95ea3eb9a7bb4cb8bddf6feb023250381008177ac162ce169694d05c317de",
                4_126_810,
            ),
            n_parameters=3_729_481,
            published_map=0.306,
            thresholds=_THRESHOLDS,
            threshold_source=TUNED_THRESHOLDS,
        ),
        Variant(
            "yamnet-float",
            {"is_capped": False},
            WeightsSource("https://storage.googleapis.com/audioset/yamnet.h5", None),
            n_parameters=3_729_481,
            published_map=0.306,
            thresholds=_THRESHOLDS,
            threshold_source=_SIBLINGS,
        ),
    ),
    input_spec=INPUT,
    windows=WindowSpec(_WINDOW_S, 0.48),
    mids=tuple(mid for mid in audioset_order() if mid not in _DROPPED),
    build=_build,
    read=_read,
    licence="Apache-2.0",
    home="https://github.com/tensorflow/models/tree/master/research/audioset/yamnet",
    takes_any_window=False,  # seen: a frame more, and all its scores are near 0
)
