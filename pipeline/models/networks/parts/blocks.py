"""What a network is made of, from its input to its head: blocks, of which the first may be frozen.

A block is a stage of a timm backbone as timm groups its layers, or else a child of the network, or
of a sequence of it: of EfficientAT the stem, fifteen inverted residuals and a convolution; of
CNN14 the batch norm and six blocks of convolutions; of an AST the patches and each layer.
"""

from __future__ import annotations

from typing import Any

from torch import nn

from pipeline.errors import UsageError
from pipeline.models.networks.parts.exclusive import Exclusive
from pipeline.models.networks.parts.pooling import Pooled, TimmFrames
from pipeline.models.networks.parts.weights import head_names
from pipeline.models.pretrained.outputs import MappedNetwork


def core_of(network: Any) -> Any:
    """Return a network without what maps its outputs, pools its frames or is a softmax."""
    while isinstance(network, MappedNetwork | Pooled | TimmFrames | Exclusive):
        network = network.backbone if isinstance(network, TimmFrames) else network.network
    return network


def blocks_of(network: nn.Module) -> list[list[str]]:
    """Return the names of the parameters of each block of `core_of(network)`, without its head's.

    Parameters of the network itself, such as positions, count to its first block.
    """
    core = core_of(network)
    in_head = head_names(core)
    names = [name for name, _ in core.named_parameters() if name not in in_head]
    if hasattr(core, "group_matcher"):
        return _timm_stages(core, names)
    paths = _blocks_in(core, "", in_head)
    if len(paths) == 1:  # an encoder, which has the blocks
        encoder = core.get_submodule(paths[0])
        paths = _blocks_in(encoder, f"{paths[0]}.", in_head) or paths
    starts = [f"{path}." for path in paths]
    blocks = [[name for name in names if name.startswith(start)] for start in starts]
    others = [name for name in names if not name.startswith(tuple(starts))]
    return [blocks[0] + others, *blocks[1:]] if blocks else []


def freeze(network: nn.Module, n_blocks: int, *, model: str) -> None:
    """Let the first blocks stay as they are; UsageError says how many there are."""
    blocks = blocks_of(network)
    if n_blocks > len(blocks):
        raise UsageError(f"--freeze {n_blocks}: {model} has {len(blocks)} blocks before its head")
    frozen = {name for block in blocks[:n_blocks] for name in block}
    for name, parameter in core_of(network).named_parameters():
        if name in frozen:
            parameter.requires_grad_(False)


def hold_frozen_norms(network: nn.Module) -> None:
    """Put batch norms whose weights are frozen into evaluation mode: their statistics stay, too.

    To be called after `network.train()`.
    """
    for module in network.modules():
        has_statistics = getattr(module, "running_mean", None) is not None
        own = list(module.parameters(recurse=False))
        if has_statistics and own and not any(one.requires_grad for one in own):
            module.eval()


def _timm_stages(backbone: Any, names: list[str]) -> list[list[str]]:
    from timm.models import group_parameters  # as late as can be: it takes seconds

    groups = group_parameters(backbone, backbone.group_matcher(coarse=True))
    kept, found = set(names), [groups[key] for key in sorted(groups)]
    stages = [[name for name in group if name in kept] for group in found]
    return [stage for stage in stages if stage]


def _blocks_in(module: nn.Module, prefix: str, in_head: set[str]) -> list[str]:
    """Return the paths of a module's children, in order; for a sequence those of its steps."""
    found: list[str] = []
    for name, child in module.named_children():
        path, inner = _unwrapped(f"{prefix}{name}", child)
        first = next((f"{path}.{one}" for one, _ in inner.named_parameters()), None)
        if first is None or first in in_head:
            continue
        is_sequence = isinstance(inner, nn.Sequential | nn.ModuleList)
        found += [f"{path}.{step}" for step in _children_of(inner)] if is_sequence else [path]
    return found


def _unwrapped(path: str, module: nn.Module) -> tuple[str, nn.Module]:
    """Return a module, or what it holds where it is nothing but a shell around one other."""
    while not isinstance(module, nn.Sequential | nn.ModuleList):
        children = _children_of(module)
        if len(children) != 1 or next(module.parameters(recurse=False), None) is not None:
            break
        ((name, module),) = children.items()
        path = f"{path}.{name}"
    return path, module


def _children_of(module: nn.Module) -> dict[str, nn.Module]:
    """Return the children that have parameters, by name."""
    children = module.named_children()
    return {name: one for name, one in children if next(one.parameters(), None) is not None}
