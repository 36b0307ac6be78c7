"""A name and the shape of a window in, a network out: logits `[n, n_classes]` for float windows.

Every network takes `[n, n_rows, n_columns]`, scaled by the caller; rows are mel bands, coefficients
or descriptors (1 for raw samples), columns are frames or samples. A name that is not here is taken
for a timm backbone.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn

from pipeline.errors import UsageError
from pipeline.learn.names import IMAGENET as IMAGENET
from pipeline.learn.names import known_names as known_names
from pipeline.learn.networks.ast import build_ast
from pipeline.learn.networks.ast_weights import is_published
from pipeline.learn.networks.classical import CLASSICAL, Classical
from pipeline.learn.networks.compact import Compact
from pipeline.learn.networks.harmony_cnns import DescriptorCnn, MfccCnn, RawCnn
from pipeline.learn.networks.music import Crnn, ShortChunk
from pipeline.learn.networks.probe import PROBE
from pipeline.learn.networks.weights import load_weights, read_weights
from pipeline.learn.pretrained.family import variants
from pipeline.learn.pretrained.outputs import MappedNetwork, OutputMap


@dataclass(frozen=True)
class Entry:
    """A network of the registry."""

    build: Callable[[int, tuple[int, int], float], nn.Module]
    """From classes, shape of a window and dropout; the weights are random."""
    takes: str
    """What its windows hold."""
    smallest: tuple[int, int]
    """Rows and columns below which pooling would leave nothing."""
    n_rows: int | None = None
    """Rows where only one number is possible."""


def _classical(
    kind: type[Classical], n_classes: int, shape: tuple[int, int], dropout: float
) -> Classical:
    return kind(shape[0], n_classes)


NETWORKS: dict[str, Entry] = {
    "cnn1d-raw": Entry(
        lambda n_classes, shape, dropout: RawCnn(n_classes=n_classes, dropout=dropout),
        takes="samples",
        smallest=(1, 14110),
        n_rows=1,
    ),
    "cnn2d-mfcc": Entry(
        lambda n_classes, shape, dropout: MfccCnn(n_classes=n_classes, dropout=dropout),
        takes="MFCCs",
        smallest=(16, 1),
    ),
    "cnn1d-descriptors": Entry(
        lambda n_classes, shape, dropout: DescriptorCnn(
            n_rows=shape[0], n_classes=n_classes, dropout=dropout
        ),
        takes="descriptors",
        smallest=(1, 16),
    ),
    "crnn": Entry(
        lambda n_classes, shape, dropout: Crnn(n_classes=n_classes, dropout=dropout),
        takes="log-mels",
        smallest=(1, 1),
    ),
    "shortchunk": Entry(
        lambda n_classes, shape, dropout: ShortChunk(
            n_classes=n_classes, dropout=dropout, residual=False
        ),
        takes="log-mels",
        smallest=(1, 1),
    ),
    "shortchunk-res": Entry(
        lambda n_classes, shape, dropout: ShortChunk(
            n_classes=n_classes, dropout=dropout, residual=True
        ),
        takes="log-mels",
        smallest=(1, 1),
    ),
    "compact": Entry(
        lambda n_classes, shape, dropout: Compact(n_classes=n_classes, dropout=dropout),
        takes="log-mels",
        smallest=(1, 1),
    ),
    "ast": Entry(
        lambda n_classes, shape, dropout: build_ast(
            n_classes=n_classes, input_shape=shape, dropout=dropout
        ),
        takes="log-mels",
        smallest=(16, 16),
    ),
    **{
        name: Entry(partial(_classical, kind), takes="descriptors", smallest=(1, 1))
        for name, kind in CLASSICAL.items()
    },
}


class TimmNetwork(nn.Module):
    """A timm backbone on windows as grey images; its tensors are named as the Tagger's are.

    Parameters
    ----------
    backbone
        With one input channel.
    """

    def __init__(self, backbone: nn.Module) -> None:
        super().__init__()
        self.backbone = backbone
        self.backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    def forward(self, windows: Tensor) -> Tensor:
        """Return logits, `[n, n_classes]`, for windows, `[n, n_rows, n_columns]`."""
        image = windows.unsqueeze(1).contiguous(memory_format=torch.channels_last)
        logits: Tensor = self.backbone(image)
        return logits


def is_known(name: str) -> bool:
    """Return whether a name is of our own networks or a pretrained family's; timm's are not."""
    return name in NETWORKS or name in variants() or name == PROBE


def build_network(
    name: str,
    *,
    n_classes: int,
    input_shape: tuple[int, int],
    dropout: float,
    weights: str | None = None,
    label_ids: Sequence[Sequence[str]] = (),
    sizes: Mapping[str, Any] | None = None,
    n_outputs: int | None = None,
    outputs: OutputMap = (),
) -> nn.Module:
    """Return a network, in training mode, on the CPU.

    Parameters
    ----------
    name
        One of `known_names`, or a timm backbone.
    n_classes
        Logits a window.
    input_shape
        Rows and columns of a window.
    dropout
        Before or within the head, as the network has it.
    weights
        None is random; `imagenet` the published weights of a timm backbone, from the hub; else a
        local .safetensors or .pth file, or for `ast` also the folder of a published one.
    label_ids
        AudioSet's ids of every class; the head of `ast` begins from the rows that a published
        classifier has for them.
    sizes
        Of `ast` without weights: its encoder's, where they are not the usual ones.
    n_outputs, outputs
        Of a pretrained family's network: how many it has, and those of each class, where they are
        not the classes themselves.

    Raises
    ------
    UsageError
        Where there is no such network, it cannot take the shape, or the weights do not load.
    """
    if not is_known(name):
        return TimmNetwork(
            timm_backbone(name, n_classes=n_classes, dropout=dropout, weights=weights)
        )
    if name in variants():
        network = _of_family(name, n_outputs or n_classes, input_shape, dropout)
        if weights is not None:
            load_weights(network, read_weights(weights), source=weights)
        return MappedNetwork(network, outputs) if outputs else network
    entry = NETWORKS[name]
    _check_shape(name, entry, input_shape)
    if name in CLASSICAL and weights is not None:
        raise UsageError(f"model {name!r}: it is fitted whole, from no weights; leave them out")
    if weights == IMAGENET:
        raise UsageError(
            f"model {name!r}: no ImageNet weights exist for it; leave weights out, give a file,"
            " or take a timm backbone such as resnet50"
        )
    ast = partial(build_ast, n_classes=n_classes, input_shape=input_shape, dropout=dropout)
    if name == "ast" and is_published(weights):
        return ast(weights=weights, label_ids=label_ids)
    network = ast(sizes=sizes) if sizes else entry.build(n_classes, input_shape, dropout)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    if weights is not None:
        load_weights(network, read_weights(weights), source=weights)
    return network


def _of_family(
    name: str, n_outputs: int, input_shape: tuple[int, int], dropout: float
) -> nn.Module:
    family, variant = variants()[name]
    entry = Entry(
        lambda n_classes, shape, dropout: family.build(variant, n_classes, dropout),
        takes="mel bands",
        smallest=family.smallest,
        n_rows=family.input_spec.n_rows,
    )
    _check_shape(name, entry, input_shape)
    network = entry.build(n_outputs, input_shape, dropout)
    return network.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]


def timm_backbone(
    name: str, *, n_classes: int, dropout: float, weights: str | None = None
) -> nn.Module:
    """Return a timm backbone that takes images of one channel, `[n, 1, height, width]`.

    Parameters
    ----------
    name
        As timm has it, with or without a tag: `resnet50`, `resnet50.a1_in1k`.
    n_classes
        Width of the head.
    dropout
        Before the head.
    weights
        None, `imagenet` or a local file; the first convolution's three channels are summed to
        one, and a head of another shape stays new.

    Raises
    ------
    UsageError
        Where timm has no such backbone or the weights do not load.
    """
    import timm  # as late as can be: it takes seconds

    if not timm.is_model(name):
        near = ", ".join([*known_names(), *timm.list_models(f"*{name[:6]}*")[:8]])
        raise UsageError(f"model {name!r}: neither of ours nor timm's; known or near it: {near}")
    try:
        backbone: nn.Module = timm.create_model(
            name,
            pretrained=weights == IMAGENET,
            in_chans=1,
            num_classes=n_classes,
            drop_rate=dropout,
        )
    except (OSError, RuntimeError) as error:
        if weights != IMAGENET:
            raise
        raise UsageError(
            f"model {name!r}: its ImageNet weights cannot be had"
            f" ({str(error).strip().splitlines()[0]}); where there is a network, run"
            f" hf download timm/{_hub_name(name)} --local-dir FOLDER, and give"
            " FOLDER/model.safetensors as weights"
        ) from error
    if weights not in (None, IMAGENET):
        load_weights(backbone, read_weights(str(weights)), source=str(weights))
    return backbone


def backbone_names() -> list[str]:
    """Return the names of timm's backbones, without tags."""
    import timm

    names: list[str] = timm.list_models()
    return names


def _hub_name(name: str) -> str:
    import timm

    config = timm.get_pretrained_cfg(name)
    tag = getattr(config, "tag", "")
    return f"{name}.{tag}" if tag and "." not in name else name


def _check_shape(name: str, entry: Entry, input_shape: tuple[int, int]) -> None:
    rows, columns = input_shape
    least_rows, least_columns = entry.smallest
    if entry.n_rows not in (None, rows) or rows < least_rows or columns < least_columns:
        expected = f"{entry.n_rows or f'at least {least_rows}'} x at least {least_columns}"
        raise UsageError(
            f"model {name!r}: a window of {entry.takes} is {rows} x {columns}; expected {expected}"
        )
