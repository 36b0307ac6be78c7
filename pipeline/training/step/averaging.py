"""A model in, the running mean of its weights out, step by step: what is validated and kept."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Averaging:
    """Two networks of one kind, of which one follows the other.

    Their tensors are listed once: to make a state_dict of each took longer, at every step, than to
    average. So both must keep their tensors, as they do where a checkpoint is loaded into them.
    """

    def __init__(self, average: nn.Module, model: nn.Module) -> None:
        old, new = average.state_dict(), model.state_dict()
        self._means: list[Tensor] = []
        self._values: list[Tensor] = []
        self._counts: list[Tensor] = []
        self._new_counts: list[Tensor] = []
        for name, mean in old.items():
            is_mean = mean.is_floating_point()
            (self._means if is_mean else self._counts).append(mean)
            (self._values if is_mean else self._new_counts).append(new[name])

    @torch.no_grad()
    def follow(self, decay: float) -> None:
        """Move the mean of the weights, buffers included, towards the model's; counts are taken."""
        torch._foreach_lerp_(self._means, self._values, 1 - decay)
        if self._counts:
            torch._foreach_copy_(self._counts, self._new_counts)
