"""The full-band 1-D CNN: each filter spans all mel bands, and moves along time alone.

Dieleman and Schrauwen, "End-to-end learning for music audio", ICASSP 2014, sections 3 and 4.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from pipeline.models.networks.entry import Entry, benchmark_log_mel
from pipeline.models.networks.parts.layers import WithHead

N_MELS = 128
N_FILTERS, N_FRAMES, POOL = 32, 8, 4
"""Of both convolutions: filters, frames that each spans, and positions that a pool takes."""
N_HIDDEN = 100


class FullBandCnn(WithHead):
    """Two convolutions over time with max-pooling, then two dense layers on all that is left.

    The dense layers see every position, so their size depends on the window: 56 K parameters for
    93 frames (3 s, 32 ms apart) and 50 classes. There is no batch norm and no padding.

    Parameters
    ----------
    n_mels, n_frames
        Bands and frames of a window.
    n_classes
        Width of the last layer.
    dropout
        Between the dense layers; the paper has none.
    """

    def __init__(self, *, n_mels: int, n_frames: int, n_classes: int, dropout: float) -> None:
        super().__init__()
        n_left = n_left_of(n_left_of(n_frames))
        self.features = nn.Sequential(_convolved(n_mels), _convolved(N_FILTERS))
        self.head = nn.Sequential(
            nn.Linear(N_FILTERS * n_left, N_HIDDEN),
            nn.ReLU(),
            nn.Dropout(dropout),
            nn.Linear(N_HIDDEN, n_classes),
        )

    def forward(self, windows: Tensor) -> Tensor:
        """Return logits, `[n, n_classes]`, for log-mels, `[n, n_mels, n_frames]`."""
        logits: Tensor = self.head(torch.flatten(self.features(windows), 1))
        return logits


def n_left_of(n_frames: int) -> int:
    """Return how many positions a convolution and its pool leave of some frames."""
    return (n_frames - N_FRAMES + 1) // POOL


def _convolved(n_in: int) -> nn.Sequential:
    return nn.Sequential(nn.Conv1d(n_in, N_FILTERS, N_FRAMES), nn.ReLU(), nn.MaxPool1d(POOL))


NETWORKS = (
    Entry(
        "cnn1d-mel",
        lambda n_classes, shape, dropout: FullBandCnn(
            n_mels=shape[0], n_frames=shape[1], n_classes=n_classes, dropout=dropout
        ),
        smallest=(1, (POOL + N_FRAMES - 1) * POOL + N_FRAMES - 1),
        front_end=partial(benchmark_log_mel, N_MELS),
    ),
)
