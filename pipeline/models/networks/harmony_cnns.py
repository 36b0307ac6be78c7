"""The report's three CNNs: windows of raw samples, MFCCs or descriptors in, a logit per class out.

The report gives the raw network layer by layer; of the other two it gives the kind of blocks, the
input and the number of parameters, and the widths here are chosen to give that number.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise

from torch import Tensor, nn

from pipeline.audio.spectra.input_kinds import SamplesInput
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.models.networks.entry import Entry, levelled
from pipeline.models.networks.parts.layers import WithHead

MFCC_COLUMNS = 256
"""MFCCs of any window length are resized to this many columns, as the report does."""


class _Cnn(WithHead):
    """Blocks of convolutions, their average over what is left of the window, two linear layers."""

    features: nn.Module
    average: nn.Module
    head: nn.Module

    def forward(self, windows: Tensor) -> Tensor:
        """Return logits, `[n, n_classes]`, for windows in the form that the first block takes."""
        logits: Tensor = self.head(self.average(self.features(windows)).flatten(1))
        return logits


class RawCnn(_Cnn):
    """A 1-D CNN on raw samples (report, raw audio 1-D CNN): 180 K parameters for 11 classes.

    Windows are samples, `[n, 1, n_samples]`. Convolutions are not padded. Longer windows leave more
    columns to the average pooling at the end, so the number of parameters does not depend on the
    window.

    Parameters
    ----------
    n_classes
        Width of the last layer.
    dropout
        Between the linear layers.
    """

    def __init__(self, *, n_classes: int, dropout: float) -> None:
        super().__init__()
        self.features = nn.Sequential(
            *_raw_block(1, 32, kernel=440, stride=2),
            *_raw_block(32, 32, kernel=6),
            *_raw_block(32, 64, kernel=3),
            *_raw_block(64, 64, kernel=3),
            *_raw_block(64, 128, kernel=3),
            *_raw_block(128, 256, kernel=3),
        )
        self.average = nn.AdaptiveAvgPool1d(1)
        self.head = _head(256, 64, n_classes=n_classes, dropout=dropout)


class MfccCnn(_Cnn):
    """A 2-D CNN on MFCCs (report, MFCC CNN): 879 K parameters there, 877 K here.

    Four blocks of convolution, ReLU, batch norm and max-pool, then average pooling and two linear
    layers. Kernels are 3x3; 64, 128, 192 and 256 filters and 512 hidden units make the report's
    number.

    Parameters
    ----------
    n_classes
        Width of the last layer.
    dropout
        Between the linear layers; the report's is 0.2.
    """

    def __init__(self, *, n_classes: int, dropout: float) -> None:
        super().__init__()
        widths = (1, 64, 128, 192, 256)
        self.features = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(n_in, n_out, kernel_size=3, padding=1),
                    nn.ReLU(),
                    nn.BatchNorm2d(n_out),
                    nn.MaxPool2d(2),
                )
                for n_in, n_out in pairwise(widths)
            )
        )
        self.average = nn.AdaptiveAvgPool2d(1)
        self.head = _head(256, 512, n_classes=n_classes, dropout=dropout)

    def forward(self, windows: Tensor) -> Tensor:
        """Return logits, `[n, n_classes]`, for MFCCs, `[n, n_coefficients, n_frames]`."""
        image = windows.unsqueeze(1)
        if image.shape[-1] != MFCC_COLUMNS:
            image = nn.functional.interpolate(
                image, size=(image.shape[2], MFCC_COLUMNS), mode="bilinear", antialias=True
            )
        return super().forward(image)


class DescriptorCnn(_Cnn):
    """A 1-D CNN on descriptors (report, descriptor CNN): 114 K parameters there, 113 K here.

    Windows are `[n, n_rows, n_frames]`. The blocks of `MfccCnn` in one dimension; a descriptor is a
    channel, as descriptors that stand next to each other in the table have nothing more to do with
    each other than others.

    Parameters
    ----------
    n_rows
        Descriptors a frame; the report has 40.
    n_classes
        Width of the last layer.
    dropout
        Between the linear layers.
    """

    def __init__(self, *, n_rows: int, n_classes: int, dropout: float) -> None:
        super().__init__()
        widths = (n_rows, 64, 64, 128, 128)
        self.features = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv1d(n_in, n_out, kernel_size=3, padding=1),
                    nn.ReLU(),
                    nn.BatchNorm1d(n_out),
                    nn.MaxPool1d(2),
                )
                for n_in, n_out in pairwise(widths)
            )
        )
        self.average = nn.AdaptiveAvgPool1d(1)
        self.head = _head(128, 128, n_classes=n_classes, dropout=dropout)


def _raw_block(n_in: int, n_out: int, *, kernel: int, stride: int = 1) -> list[nn.Module]:
    return [
        nn.Conv1d(n_in, n_out, kernel_size=kernel, stride=stride),
        nn.ReLU(),
        nn.BatchNorm1d(n_out),
        nn.MaxPool1d(4),
    ]


def _head(n_in: int, n_hidden: int, *, n_classes: int, dropout: float) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(n_in, n_hidden), nn.ReLU(), nn.Dropout(dropout), nn.Linear(n_hidden, n_classes)
    )


def _samples(spec: LogMelSpec) -> SamplesInput:
    return SamplesInput(spec.sample_rate_hz, "window")


NETWORKS = (
    Entry(
        "cnn1d-raw",
        lambda n_classes, shape, dropout: RawCnn(n_classes=n_classes, dropout=dropout),
        takes="samples",
        smallest=(1, 14110),
        n_rows=1,
        front_end=_samples,
    ),
    Entry(
        "cnn2d-mfcc",
        lambda n_classes, shape, dropout: MfccCnn(n_classes=n_classes, dropout=dropout),
        takes="MFCCs",
        smallest=(16, 1),
        front_end=partial(levelled, "mfcc"),
    ),
    Entry(
        "cnn1d-descriptors",
        lambda n_classes, shape, dropout: DescriptorCnn(
            n_rows=shape[0], n_classes=n_classes, dropout=dropout
        ),
        takes="descriptors",
        smallest=(1, 16),
        front_end=partial(levelled, "descriptors"),
    ),
)
