"""Softmax over classes that exclude each other, as logits whose sigmoids are its probabilities.

Everything behind a network takes sigmoids of its logits: engines, thresholds, aggregations. So a
network of data with one label a clip gives the log-odds of its softmax, and nothing else changes.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from pipeline.models.networks.parts.embedding import named_layer


def log_odds(logits: Tensor) -> Tensor:
    """Return logits whose sigmoids are the softmax of others, both `[n, n_classes]`.

    A class's is its own logit less the log-sum-exp of the others': exact also where a probability
    is nearly 1, where the logarithm of what it lacks to 1 is not.

    >>> torch.sigmoid(log_odds(torch.tensor([[1.0, 2.0, 3.0]])))
    tensor([[0.0900, 0.2447, 0.6652]])
    """
    n_classes = logits.shape[1]
    itself = torch.eye(n_classes, device=logits.device, dtype=logits.dtype)
    others = logits.unsqueeze(1) - 1e9 * itself  # [n, class, other class]
    return logits - torch.logsumexp(others, dim=2)


class Exclusive(nn.Module):
    """A network of which exactly one class is there in each window."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, prepared: Tensor) -> Tensor:
        """Return the log-odds of the classes, `[n, n_classes]`, in float32."""
        logits = self.network(prepared)
        with torch.autocast(logits.device.type, enabled=False):
            return log_odds(logits.float())

    def get_classifier(self) -> Any:
        """Return the network's head, under the name that timm gives to this question."""
        return self.network.get_classifier()  # type: ignore[operator]

    def embedding_layer(self) -> nn.Module | None:
        """Return the layer that sees the embedding, where the network names one."""
        return named_layer(self.network)


def without_softmax(network: nn.Module) -> nn.Module:
    """Return the network that gives the logits before the softmax; any other as it is."""
    return network.network if isinstance(network, Exclusive) else network
