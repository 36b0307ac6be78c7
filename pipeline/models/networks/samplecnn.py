"""SampleCNN: 1-D convolutions of three samples, each followed by a pool of three.

Lee, Park, Kim and Nam, "Sample-level deep convolutional neural networks for music auto-tagging
using raw waveforms", SMC 2017, table 1; with squeeze-and-excitation Kim, Lee and Nam, "Sample-level
CNN architectures for music auto-tagging using raw waveforms", ICASSP 2018, section 2 (ReSE-2).
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from pipeline.models.networks.entry import Entry, benchmark_samples
from pipeline.models.networks.parts.layers import BatchNorm1d, MaxPool1d, WithHead

WIDTHS = (128, 128, 128, 256, 256, 256, 256, 256, 256, 512)
"""Channels of the blocks with kernels of three; a last one of 512 has a kernel of one."""
N_SAMPLES = 3**10
"""The papers' window, 59,049 samples, of which ten blocks leave one step."""


class SampleCnn(WithHead):
    """A convolution with a stride of three, nine blocks that pool by three, one of a single step.

    Of windows longer than `N_SAMPLES` the largest of the steps that are left goes on.

    Parameters
    ----------
    n_classes
        Width of the last layer.
    dropout
        Before the last layer; the papers' is 0.5.
    excited
        Whether blocks are residual, with squeeze-and-excitation, and a dense layer of 512 units
        stands before the last one.
    """

    def __init__(self, *, n_classes: int, dropout: float, excited: bool) -> None:
        super().__init__()
        block = _ExcitedBlock if excited else _Block
        self.features = nn.Sequential(
            block(1, WIDTHS[0], kernel=3, stride=3, pool=1),
            *(block(*sizes, kernel=3, stride=1, pool=3) for sizes in pairwise(WIDTHS)),
            block(WIDTHS[-1], WIDTHS[-1], kernel=1, stride=1, pool=1),
        )
        self.dense = _dense(WIDTHS[-1]) if excited else nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(WIDTHS[-1], n_classes)

    def forward(self, windows: Tensor) -> Tensor:
        """Return logits, `[n, n_classes]`, for samples, `[n, 1, n_samples]`."""
        steps = self.features(windows)
        logits: Tensor = self.head(self.dropout(self.dense(steps.amax(dim=2))))
        return logits


class _Block(nn.Sequential):
    """A convolution with batch norm, ReLU and max-pooling."""

    def __init__(self, n_in: int, n_out: int, *, kernel: int, stride: int, pool: int) -> None:
        super().__init__(
            nn.Conv1d(n_in, n_out, kernel, stride=stride, padding=kernel // 2),
            BatchNorm1d(n_out),
            nn.ReLU(),
            MaxPool1d(pool),
        )


class _ExcitedBlock(nn.Module):
    """Two convolutions, each channel weighted by a gate, beside a short cut; then max-pooling.

    The gate is squeeze-and-excitation: two dense layers on the means of all channels over time.
    """

    def __init__(self, n_in: int, n_out: int, *, kernel: int, stride: int, pool: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv1d(n_in, n_out, kernel, stride=stride, padding=kernel // 2),
            BatchNorm1d(n_out),
            nn.ReLU(),
            nn.Conv1d(n_out, n_out, kernel, padding=kernel // 2),
            BatchNorm1d(n_out),
        )
        self.gate = nn.Sequential(
            nn.Linear(n_out, n_out), nn.ReLU(), nn.Linear(n_out, n_out), nn.Sigmoid()
        )
        self.short_cut = (
            nn.Identity()
            if stride == 1 and n_in == n_out
            else nn.Sequential(
                nn.Conv1d(n_in, n_out, kernel, stride=stride, padding=kernel // 2),
                BatchNorm1d(n_out),
            )
        )
        self.pool = MaxPool1d(pool)

    def forward(self, steps: Tensor) -> Tensor:
        main = self.main(steps)
        weighted = main * self.gate(main.mean(dim=2)).unsqueeze(2)
        pooled: Tensor = self.pool(torch.relu(weighted + self.short_cut(steps)))
        return pooled


def _dense(width: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, width), BatchNorm1d(width), nn.ReLU())


NETWORKS = (
    Entry(
        "samplecnn",
        lambda n_classes, shape, dropout: SampleCnn(
            n_classes=n_classes, dropout=dropout, excited=False
        ),
        takes="samples",
        n_rows=1,
        front_end=benchmark_samples,
        takes_any_length=True,
    ),
    Entry(
        "samplecnn-se",
        lambda n_classes, shape, dropout: SampleCnn(
            n_classes=n_classes, dropout=dropout, excited=True
        ),
        takes="samples",
        n_rows=1,
        front_end=benchmark_samples,
        takes_any_length=True,
    ),
)
