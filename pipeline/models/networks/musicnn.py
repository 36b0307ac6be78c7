"""musicnn: convolutions with the shapes of timbre and rhythm, then dense layers over time.

Pons and Serra, "musicnn: pre-trained convolutional neural networks for music audio tagging", ISMIR
2019 (late-breaking); Pons et al., "End-to-end learning for music audio tagging at scale", ISMIR
2018, section 2. Widths are those for MagnaTagATune, as in Won et al. 2020, section 3.
"""

from __future__ import annotations

from functools import partial

import torch
from torch import Tensor, nn

from pipeline.models.networks.entry import Entry, benchmark_log_mel
from pipeline.models.networks.parts.layers import BatchNorm1d, BatchNorm2d, WithHead

N_MELS = 96

TIMBRE_BANDS = (67, 38)
"""Bands that a timbral filter spans: 0.7 and 0.4 of `N_MELS`, each over 7 frames."""
RHYTHM_FRAMES = (129, 65, 33)
"""Frames that a temporal filter spans, on the mean of all bands."""
N_TIMBRE, N_RHYTHM = 204, 51
"""Filters of each shape."""
WIDTH, N_HIDDEN = 64, 200
"""Channels of the middle layers, and units of the first dense layer."""


class Musicnn(WithHead):
    """Filters of five shapes, three residual 1-D convolutions, then mean and maximum over time.

    Parameters
    ----------
    n_classes
        Width of the last layer.
    dropout
        Before the last layer; the paper's is 0.5.
    """

    def __init__(self, *, n_classes: int, dropout: float) -> None:
        super().__init__()
        n_shapes = len(TIMBRE_BANDS) * N_TIMBRE + len(RHYTHM_FRAMES) * N_RHYTHM
        self.input_norm = BatchNorm2d(1)
        self.timbre = nn.ModuleList(_timbral(n_bands) for n_bands in TIMBRE_BANDS)
        self.rhythm = nn.ModuleList(_convolved(1, N_RHYTHM, n) for n in RHYTHM_FRAMES)
        self.middle = nn.ModuleList(_convolved(n, WIDTH, 7) for n in (n_shapes, WIDTH, WIDTH))
        self.dense = nn.Linear(2 * (n_shapes + 3 * WIDTH), N_HIDDEN)
        self.dense_norm = BatchNorm1d(N_HIDDEN)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(N_HIDDEN, n_classes)

    def forward(self, windows: Tensor) -> Tensor:
        """Return logits, `[n, n_classes]`, for log-mels, `[n, n_mels, n_frames]`."""
        steps = self._steps(self.input_norm(windows.unsqueeze(1)))
        pooled = torch.cat([steps.amax(dim=2), steps.mean(dim=2)], dim=1)
        hidden = torch.relu(self.dense_norm(self.dense(pooled)))
        logits: Tensor = self.head(self.dropout(hidden))
        return logits

    def _steps(self, image: Tensor) -> Tensor:
        """Return what is pooled over time, `[n, 753, n_frames]`, for `[n, 1, n_mels, n_frames]`."""
        of_bands = [filters(image).amax(dim=2) for filters in self.timbre]
        of_time = [filters(image.mean(dim=2)) for filters in self.rhythm]
        shapes = torch.cat([*of_bands, *of_time], dim=1)
        first = self.middle[0](shapes)
        second = self.middle[1](first) + first
        third = self.middle[2](second) + second
        return torch.cat([shapes, first, second, third], dim=1)


def _timbral(n_bands: int) -> nn.Sequential:
    """Return filters of `n_bands` x 7; they see every height, and no band beyond the edges."""
    return nn.Sequential(
        nn.Conv2d(1, N_TIMBRE, kernel_size=(n_bands, 7), padding=(0, 3)),
        BatchNorm2d(N_TIMBRE),
        nn.ReLU(),
    )


def _convolved(n_in: int, n_out: int, kernel: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Conv1d(n_in, n_out, kernel, padding=kernel // 2), BatchNorm1d(n_out), nn.ReLU()
    )


NETWORKS = (
    Entry(
        "musicnn",
        lambda n_classes, shape, dropout: Musicnn(n_classes=n_classes, dropout=dropout),
        smallest=(max(TIMBRE_BANDS), 1),
        front_end=partial(benchmark_log_mel, N_MELS),
        takes_any_length=True,
    ),
)
