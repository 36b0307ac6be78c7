"""The published Audio Spectrogram Transformer as a tagger, with its trained classifier.

Gong, Chung and Glass, "AST: Audio Spectrogram Transformer", Interspeech 2021: the network of
AudioSet with patches every 10 bands and frames, weights averaged over epochs (mAP 0.4593).
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.func import functional_call

from pipeline.audio.kaldi import KaldiInput
from pipeline.audio.windows import WindowSpec
from pipeline.catalog.vocabulary import audioset_order
from pipeline.errors import UsageError
from pipeline.learn.networks.ast import Ast, build_ast, fitted_positions, grid_of
from pipeline.learn.networks.ast_weights import (
    CURE,
    PRETRAINED,
    check_order,
    encoder_sizes,
    read_published,
)
from pipeline.learn.pretrained.family import Family, Source, Variant
from pipeline.learn.pretrained.tensors import exact_tensors

INPUT = KaldiInput()
N_FRAMES = 1024
"""Frames that its positions are for: 10.255 s."""

_POSITIONS = "embeddings.position_embeddings"


class TaggerAst(Ast):
    """An AST whose positions are those of 1024 frames, whatever the window: they are fitted to it.

    So the same tensors serve windows of any length (`fitted_positions` says how).
    """

    def forward(self, windows: Tensor) -> Tensor:
        """Return logits, `[n, n_outputs]`, for scaled mel bands, `[n, n_mels, n_frames]`."""
        config, (_, n_rows, n_frames) = self.encoder.config, windows.shape
        grid, new_grid = (grid_of(config, (n_rows, n)) for n in (N_FRAMES, n_frames))
        if grid == new_grid:
            return super().forward(windows)
        positions = self.encoder.get_parameter(_POSITIONS)
        fitted = {_POSITIONS: fitted_positions(positions, grid=grid, new_grid=new_grid)}
        pooled = functional_call(self.encoder, fitted, (windows.transpose(1, 2),)).pooler_output
        logits: Tensor = self.head(pooled)
        return logits


def build(variant: Variant, n_outputs: int, dropout: float) -> TaggerAst:
    """Return a network of random weights; sizes are settings of `ASTConfig` that aren't usual."""
    shape = (INPUT.n_rows, N_FRAMES)
    made = build_ast(n_classes=n_outputs, input_shape=shape, dropout=dropout, sizes=variant.sizes)
    return TaggerAst(made.encoder, n_classes=n_outputs, dropout=dropout)


def read(path: Path, variant: Variant) -> dict[str, Tensor]:
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
    with torch.device("meta"):
        network = build(variant, len(FAMILY.mids), 0.0)
    expected = f"{variant.name} (the folder or model.safetensors of {PRETRAINED})"
    exact = exact_tensors(tensors, network, source=source, expected=expected)
    check_order(encoder.config.id2label)
    return exact


FAMILY = Family(
    name="ast",
    variants=(
        Variant(
            "ast-0.4593",
            source=Source(f"https://huggingface.co/{PRETRAINED}/resolve/main/model.safetensors", None),
            n_parameters=86_592_527,
            published_map=0.459,
        ),
    ),
    input_spec=INPUT,
    windows=WindowSpec(10.255, 10.0),
    mids=audioset_order(),
    build=build,
    read=read,
    licence="BSD-3-Clause",
    home=f"https://huggingface.co/{PRETRAINED}",
    smallest=(INPUT.n_rows, 16),
)
