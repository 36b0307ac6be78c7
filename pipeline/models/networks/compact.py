"""A small residual network with attention over time: the network of the starter.

It has 1.6 million parameters and takes some 0.3 billion products a window of two seconds. Its
blocks are those of He et al., "Deep residual learning for image recognition", 2016, figure 2. Its
sums over time are weighted, a class each, as in Ilse et al., "Attention-based deep multiple
instance learning", 2018, section 2.4: a note that fills a tenth of a window can decide for it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipeline.models.networks.entry import Entry
from pipeline.models.networks.parts.layers import WithHead

WIDTH = 32
"""Channels of the first convolution; the last block has eight times as many."""


class Compact(WithHead):
    """A 5x5 convolution, six residual blocks, then a weighted sum over time for each class.

    Parameters
    ----------
    n_classes
        Logits a window.
    dropout
        On the features that a step of time is classified by.
    width
        Channels of the first convolution.
    """

    head: nn.Linear

    def __init__(self, *, n_classes: int, dropout: float, width: int = WIDTH) -> None:
        super().__init__()
        plan = ((1, 1, 1), (1, 2, 2), (2, 2, 1), (2, 4, 2), (4, 4, 1), (4, 8, 2))
        n_features = 2 * 8 * width
        self.stem = nn.Sequential(
            nn.Conv2d(1, width, kernel_size=5, stride=2, padding=2, bias=False),
            nn.BatchNorm2d(width),
            nn.ReLU(),
        )
        self.blocks = nn.Sequential(
            *(_Block(n_in * width, n_out * width, stride) for n_in, n_out, stride in plan)
        )
        self.embedding = nn.Identity()
        self.dropout = nn.Dropout(dropout)
        self.attention = nn.Linear(n_features, n_classes)
        self.head = nn.Linear(n_features, n_classes)

    def forward(self, windows: Tensor) -> Tensor:
        """Return logits, `[n, n_classes]`, for log-mels, `[n, n_mels, n_frames]`."""
        maps = self.blocks(self.stem(windows.unsqueeze(1)))  # [n, 8 width, few bands, n_steps]
        features = torch.cat([maps.mean(dim=2), maps.amax(dim=2)], dim=1).transpose(1, 2)
        self.embedding(features.mean(dim=1))
        steps = self.dropout(features)
        weights = self.attention(steps).softmax(dim=1)
        logits: Tensor = (weights * self.head(steps)).sum(dim=1)
        return logits

    def embedding_layer(self) -> nn.Module:
        """Return the layer whose input is the embedding: the mean of the steps' features."""
        return self.embedding


class _Block(nn.Module):
    """Two 3x3 convolutions beside a short cut, which is a mean where they take larger steps."""

    def __init__(self, n_in: int, n_out: int, stride: int) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(n_in, n_out, kernel_size=3, stride=stride, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
            nn.ReLU(),
            nn.Conv2d(n_out, n_out, kernel_size=3, padding=1, bias=False),
            nn.BatchNorm2d(n_out),
        )
        self.short_cut = (
            nn.Identity()
            if stride == 1 and n_in == n_out
            else nn.Sequential(
                nn.AvgPool2d(stride, ceil_mode=True),
                nn.Conv2d(n_in, n_out, kernel_size=1, bias=False),
                nn.BatchNorm2d(n_out),
            )
        )

    def forward(self, maps: Tensor) -> Tensor:
        return torch.relu(self.main(maps) + self.short_cut(maps))


NETWORKS = (
    Entry(
        "compact",
        lambda n_classes, shape, dropout: Compact(n_classes=n_classes, dropout=dropout),
    ),
)
