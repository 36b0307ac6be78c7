"""Tensors of an authors' file in, exactly those of a network out: nothing missing, nothing left."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor, nn

from pipeline.errors import UsageError
from pipeline.models.networks.parts.weights import COUNTER
from pipeline.models.pretrained.family import Family, Variant


def tensors_of(
    family: Family, variant: Variant, tensors: Mapping[str, Tensor], *, source: str
) -> dict[str, Tensor]:
    """Return the tensors of a variant's network, from those that a file holds: `exact_tensors`."""
    expected = family.expected(variant)
    return exact_tensors(tensors, empty_network(family, variant), source=source, expected=expected)


def empty_network(family: Family, variant: Variant) -> nn.Module:
    """Return a variant's network without numbers, on the meta device: it costs no memory."""
    with torch.device("meta"):
        return family.build(variant, len(family.mids), 0.0)


def exact_tensors(
    tensors: Mapping[str, Tensor], network: nn.Module, *, source: str, expected: str
) -> dict[str, Tensor]:
    """Return a network's tensors, in its own order, from those that a file holds by its names.

    Parameters
    ----------
    tensors
        By the network's own names.
    network
        Says which tensors there must be, and their shapes; on the meta device it costs nothing.
    source
        Of the tensors, for messages.
    expected
        What should have been given, for messages.

    Raises
    ------
    UsageError
        Where a tensor is missing, is of another shape or is not of this network. Counters of batch
        norms may be missing: they are 0 then.
    """
    own = network.state_dict()
    counters = {name: torch.tensor(0) for name in own if name.endswith(COUNTER)}
    found = counters | dict(tensors)
    for name, what in (
        (next((n for n in own if n not in found), None), "is not there"),
        (next((n for n in found if n not in own), None), "has no place in it"),
        (next((n for n in own if n in found and found[n].shape != own[n].shape), None), ""),
    ):
        if name is not None:
            what = what or f"is {_size(found[name])} and should be {_size(own[name])}"
            raise UsageError(f"weights {source!r}: expected {expected}; {name} {what}")
    return {name: found[name] for name in own}


def _size(tensor: Tensor) -> str:
    return "x".join(map(str, tensor.shape)) or "one number"
