"""What varies with the step: learning rates, by group, and the optimiser that they go to."""

from __future__ import annotations

import numpy as np
import torch

from pipeline.arrays import Float64, Int64
from pipeline.models.model import Tagger
from pipeline.models.networks.parts.weights import parameter_groups
from pipeline.training.config import TrainConfig

Curve = tuple[Int64, Float64]
"""Steps, and the learning rate of each."""

_N_CURVE_POINTS = 300


def learning_rate(
    step: int, n_total: int, config: TrainConfig, span: tuple[float, float] | None = None
) -> float:
    """Return the learning rate of a step: linear warm-up, then polynomial decay.

    `span` is from where to where; `lr` to `lr_end` without.
    """
    top, end = span or (config.lr, config.lr_end)
    n_warmup = max(1, round(config.warmup * n_total))
    if step < n_warmup:
        return top * (step + 1) / n_warmup
    done = (step - n_warmup) / max(1, n_total - n_warmup)
    return end + (top - end) * float((1 - done) ** config.power)


def rate_curves(config: TrainConfig, n_total: int) -> dict[str, Curve]:
    """Return the learning rate of each group of layers over the `n_total` steps of a training.

    One curve where all layers have the same, else those of the network and of its head. A long one
    is thinned to some 300 steps; the first, the last and the end of the warm-up stay.
    """
    n_warmup = max(1, round(config.warmup * n_total))
    even = np.linspace(0, n_total - 1, min(n_total, _N_CURVE_POINTS)).round().astype(np.int64)
    steps = np.union1d(even, [min(n_warmup, n_total - 1)])
    base, head = (config.lr, config.lr_end), head_span(config)
    spans = {"all layers": base} if head == base else {"network": base, "head": head}
    return {
        name: (steps, np.array([learning_rate(int(k), n_total, config, span) for k in steps]))
        for name, span in spans.items()
    }


def head_span(config: TrainConfig) -> tuple[float, float]:
    """Return from where to where the learning rate of the last layers goes."""
    head_lr = config.lr if config.head_lr is None else config.head_lr
    return head_lr, config.lr_end if config.head_lr_end is None else config.head_lr_end


def optimizer_of(model: Tagger, config: TrainConfig) -> torch.optim.Optimizer:
    """Return Adam on two groups, the network and its head; a group knows its rates as `span`."""
    base, head = parameter_groups(model.backbone)
    head_decay = (
        config.weight_decay if config.head_weight_decay is None else config.head_weight_decay
    )
    groups = [
        {"params": base, "span": (config.lr, config.lr_end), "weight_decay": config.weight_decay},
        {"params": head, "span": head_span(config), "weight_decay": head_decay},
    ]
    return torch.optim.Adam(groups, lr=config.lr, fused=True)


def set_learning_rate(
    optimizer: torch.optim.Optimizer, step: int, n_steps: int, config: TrainConfig
) -> None:
    """Give each group of weights its learning rate for a step (counted from 0)."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(step, n_steps, config, group["span"])
