"""A network in, one that computes in float32 and rounds as bfloat16 would out.

What such a copy gives is all that bfloat16's precision explains.
"""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn


def with_rounded_weights(network: nn.Module) -> nn.Module:
    """Return a copy whose weights are those that bfloat16 can hold."""
    copied = copy.deepcopy(network)
    with torch.no_grad():
        for weight in copied.parameters():
            weight.copy_(weight.bfloat16())
    return copied


def rounded_to_bf16(network: nn.Module) -> nn.Module:
    """Return a copy that computes in float32, with all that it passes on rounded to bfloat16."""
    copied = with_rounded_weights(network)
    for module in copied.modules():
        module.register_forward_hook(lambda _module, _inputs, output: _rounded(output))
    return copied


def round_both_ways(values: Tensor) -> Tensor:
    """Return values as bfloat16 can hold them; what comes back to them is rounded, too."""
    rounded: Tensor = _RoundBothWays.apply(values)  # type: ignore[no-untyped-call]
    return rounded


class _RoundBothWays(torch.autograd.Function):
    """The identity, but values and gradients are rounded to bfloat16."""

    @staticmethod
    def forward(ctx: Any, values: Tensor) -> Tensor:
        return values.bfloat16().to(values.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> Any:
        (gradient,) = gradients
        return gradient.bfloat16().to(gradient.dtype)


def _rounded(output: Any) -> Any:
    if isinstance(output, Tensor) and output.is_floating_point():
        return round_both_ways(output)
    if isinstance(output, tuple):
        return tuple(map(_rounded, output))
    return output
