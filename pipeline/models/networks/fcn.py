"""Fully convolutional networks (FCN): convolutions and max-pools down to one value a channel.

Choi, Fazekas and Sandler, "Automatic tagging using deep convolutional neural networks", ISMIR 2016.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise

from torch import Tensor, nn

from pipeline.audio.spectra.input_kinds import LogMelInput
from pipeline.audio.spectra.logmel import LogMelSpec
from pipeline.models.networks.entry import Entry, benchmark_log_mel
from pipeline.models.networks.parts.layers import BatchNorm2d, Sizes, WithHead, convolved_2d

N_MELS = 96

FCN4_WIDTHS = (128, 384, 768, 2048)
FCN4_POOLS = ((2, 4), (4, 5), (3, 8), (4, 8))
"""FCN-4 of Choi et al. 2016, table 1: 96 bands and 1,366 frames become one value."""

FCN5_WIDTHS = (64, 128, 128, 128, 64)
FCN5_POOLS = ((2, 4), (2, 4), (2, 4), (3, 5), (4, 4))
"""The FCN of Won et al. 2020, "Evaluation of CNN-based automatic music tagging models", section 3:
five blocks, 96 bands and 1,813 frames (29 s) become one value."""


class Fcn(WithHead):
    """3x3 convolutions with batch norm, ReLU and max-pooling, then one linear layer.

    At the papers' lengths the last block leaves one value a channel. Of longer windows the largest
    of what is left goes on; in shorter ones a pool takes all of an axis that it is larger than.

    Parameters
    ----------
    widths
        Channels of each block.
    pools
        Bands and frames that each block takes together.
    n_classes
        Width of the last layer.
    dropout
        Before the last layer; 0.5 in both papers.
    """

    def __init__(
        self,
        *,
        widths: tuple[int, ...],
        pools: tuple[Sizes, ...],
        n_classes: int,
        dropout: float,
    ) -> None:
        super().__init__()
        sizes = zip(pairwise((1, *widths)), pools, strict=True)
        self.input_norm = BatchNorm2d(1)
        self.features = nn.Sequential(
            *(convolved_2d(n_in, n_out, pool) for (n_in, n_out), pool in sizes)
        )
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(widths[-1], n_classes)

    def forward(self, windows: Tensor) -> Tensor:
        """Return logits, `[n, n_classes]`, for log-mels, `[n, n_mels, n_frames]`."""
        maps = self.features(self.input_norm(windows.unsqueeze(1)))
        logits: Tensor = self.head(self.dropout(maps.amax(dim=(2, 3))))
        return logits


def _built(
    widths: tuple[int, ...],
    pools: tuple[Sizes, ...],
    n_classes: int,
    shape: tuple[int, int],
    dropout: float,
) -> Fcn:
    return Fcn(widths=widths, pools=pools, n_classes=n_classes, dropout=dropout)


def _log_mel_12_khz(spec: LogMelSpec) -> LogMelInput:
    """Return the log-mel of Choi et al. 2016, section 3, whatever the dataset's own is."""
    return LogMelInput(LogMelSpec(12_000, 512, 256, N_MELS))


NETWORKS = (
    Entry(
        "fcn",
        partial(_built, FCN5_WIDTHS, FCN5_POOLS),
        front_end=partial(benchmark_log_mel, N_MELS),
        takes_any_length=True,
    ),
    Entry(
        "fcn4",
        partial(_built, FCN4_WIDTHS, FCN4_POOLS),
        front_end=_log_mel_12_khz,
        takes_any_length=True,
    ),
)
