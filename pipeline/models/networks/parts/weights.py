"""Weights of a file into a network, and a network's parameters into base and head.

A head is what the network's own `get_classifier` returns; timm's backbones have that method, and
so have ours.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from pipeline.errors import UsageError

PREFIXES = ("module.", "network.", "backbone.")
"""What wrappers put before the names of tensors: DistributedDataParallel, and ours."""

SCALES = ("row_mean", "row_deviation")
"""Beside the network of a model of ours: how its input is scaled, which the data says anew."""

COUNTER = "num_batches_tracked"
"""A batch norm's counter, which old files lack and nothing here needs."""


def parameter_groups(network: nn.Module) -> tuple[list[nn.Parameter], list[nn.Parameter]]:
    """Return a network's parameters as base and head, for two learning rates.

    Parameters
    ----------
    network
        One of `build_network`, a timm backbone, or a module around one of them.

    Returns
    -------
    base, head
        Every parameter is in exactly one of them. What wraps the network is base.
    """
    head = [p for module in _head_modules(network) for p in module.parameters()]
    in_head = {id(p) for p in head}
    return [p for p in network.parameters() if id(p) not in in_head], head


def read_weights(path: str) -> dict[str, Tensor]:
    """Return the tensors of a .safetensors file or a .pth state dict, without a wrapper's prefix.

    Parameters
    ----------
    path
        A local file. Of pickles only tensors are read; no code in them runs.

    Raises
    ------
    UsageError
        Where the file is not there or is neither.
    """
    file = Path(path)
    if not file.is_file():
        raise UsageError(
            f"weights {path!r}: no such file; expected 'imagenet' (timm backbones) or"
            " a local .safetensors or .pth file"
        )
    try:
        if file.suffix == ".safetensors":
            tensors = safetensors.torch.load_file(file)
        else:
            tensors = _tensors_of(torch.load(file, map_location="cpu", weights_only=True))
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        raise UsageError(f"weights {path!r}: not a file of tensors ({_why(error)})") from error
    if not tensors:
        raise UsageError(f"weights {path!r}: no tensors in it; expected a state dict")
    return without_prefix(tensors)


def _why(error: Exception) -> str:
    """Return why a file could not be read; torch's advice to load it unsafely is left out."""
    if isinstance(error, pickle.UnpicklingError):
        return "no pickle, or one that holds more than tensors"
    return str(error).strip().splitlines()[0] if str(error).strip() else "it is cut off"


def without_prefix(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Return tensors by the names that they have without wrappers (see `PREFIXES`)."""
    named = {name: tensor for name, tensor in tensors.items() if name not in SCALES}
    while prefix := next((p for p in PREFIXES if all(n.startswith(p) for n in named)), None):
        named = {name.removeprefix(prefix): tensor for name, tensor in named.items()}
    return named


def load_weights(network: nn.Module, tensors: Mapping[str, Tensor], *, source: str) -> list[str]:
    """Put tensors into a network; a head of another shape stays new.

    Where the network's first convolution takes one channel and the tensor has three, the three
    are summed: a grey image is the same in all of them.

    Parameters
    ----------
    network
        Is changed in place.
    tensors
        By the network's own names.
    source
        Of the tensors, for messages.

    Returns
    -------
    list of str
        Names that were left as they were: of the head, and counters (see `COUNTER`).

    Raises
    ------
    UsageError
        Where a tensor outside the head is missing, is of another shape or has no place.
    """
    own = network.state_dict()
    in_head = head_names(network)
    fitting = {n: _fitted(t, own[n]) for n, t in tensors.items() if n in own}
    wrong = [n for n in fitting if fitting[n].shape != own[n].shape]
    left = [n for n in own if n not in fitting or n in wrong]
    foreign = [n for n in tensors if n not in own and not _is_foreign_head(n, in_head)]
    for names, what in (
        ([n for n in wrong if n not in in_head], "of another shape"),
        ([n for n in left if n not in in_head and not n.endswith(COUNTER)], "not there"),
        (foreign, "not of this network"),
    ):
        if names:
            raise UsageError(f"weights {source!r} are for another network: {names[0]} is {what}")
    network.load_state_dict({n: t for n, t in fitting.items() if n not in wrong}, strict=False)
    return left


def _fitted(tensor: Tensor, own: Tensor) -> Tensor:
    if tensor.ndim == 4 and tensor.shape[1] == 3 and own.ndim == 4 and own.shape[1] == 1:
        return tensor.sum(dim=1, keepdim=True)
    return tensor


def _is_foreign_head(name: str, in_head: set[str]) -> bool:
    """Whether a name that the network lacks is of a head built otherwise, as `fc.1.weight` is."""
    return name.split(".")[0] in {n.split(".")[0] for n in in_head}


def _tensors_of(loaded: Any) -> dict[str, Tensor]:
    """Return the state dict of what torch.load gave: itself, or its `state_dict` or `model`."""
    if not isinstance(loaded, dict):
        return {}
    for key in ("state_dict", "model"):
        if isinstance(loaded.get(key), dict):
            loaded = loaded[key]
    return {str(name): value for name, value in loaded.items() if isinstance(value, Tensor)}


def head_names(network: nn.Module) -> set[str]:
    """Return the state dict's names that belong to the head."""
    heads = {id(module) for module in _head_modules(network)}
    starts = [name + "." for name, module in network.named_modules() if id(module) in heads]
    return {name for name in network.state_dict() if name.startswith(tuple(starts))}


def _head_modules(network: nn.Module) -> list[nn.Module]:
    for module in network.modules():
        get_classifier = getattr(module, "get_classifier", None)
        if get_classifier is not None:
            found = get_classifier()
            modules = list(found) if isinstance(found, tuple) else [found]
            return [
                m for m in modules if isinstance(m, nn.Module) and any(True for _ in m.parameters())
            ]
    raise UsageError(f"{type(network).__name__} does not say what its head is (get_classifier)")
