"""Targets of 0, 1 and NaN (unknown) as tensors: how they join, and the loss that leaves NaN out.

The same in torch as `pipeline.evaluation.labels.targets`, which says what they mean.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn


def joined(one: Tensor, other: Tensor) -> Tensor:
    """Return the targets of two things that sound together, of the shape of each.

    1 where any is 1, else NaN where any is NaN, else 0.
    """
    most = torch.maximum(one.nan_to_num(0.5), other.nan_to_num(0.5))
    return most.masked_fill(most == 0.5, torch.nan)


def window_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the binary cross-entropy of each window, `[n]`; both are `[n, n_classes]`.

    It is the mean over the window's known classes, so that every window weighs the same however
    many are unknown; 0 where none is known. With all of them known it is the plain mean, to the
    last bit.
    """
    is_known = ~targets.isnan()
    losses = nn.functional.binary_cross_entropy_with_logits(
        logits, targets.nan_to_num(0.0), reduction="none"
    )
    n_known = is_known.sum(dim=1)
    share = targets.shape[1] / n_known.clamp(min=1)
    return torch.where(is_known, losses, 0.0).mean(dim=1) * share


def one_label_losses(logits: Tensor, targets: Tensor) -> Tensor:
    """Return the softmax cross-entropy of each window, `[n]`; both are `[n, n_classes]`.

    Logits are the log-odds of a softmax (`networks.parts.exclusive`), so the logarithm of a
    probability is the log-sigmoid. Of a mixture the classes that are there share the label evenly;
    a window without any counts 0.
    """
    there = targets.nan_to_num(0.0)
    share = there / there.sum(dim=1, keepdim=True).clamp(min=1)
    return -(share * nn.functional.logsigmoid(logits)).sum(dim=1)
