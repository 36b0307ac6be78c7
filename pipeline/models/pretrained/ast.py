"""The published Audio Spectrogram Transformer as a tagger, with its trained classifier.

Gong, Chung and Glass, "AST: Audio Spectrogram Transformer", Interspeech 2021: the network of
AudioSet with patches every 10 bands and frames, weights averaged over epochs (mAP 0.4593).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.audio.spectra.kaldi import KaldiInput
from pipeline.audio.spectra.windows import WindowSpec
from pipeline.errors import UsageError
from pipeline.models.networks.ast import Ast, build_ast, fitted_positions, grid_of
from pipeline.models.networks.parts.ast_weights import (
    CURE,
    PRETRAINED,
    check_order,
    encoder_sizes,
    read_published,
)
from pipeline.models.pretrained.family import Family, Variant, WeightsSource
from pipeline.models.pretrained.tensors import tensors_of
from pipeline.selection.vocabulary import audioset_order

INPUT = KaldiInput()
N_FRAMES = 1024
"""Frames that its positions are for: 10.255 s."""


class FittedEmbeddings(nn.Module):
    """Hugging Face's `ASTEmbeddings` with positions of 1024 frames, fitted to each window's length.

    So the same tensors serve windows of any length; `fitted_positions` says how.

    Parameters
    ----------
    made
        An `ASTEmbeddings` for 1024 frames, whose tensors become this module's, by the same names.
    """

    def __init__(self, made: Any) -> None:
        super().__init__()
        self.config, self.patch_embeddings = made.config, made.patch_embeddings
        self.cls_token, self.distillation_token = made.cls_token, made.distillation_token
        self.position_embeddings, self.dropout = made.position_embeddings, made.dropout

    def forward(self, windows: Tensor) -> Tensor:
        """Return tokens, `[n, 2 + n_patches, width]`, for windows, `[n, n_frames, n_mels]`."""
        patches = self.patch_embeddings(windows)
        special = torch.cat([self.cls_token, self.distillation_token], dim=1)
        tokens = torch.cat([special.expand(len(windows), -1, -1), patches], dim=1)
        _, n_frames, n_rows = windows.shape
        grid, new_grid = (grid_of(self.config, (n_rows, n)) for n in (N_FRAMES, n_frames))
        positions = fitted_positions(self.position_embeddings, grid=grid, new_grid=new_grid)
        embedded: Tensor = self.dropout(tokens + positions)
        return embedded


def _build(variant: Variant, n_outputs: int, dropout: float) -> Ast:
    """Return a network of random weights; sizes are settings of `ASTConfig` that aren't usual."""
    shape = (INPUT.n_rows, N_FRAMES)
    made = build_ast(n_classes=n_outputs, input_shape=shape, dropout=dropout, sizes=variant.sizes)
    made.encoder.embeddings = FittedEmbeddings(made.encoder.embeddings)
    return made


def _read(path: Path, variant: Variant) -> dict[str, Tensor]:
    """Return the tensors of the hub's folder, or of its model.safetensors; see `Family.read`."""
    source = str(path)
    sizes = encoder_sizes(source) or {}
    if sizes != variant.sizes:
        found = ", ".join(f"{name} {value}" for name, value in sizes.items()) or "the usual sizes"
        raise UsageError(f"weights {source!r}: expected {variant.name}, but it has {found}; {CURE}")
    encoder, classifier = read_published(source)
    if classifier is None:
        raise UsageError(f"weights {source!r}: an AST without its classifier; {CURE}")
    tensors = {f"encoder.{name}": tensor for name, tensor in encoder.state_dict().items()}
    for own, theirs in (("head.0", classifier.layernorm), ("head.2", classifier.dense)):
        tensors |= {f"{own}.{name}": tensor for name, tensor in theirs.state_dict().items()}
    exact = tensors_of(FAMILY, variant, tensors, source=source)
    check_order(encoder.config.id2label)
    return exact


FAMILY = Family(
    name="ast",
    variants=(
        Variant(
            "ast-0.4593",
            source=WeightsSource(
                f"https://huggingface.co/{PRETRAINED}/resolve/main/model.safetensors", None
            ),
            n_parameters=86_594_063,
            published_map=0.459,
        ),
    ),
    input_spec=INPUT,
    windows=WindowSpec(10.255, 10.0),
    mids=audioset_order(),
    build=_build,
    read=_read,
    licence="BSD-3-Clause",
    home=f"https://huggingface.co/{PRETRAINED}",
    smallest=(INPUT.n_rows, 16),
)
