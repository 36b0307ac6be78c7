"""Features of the teachers in, a probe of the classes out: its scores are the student's targets."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.arrays import Float32

N_PROBES = 3
SMOOTHING = 0.04
"""Targets are 0.01 and 0.97 in place of 0 and 1, as some labels are wrong."""


class Probe(nn.Module):
    """Two layers on features that are frozen, or one where nothing is hidden."""

    def __init__(self, n_features: int, n_classes: int, *, n_hidden: int = 256) -> None:
        super().__init__()
        hidden = [nn.Linear(n_features, n_hidden), nn.ReLU(), nn.Dropout(0.4)] if n_hidden else []
        self.layers = nn.Sequential(
            nn.BatchNorm1d(n_features, affine=False),
            nn.Dropout(0.2),
            *hidden,
            nn.Linear(n_hidden or n_features, n_classes),
        )

    def forward(self, features: Tensor) -> Tensor:
        """Return logits, `[n, n_classes]`."""
        logits: Tensor = self.layers(features)
        return logits


def masked_loss(logits: Tensor, targets: Tensor, is_known: Tensor) -> Tensor:
    """Return the mean binary cross entropy where the target is known."""
    smooth = targets * (1 - SMOOTHING) + SMOOTHING / 4
    each = functional.binary_cross_entropy_with_logits(logits, smooth, reduction="none")
    return (each * is_known).sum() / is_known.sum()


def fit_probe(
    features: Float32,
    targets: Float32,
    is_known: Float32,
    *,
    seed: int,
    n_steps: int = 1500,
    n_hidden: int = 256,
) -> Probe:
    """Return a probe, fitted in seconds."""
    torch.manual_seed(seed)
    x, y, known = (torch.from_numpy(one).float() for one in (features, targets, is_known))
    probe = Probe(x.shape[1], y.shape[1], n_hidden=n_hidden)
    optimizer = torch.optim.AdamW(probe.parameters(), 1e-3, weight_decay=0.02)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 1e-3, n_steps)
    for _ in range(n_steps):
        batch = torch.randint(len(x), (256,))
        optimizer.zero_grad()
        masked_loss(probe(x[batch]), y[batch], known[batch]).backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
    return probe.eval()


@torch.no_grad()
def probe_scores(probes: list[Probe], features: Float32) -> Float32:
    """Return the mean of the probes' scores, `[n, n_classes]`."""
    parts = torch.split(torch.from_numpy(features), 4096)
    scores = [
        torch.stack([one(part.float()).sigmoid() for one in probes]).mean(0) for part in parts
    ]
    return np.asarray(torch.cat(scores).numpy())
