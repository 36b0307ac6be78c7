"""Layers that the networks of music tagging are built of: batch norms, pooling, blocks.

Windows may be shorter than those that a paper trained on, down to one frame; so a pool is never
larger than what it pools, and a batch norm takes a batch of one value per channel.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

Sizes = tuple[int, int]
"""Bands and frames: of a kernel, a stride or a pool."""


class _OneValueNorm(nn.modules.batchnorm._BatchNorm):
    """Batch norm that takes its running statistics where a batch is one value per channel.

    One value has no deviation: the last batch of an epoch can be one window, and of a 1 s window
    the last block of a network may leave one value per channel.
    """

    def forward(self, values: Tensor) -> Tensor:
        if self.training and values.numel() == self.num_features:
            return functional.batch_norm(
                values, self.running_mean, self.running_var, self.weight, self.bias, eps=self.eps
            )
        return super().forward(values)


class BatchNorm1d(_OneValueNorm, nn.BatchNorm1d):
    """Batch norm over `[n, n_channels]` or `[n, n_channels, n_steps]`."""


class BatchNorm2d(_OneValueNorm, nn.BatchNorm2d):
    """Batch norm over maps, `[n, n_channels, height, width]`."""


class WithHead(nn.Module):
    """A network whose `head` gives the logits: what is made anew for other classes."""

    head: nn.Module

    def get_classifier(self) -> nn.Module:
        """Return the head, under the name that timm gives to this question."""
        return self.head


class MaxPool1d(nn.Module):
    """The largest of `size` steps, or of all of them where there are fewer; the rest is dropped."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def forward(self, steps: Tensor) -> Tensor:
        """Return `[n, n_channels, n_steps / size]` for `[n, n_channels, n_steps]`."""
        return functional.max_pool1d(steps, min(self.size, int(steps.shape[2])))


class MaxPool2d(nn.Module):
    """The largest of an area of maps, or of an axis's whole length where that is shorter."""

    def __init__(self, size: Sizes) -> None:
        super().__init__()
        self.size = size

    def forward(self, maps: Tensor) -> Tensor:
        """Return `[n, n_channels, height / size[0], width / size[1]]`, rounded down."""
        height, width = (
            min(most, int(n)) for most, n in zip(self.size, maps.shape[2:], strict=True)
        )
        return functional.max_pool2d(maps, (height, width))


def convolved_2d(n_in: int, n_out: int, pool: Sizes) -> nn.Sequential:
    """Return a 3x3 convolution with batch norm, ReLU and max-pooling of `pool`."""
    return nn.Sequential(
        nn.Conv2d(n_in, n_out, kernel_size=3, padding=1),
        BatchNorm2d(n_out),
        nn.ReLU(),
        MaxPool2d(pool),
    )


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions, the first with a stride, beside a convolved short cut."""

    def __init__(self, n_in: int, n_out: int, stride: Sizes = (2, 2)) -> None:
        super().__init__()
        self.main = nn.Sequential(
            nn.Conv2d(n_in, n_out, kernel_size=3, stride=stride, padding=1),
            BatchNorm2d(n_out),
            nn.ReLU(),
            nn.Conv2d(n_out, n_out, kernel_size=3, padding=1),
            BatchNorm2d(n_out),
        )
        self.short_cut = nn.Sequential(
            nn.Conv2d(n_in, n_out, kernel_size=3, stride=stride, padding=1), BatchNorm2d(n_out)
        )

    def forward(self, maps: Tensor) -> Tensor:
        """Return maps, `[n, n_out, height / stride, width / stride]`, rounded up."""
        return torch.relu(self.main(maps) + self.short_cut(maps))
