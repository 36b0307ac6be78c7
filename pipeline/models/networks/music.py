"""Networks of the music tagging literature: windows of log-mel in, a logit per class out.

The papers' inputs are 4 to 30 s; ours are 1 to 3 s. Widths, depths and blocks are the papers';
pooling rounds up, so that no axis of a short window comes down to nothing.
"""

from __future__ import annotations

from itertools import pairwise

import torch
from torch import Tensor, nn

from pipeline.models.networks.entry import Entry
from pipeline.models.networks.parts.layers import BatchNorm1d, BatchNorm2d, ResidualBlock, WithHead


class Crnn(WithHead):
    """Convolutions, then a recurrent summary over time (Choi et al. 2017, section 2.3).

    Four 3x3 convolutions with batch norm and ELU, then two layers of GRU with 32 units, whose last
    state is classified. The paper's pools take bands and time down by 96 together, which leaves 15
    steps of 29 s but less than one of 1 s; here bands are pooled by 128 and time by 8, which leaves
    11 steps a second.

    Parameters
    ----------
    n_classes
        Width of the last layer.
    dropout
        After each pooling at a third, as the paper's 0.1 stands to the usual 0.3, and in full
        before the last layer.
    """

    def __init__(self, *, n_classes: int, dropout: float) -> None:
        super().__init__()
        widths = (1, 64, 128, 128, 128)
        pools = ((2, 2), (4, 2), (4, 2), (4, 1))
        self.input_norm = nn.BatchNorm2d(1)
        self.features = nn.Sequential(
            *(
                nn.Sequential(
                    nn.Conv2d(n_in, n_out, kernel_size=3, padding=1),
                    nn.BatchNorm2d(n_out),
                    nn.ELU(),
                    nn.MaxPool2d(pool, ceil_mode=True),
                    nn.Dropout(dropout / 3),
                )
                for n_in, n_out, pool in zip(widths[:-1], widths[1:], pools, strict=True)
            )
        )
        self.recurrent = nn.GRU(128, 32, num_layers=2, batch_first=True)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(32, n_classes)

    def forward(self, windows: Tensor) -> Tensor:
        """Return logits, `[n, n_classes]`, for log-mels, `[n, n_mels, n_frames]`."""
        maps = self.features(self.input_norm(windows.unsqueeze(1)))  # [n, 128, few, n_steps]
        steps = maps.amax(dim=2).transpose(1, 2)  # more than 128 bands leave more than one row
        self.recurrent.flatten_parameters()  # a deep copy, as of the running mean, scatters them
        with torch.autocast(steps.device.type, enabled=False):  # cuDNN's would be in float16
            states, _ = self.recurrent(steps.float())
        logits: Tensor = self.head(self.dropout(states[:, -1]))
        return logits


class ShortChunk(WithHead):
    """Seven 3x3 convolution blocks, then two dense layers (Won et al. 2020, section 3).

    Widths are the paper's: 128, 128, 256, 256, 256, 256, 512; each block halves both axes, and the
    largest value of what is left goes on. With `residual` the blocks are those of the paper's
    short-chunk ResNet: two convolutions, the first with stride 2, beside a convolved short cut.

    Parameters
    ----------
    n_classes
        Width of the last layer.
    dropout
        Between the dense layers; the paper's is 0.5.
    residual
        Whether blocks have a short cut.
    """

    def __init__(self, *, n_classes: int, dropout: float, residual: bool) -> None:
        super().__init__()
        widths = (1, 128, 128, 256, 256, 256, 256, 512)
        block = ResidualBlock if residual else _Block
        self.input_norm = BatchNorm2d(1)
        self.features = nn.Sequential(*(block(n_in, n_out) for n_in, n_out in pairwise(widths)))
        self.dense = nn.Linear(512, 512)
        self.dense_norm = BatchNorm1d(512)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(512, n_classes)

    def forward(self, windows: Tensor) -> Tensor:
        """Return logits, `[n, n_classes]`, for log-mels, `[n, n_mels, n_frames]`."""
        maps = self.features(self.input_norm(windows.unsqueeze(1)))
        largest = maps.amax(dim=(2, 3))
        hidden = torch.relu(self.dense_norm(self.dense(largest)))
        logits: Tensor = self.head(self.dropout(hidden))
        return logits

    def frames(self, windows: Tensor) -> Tensor:
        """Return what the head sees of each step, `[n, n_steps, 512]`, 128 frames apart."""
        maps = self.features(self.input_norm(windows.unsqueeze(1)))
        steps = maps.amax(dim=2).transpose(1, 2)  # [n, n_steps, 512]
        hidden = self.dense_norm(self.dense(steps).flatten(0, 1))
        active: Tensor = self.dropout(torch.relu(hidden))
        return active.reshape(-1, steps.shape[1], active.shape[1])


class _Block(nn.Sequential):
    def __init__(self, n_in: int, n_out: int) -> None:
        super().__init__(
            nn.Conv2d(n_in, n_out, kernel_size=3, padding=1),
            BatchNorm2d(n_out),
            nn.ReLU(),
            nn.MaxPool2d(2, ceil_mode=True),
        )


NETWORKS = (
    Entry(
        "crnn",
        lambda n_classes, shape, dropout: Crnn(n_classes=n_classes, dropout=dropout),
        takes_any_length=True,
    ),
    Entry(
        "shortchunk",
        lambda n_classes, shape, dropout: ShortChunk(
            n_classes=n_classes, dropout=dropout, residual=False
        ),
        takes_any_length=True,
    ),
    Entry(
        "shortchunk-res",
        lambda n_classes, shape, dropout: ShortChunk(
            n_classes=n_classes, dropout=dropout, residual=True
        ),
        takes_any_length=True,
    ),
)
