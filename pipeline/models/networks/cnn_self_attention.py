"""CNN with self-attention: a residual CNN over log-mels, then a transformer encoder over time.

Won, Chun and Serra, "Toward interpretable music tagging with self-attention", 2019, sections 3 and
4, in the sizes of Won et al. 2020, "Evaluation of CNN-based automatic music tagging models".
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.models.networks.entry import Entry, benchmark_log_mel
from pipeline.models.networks.parts.layers import BatchNorm2d, ResidualBlock, WithHead

N_MELS = 128
WIDTHS = (128, 128, 256, 256, 256, 256, 256)
STRIDES = ((2, 2), (2, 2), (2, 2), (2, 1), (2, 1), (2, 1), (2, 1))
"""Bands are halved seven times, frames three times: 8 frames a step, which are 128 ms."""
N_LAYERS, N_HEADS, N_HIDDEN = 2, 8, 1024
"""Of the encoder; its width is that of the last block."""


class CnnSelfAttention(WithHead):
    """Seven residual blocks, two layers of self-attention, and the first token's state classified.

    The encoder is BERT's (Devlin et al. 2019): layer norms behind the sums, GELU, a pooler with
    tanh. It has no positions, and its first token is a constant, as in the authors' code.

    Parameters
    ----------
    n_classes
        Width of the last layer.
    dropout
        Before the last layer and of attention; 0.8 of it elsewhere in the encoder. The paper's are
        0.5 and 0.4.
    """

    first_token: Tensor

    def __init__(self, *, n_classes: int, dropout: float) -> None:
        super().__init__()
        width = WIDTHS[-1]
        sizes = zip(pairwise((1, *WIDTHS)), STRIDES, strict=True)
        self.input_norm = BatchNorm2d(1)
        self.features = nn.Sequential(
            *(ResidualBlock(n_in, n_out, stride) for (n_in, n_out), stride in sizes)
        )
        constant = np.random.RandomState(0).random_sample((1, 1, width)).astype(np.float32)
        self.register_buffer("first_token", torch.from_numpy(constant), persistent=False)
        self.encoder = nn.Sequential(*(_EncoderLayer(width, dropout) for _ in range(N_LAYERS)))
        self.pooler = nn.Linear(width, width)
        self.dropout = nn.Dropout(dropout)
        self.head = nn.Linear(width, n_classes)

    def forward(self, windows: Tensor) -> Tensor:
        """Return logits, `[n, n_classes]`, for log-mels, `[n, n_mels, n_frames]`."""
        maps = self.features(self.input_norm(windows.unsqueeze(1)))  # [n, width, few, n_steps]
        steps = maps.amax(dim=2).transpose(1, 2)  # more than 128 bands leave more than one row
        first = self.first_token.to(steps.dtype).expand(steps.shape[0], -1, -1)
        states = self.encoder(torch.cat([first, steps], dim=1))
        hidden = torch.tanh(self.pooler(states[:, 0]))
        logits: Tensor = self.head(self.dropout(hidden))
        return logits


class _EncoderLayer(nn.Module):
    """Self-attention and two dense layers, each added to its input and normalised."""

    def __init__(self, width: int, dropout: float) -> None:
        super().__init__()
        self.attention_dropout = dropout
        self.query, self.key, self.value, self.merge = (nn.Linear(width, width) for _ in range(4))
        self.attention_norm = nn.LayerNorm(width, eps=1e-12)
        self.dense = nn.Sequential(
            nn.Linear(width, N_HIDDEN), nn.GELU(), nn.Linear(N_HIDDEN, width)
        )
        self.dense_norm = nn.LayerNorm(width, eps=1e-12)
        self.dropout = nn.Dropout(0.8 * dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        """Return states, `[n, n_tokens, width]`, for tokens of the same shape."""
        query, key, value = (
            layer(tokens).unflatten(2, (N_HEADS, -1)).transpose(1, 2)
            for layer in (self.query, self.key, self.value)
        )  # [n, n_heads, n_tokens, width / n_heads]
        dropped = self.attention_dropout if self.training else 0.0
        mixed = functional.scaled_dot_product_attention(query, key, value, dropout_p=dropped)
        merged = self.merge(mixed.transpose(1, 2).flatten(2))
        tokens = self.attention_norm(tokens + self.dropout(merged))
        states: Tensor = self.dense_norm(tokens + self.dropout(self.dense(tokens)))
        return states


NETWORKS = (
    Entry(
        "cnn-sa",
        lambda n_classes, shape, dropout: CnnSelfAttention(n_classes=n_classes, dropout=dropout),
        front_end=partial(benchmark_log_mel, N_MELS),
        takes_any_length=True,
    ),
)
