"""The Audio Spectrogram Transformer: from 128 mel bands, 100 frames a second, to logits.

The transformer is Hugging Face's `ASTModel`, from scratch or from the local files of a published
one (`ast_weights`). `transformers` is imported only when one is built; without it, all other
networks work.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.audio.spectra.kaldi import KaldiInput
from pipeline.models.networks.entry import Entry
from pipeline.models.networks.parts.ast_weights import (
    read_published,
    take_over_head,
    transformers_here,
)

N_SPECIAL = 2
"""The class token and the distillation token stand before the patches and have positions too."""

Grid = tuple[int, int]
"""Patches along mel bands and along time."""


class Ast(nn.Module):
    """An AST with a head of its own (Gong et al. 2021): 86.2 M parameters at 10 s, 85.3 M at 1 s.

    Patches of 16x16 with stride 10, embedded in 768 values, twelve layers of twelve attention
    heads; the mean of the class and the distillation token is normalised and classified.

    Parameters
    ----------
    encoder
        Hugging Face's `ASTModel`.
    n_classes
        Width of the head.
    dropout
        Before the last linear layer.
    """

    n_kept: int = 0
    """Classes that began from rows of a published classifier."""

    def __init__(self, encoder: Any, *, n_classes: int, dropout: float) -> None:
        super().__init__()
        self.encoder = encoder
        width = encoder.config.hidden_size
        self.head = nn.Sequential(
            nn.LayerNorm(width, eps=encoder.config.layer_norm_eps),
            nn.Dropout(dropout),
            nn.Linear(width, n_classes),
        )

    def forward(self, windows: Tensor) -> Tensor:
        """Return logits, `[n, n_classes]`, for scaled mel bands, `[n, n_mels, n_frames]`."""
        pooled = self.encoder(windows.transpose(1, 2)).pooler_output
        logits: Tensor = self.head(pooled)
        return logits

    def get_classifier(self) -> nn.Module:
        """Return the head, under the name that timm gives to this question."""
        return self.head


def build_ast(
    *,
    n_classes: int,
    input_shape: tuple[int, int],
    dropout: float,
    weights: str | None = None,
    label_ids: Sequence[Sequence[str]] = (),
    sizes: Mapping[str, Any] | None = None,
) -> Ast:
    """Return an AST for windows of one shape.

    Parameters
    ----------
    n_classes
        Width of the head.
    input_shape
        Mel bands and frames of a window; 1 s is `(128, 98)`, AudioSet's 10 s `(128, 1024)`.
    dropout
        Before the last linear layer.
    weights
        The folder or the file of a published AST; None is from scratch.
    label_ids
        AudioSet's ids of every class: their rows of a published classifier are where the head
        begins. Without them, or for a classifier of other labels, the head's last layer is new.
    sizes
        Of a network from scratch: settings of `ASTConfig` that are not its defaults.

    Returns
    -------
    Ast
        In training mode. Its positions are the pretrained ones, fitted to the shape.

    Raises
    ------
    UsageError
        Where transformers is missing, the files hold no AST, or its labels are in another order.
    """
    if weights is None:
        transformers = transformers_here()
        config = transformers.ASTConfig(
            num_mel_bins=input_shape[0], max_length=input_shape[1], **(sizes or {})
        )
        return Ast(transformers.ASTModel(config).train(), n_classes=n_classes, dropout=dropout)
    encoder, classifier = read_published(weights)
    labels = encoder.config.id2label
    _fit_to(encoder, input_shape)
    network = Ast(encoder.train(), n_classes=n_classes, dropout=dropout)
    if classifier is not None:
        network.n_kept = take_over_head(network.head, classifier, label_ids, labels=labels)
    return network


def grid_of(config: Any, input_shape: tuple[int, int]) -> Grid:
    """Return how many patches fit along bands and time.

    Parameters
    ----------
    config
        An `ASTConfig`: patch size and strides.
    input_shape
        Mel bands and frames of a window.
    """
    n_rows, n_columns = input_shape
    return (
        (n_rows - config.patch_size) // config.frequency_stride + 1,
        (n_columns - config.patch_size) // config.time_stride + 1,
    )


def fitted_positions(positions: Tensor, *, grid: Grid, new_grid: Grid) -> Tensor:
    """Return position embeddings for another grid: cut where shorter, interpolated where longer.

    Gong et al. 2021, section 2.2. The cut is from the middle, as in the authors' code: the outer
    positions have learned that they are at an edge of 10 s.

    Parameters
    ----------
    positions
        `[1, 2 + n_bands * n_times, width]`: two special tokens, then the grid, bands first.
    grid
        Patches that the positions are for.
    new_grid
        Patches that they are wanted for.

    Returns
    -------
    Tensor
        `[1, 2 + new_n_bands * new_n_times, width]`; the special tokens' are as they were.
    """
    special, patches = positions[:, :N_SPECIAL], positions[:, N_SPECIAL:]
    image = patches.transpose(1, 2).reshape(1, -1, *grid)
    for axis, (size, new_size) in enumerate(zip(grid, new_grid, strict=True), start=2):
        if new_size < size:
            image = image.narrow(axis, (size - new_size) // 2, new_size)
    if image.shape[2:] != new_grid:
        image = nn.functional.interpolate(image, size=new_grid, mode="bilinear")
    return torch.cat([special, image.flatten(2).transpose(1, 2)], dim=1)


def _fit_to(encoder: Any, input_shape: tuple[int, int]) -> None:
    config = encoder.config
    grid = grid_of(config, (config.num_mel_bins, config.max_length))
    embeddings = encoder.embeddings
    embeddings.position_embeddings = nn.Parameter(
        fitted_positions(
            embeddings.position_embeddings.detach(),
            grid=grid,
            new_grid=grid_of(config, input_shape),
        ).contiguous()
    )
    config.num_mel_bins, config.max_length = input_shape


NETWORKS = (
    Entry(
        "ast",
        lambda n_classes, shape, dropout: build_ast(
            n_classes=n_classes, input_shape=shape, dropout=dropout
        ),
        smallest=(16, 16),
        front_end=lambda _: KaldiInput(),
    ),
)
