"""What varies with the step: learning rates, by group, and the optimiser that they go to."""

from __future__ import annotations

import torch

from pipeline.learn.config import TrainConfig
from pipeline.learn.model import Tagger
from pipeline.learn.networks.weights import parameter_groups


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


def optimizer_of(model: Tagger, config: TrainConfig) -> torch.optim.Optimizer:
    """Return Adam on two groups, the network and its head; a group knows its rates as `span`."""
    base, head = parameter_groups(model.backbone)
    head_lr = config.lr if config.head_lr is None else config.head_lr
    head_end = config.lr_end if config.head_lr_end is None else config.head_lr_end
    head_decay = (
        config.weight_decay if config.head_weight_decay is None else config.head_weight_decay
    )
    groups = [
        {"params": base, "span": (config.lr, config.lr_end), "weight_decay": config.weight_decay},
        {"params": head, "span": (head_lr, head_end), "weight_decay": head_decay},
    ]
    return torch.optim.Adam(groups, lr=config.lr, fused=True)


def set_learning_rate(
    optimizer: torch.optim.Optimizer, step: int, n_steps: int, config: TrainConfig
) -> None:
    """Give each group of weights its learning rate for a step (counted from 0)."""
    for group in optimizer.param_groups:
        group["lr"] = learning_rate(step, n_steps, config, group["span"])
