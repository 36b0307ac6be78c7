"""A name and the shape of a window in, a network out: logits `[n, n_classes]` for float windows.

Every network takes `[n, n_rows, n_columns]`, scaled by the caller; rows are mel bands, coefficients
or descriptors (1 for raw samples), columns are frames or samples. A name that is not here is taken
for a timm backbone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache, partial
from typing import Any

import torch
from torch import nn

from pipeline.errors import UsageError
from pipeline.models.names import IMAGENET as IMAGENET
from pipeline.models.networks.ast import build_ast
from pipeline.models.networks.classical import CLASSICAL
from pipeline.models.networks.entry import Entry
from pipeline.models.networks.parts.ast_weights import is_published
from pipeline.models.networks.parts.weights import load_weights, read_weights
from pipeline.models.networks.probe import PROBE
from pipeline.models.pretrained.family import variants
from pipeline.models.pretrained.outputs import MappedNetwork, OutputMap
from pipeline.seams import declared


@cache
def networks() -> dict[str, Entry]:
    """Return our own networks by name: those of every module of this folder with `NETWORKS`."""
    found = declared(
        __name__.rpartition(".")[0],
        "NETWORKS",
        first=(
            *("harmony_cnns", "music", "compact", "ast", "classical"),
            *("fcn", "musicnn", "samplecnn", "harmonic_cnn", "cnn_self_attention"),
            *("full_band_cnn", "timbre_pitch", "timbral_cnns"),
        ),
    )
    entries = [entry for of_module in found for entry in of_module]
    names = [entry.name for entry in entries]
    if twice := sorted({name for name in names if names.count(name) > 1}):
        raise UsageError(
            f"two networks are called {', '.join(twice)} (Entry.name, pipeline/models/networks/): "
            "give yours another name"
        )
    return {entry.name: entry for entry in entries}


def known_names() -> list[str]:
    """Return the names of our own networks, in their order; timm's are not among them."""
    return [*networks(), PROBE, *variants()]


def is_known(name: str) -> bool:
    """Return whether a name is of our own networks or a pretrained family's; timm's are not."""
    return name in networks() or name in variants() or name == PROBE


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

    A timm backbone takes windows as images of one channel, `[n, 1, n_rows, n_columns]`.

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
        backbone = timm_backbone(name, n_classes=n_classes, dropout=dropout, weights=weights)
        return backbone.to(memory_format=torch.channels_last)  # type: ignore[call-overload,no-any-return]
    if name in variants():
        network = _of_family(name, n_outputs or n_classes, input_shape, dropout)
        if weights is not None:
            load_weights(network, read_weights(weights), source=weights)
        return MappedNetwork(network, outputs) if outputs else network
    entry = networks()[name]
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
        name,
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
            " --weights FOLDER/model.safetensors"
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
