"""CED: vision transformers on mel bands, distilled from an ensemble on AudioSet.

Dinkel, Wang, Yan, Zhang and Wang, "CED: Consistent ensemble distillation for audio tagging",
ICASSP 2024 (arXiv 2308.11957). Written from the paper and from the shapes of the published
tensors; their names are those of timm's vision transformers.
"""

from __future__ import annotations

import re
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.audio.spectra.filterbank import FilterBankInput, FilterBankSpec
from pipeline.audio.spectra.windows import WindowSpec
from pipeline.errors import UsageError
from pipeline.models.networks.parts.weights import read_weights
from pipeline.models.pretrained.family import Family, Variant, WeightsSource
from pipeline.models.pretrained.tensors import tensors_of
from pipeline.selection.vocabulary import audioset_order

N_MELS = 64
PATCH = 16
"""Mel bands and frames of a patch; patches do not overlap."""
MAX_FRAMES = 1012
"""Frames of the longest window, 10.1 s: for more there are no positions."""
TOP_DB = 120.0
"""What is further than this below a window's peak is raised to it."""

INPUT = FilterBankInput(
    FilterBankSpec(
        sample_rate_hz=16_000,
        frame_length=512,
        n_fft=512,
        hop=160,
        n_mels=N_MELS,
        f_min_hz=0.0,
        f_max_hz=8_000.0,
        mel_scale="htk",
        window="hann_periodic",
        is_centred=True,
        logarithm="db",
        floor=1e-10,
    )
)


class Ced(nn.Module):
    """A vision transformer with a position for each band of patches, and one for each time.

    Parameters
    ----------
    width
        Values of a token.
    depth
        Blocks of attention and MLP.
    n_heads
        Attention heads of a block.
    n_outputs
        Logits a window.
    dropout
        Before the last linear layer.
    """

    def __init__(
        self, *, width: int, depth: int, n_heads: int, n_outputs: int, dropout: float
    ) -> None:
        super().__init__()
        from timm.models.vision_transformer import Block  # as late as can be: it takes seconds

        norm: Any = partial(nn.LayerNorm, eps=1e-6)
        self.init_bn = nn.BatchNorm1d(N_MELS)
        self.patch_embed = nn.Conv2d(1, width, PATCH, PATCH)
        self.freq_pos_embed = nn.Parameter(0.02 * torch.randn(1, width, N_MELS // PATCH, 1))
        self.time_pos_embed = nn.Parameter(0.02 * torch.randn(1, width, 1, MAX_FRAMES // PATCH))
        self.blocks = nn.Sequential(
            *[Block(width, n_heads, qkv_bias=True, norm_layer=norm) for _ in range(depth)]
        )
        self.norm = norm(width)
        self.head = nn.Sequential(
            nn.LayerNorm(width), nn.Dropout(dropout), nn.Linear(width, n_outputs)
        )

    def forward(self, windows: Tensor) -> Tensor:
        """Return logits, `[n, n_outputs]`, for mel bands in dB, `[n, n_mels, n_frames]`.

        Frames that do not fill a patch are not used: of 1001, the last nine.
        """
        if windows.shape[2] > MAX_FRAMES:
            raise UsageError(
                f"CED hears at most {MAX_FRAMES} frames (10.1 s) at once, not {windows.shape[2]};"
                " take a shorter window"
            )
        audible = torch.maximum(windows, windows.amax(dim=(1, 2), keepdim=True) - TOP_DB)
        patches = self.patch_embed(self.init_bn(audible).unsqueeze(1))  # [n, width, bands, times]
        patches = patches + self.time_pos_embed[..., : patches.shape[3]] + self.freq_pos_embed
        tokens = self.norm(self.blocks(patches.flatten(2).transpose(1, 2)))  # bands first
        logits: Tensor = self.head(tokens.mean(dim=1))
        return logits

    def get_classifier(self) -> nn.Module:
        """Return the head: layer norm, dropout and the linear layer that sees the embedding."""
        return self.head


def _build(variant: Variant, n_outputs: int, dropout: float) -> Ced:
    """Return a network of random weights; the variant's sizes are `width`, `depth`, `n_heads`."""
    return Ced(**variant.sizes, n_outputs=n_outputs, dropout=dropout)


def _read(path: Path, variant: Variant) -> dict[str, Tensor]:
    """Return the tensors of the hub's safetensors, or of a Zenodo .pt; see `Family.read`."""
    tensors = {
        _own_name(name): tensor
        for name, tensor in read_weights(str(_file(path))).items()
        if not name.startswith("front_end.")
    }
    return tensors_of(FAMILY, variant, tensors, source=str(path))


def _file(path: Path) -> Path:
    """Return the file of weights of a folder as the hub lays it out; a file is itself."""
    return path / "model.safetensors" if path.is_dir() else path


def _own_name(name: str) -> str:
    name = name.removeprefix("encoder.")
    name = re.sub(r"^init_bn\.1\.", "init_bn.", name)  # on Zenodo, between two changes of axes
    name = name.replace("patch_embed.proj.", "patch_embed.")
    return name.replace("outputlayer.0.", "head.0.").replace("outputlayer.1.", "head.2.")


_HUB = "https://huggingface.co/mispeech/"


def _variant(
    name: str, width: int, n_heads: int, *, n_parameters: int, published_map: float
) -> Variant:
    return Variant(
        name,
        sizes={"width": width, "depth": 12, "n_heads": n_heads},
        source=WeightsSource(f"{_HUB}{name}/resolve/main/model.safetensors", None),
        n_parameters=n_parameters,
        published_map=published_map,
    )


FAMILY = Family(
    name="ced",
    variants=(
        _variant("ced-mini", 256, 4, n_parameters=9_696_655, published_map=0.490),
        _variant("ced-tiny", 192, 3, n_parameters=5_503_183, published_map=0.481),
        _variant("ced-small", 384, 6, n_parameters=21_622_543, published_map=0.496),
        _variant("ced-base", 768, 12, n_parameters=85_711_759, published_map=0.500),
    ),
    input_spec=INPUT,
    windows=WindowSpec(10.0, 10.0),
    mids=audioset_order(),
    build=_build,
    read=_read,
    licence="Apache-2.0",
    home="https://huggingface.co/mispeech",
    smallest=(N_MELS, PATCH),
)
