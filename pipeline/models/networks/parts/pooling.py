"""How a window's frames become its logits: a wrapper around a network that gives a sequence.

A network offers `frames(windows) -> [n, time, width]`, and a head (`get_classifier`) that takes
`[..., width]`. The wrapper takes the frames' mean or maximum before the head, or has the head judge
every frame and attends to those that matter, class by class.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipeline.errors import UsageError
from pipeline.models.networks.parts.embedding import named_layer


def attended(logits: Tensor, attention: Tensor) -> Tensor:
    """Return logits of windows, `[n, n_classes]`, from those of frames, `[n, time, n_classes]`.

    Decision-level attention (Kong et al. 2019, "Weakly labelled AudioSet tagging with attention
    neural networks", section III-C): a window's score is the mean of its frames' scores, weighted
    by a softmax of `attention` over time. Weights add up to 1, so what the score lacks to 1 is the
    same mean of what the frames' scores lack, and its logit is exact without a clipped logarithm.
    """
    weights = functional.log_softmax(attention, dim=1)
    there = torch.logsumexp(weights + functional.logsigmoid(logits), dim=1)
    absent = torch.logsumexp(weights + functional.logsigmoid(-logits), dim=1)
    return there - absent


class Pooled(nn.Module):
    """A network on windows, its frames pooled over time.

    Parameters
    ----------
    network
        With `frames` and `get_classifier`.
    pool
        One of `POOLS`. With attention all frames weigh the same at first.
    n_classes
        Width of the head.
    """

    def __init__(self, network: Any, pool: str, n_classes: int) -> None:
        super().__init__()
        self.network, self.pool = network, pool
        if pool == "attention":
            width = _first_width(network.get_classifier())
            self.attention = nn.Linear(width, n_classes)
            nn.init.zeros_(self.attention.weight)
            nn.init.zeros_(self.attention.bias)
            self.summary = nn.Identity()

    def forward(self, windows: Tensor) -> Tensor:
        """Return logits, `[n, n_classes]`, for what the network takes."""
        frames: Tensor = self.network.frames(windows)
        head = self.network.get_classifier()
        if self.pool == "mean":
            pooled: Tensor = head(frames.mean(dim=1))
            return pooled
        if self.pool == "max":
            loudest: Tensor = head(frames.amax(dim=1))
            return loudest
        self.summary(frames.mean(dim=1))  # the embedding is what it sees (`embedding_layer`)
        logits, attention = head(frames), self.attention(frames)
        with torch.autocast(logits.device.type, enabled=False):
            return attended(logits.float(), attention.float())

    def get_classifier(self) -> nn.Module | tuple[nn.Module, ...]:
        """Return the layers behind the frames: they learn at the head's rate."""
        head: nn.Module = self.network.get_classifier()
        return (head, self.attention) if self.pool == "attention" else head

    def embedding_layer(self) -> nn.Module | None:
        """Return what sees a window's embedding, `[n, width]`; None: the head's last layer."""
        if self.pool == "attention":
            return self.summary
        return named_layer(self.network)


class TimmFrames(nn.Module):
    """A convolutional timm backbone that gives its maps as a sequence over time."""

    def __init__(self, backbone: Any) -> None:
        super().__init__()
        self.backbone = backbone

    def frames(self, image: Tensor) -> Tensor:
        """Return `[n, time, width]` for images, `[n, 1, n_rows, n_columns]`.

        A column of the last maps goes through what the backbone has between them and its last
        layer as if it were a whole image; so it is pooled over the mel bands alone.
        """
        maps = self.backbone.forward_features(image)  # [n, channels, few, time]
        n_times = maps.shape[3]
        columns = maps.permute(0, 3, 1, 2).flatten(0, 1).unsqueeze(3)
        features: Tensor = self.backbone.forward_head(columns, pre_logits=True)
        return features.reshape(-1, n_times, features.shape[1])

    def get_classifier(self) -> nn.Module:
        """Return the layer that gives the logits."""
        head: nn.Module = self.backbone.get_classifier()
        return head


def pooled(network: nn.Module, pool: str | None, *, name: str, n_classes: int) -> nn.Module:
    """Return a network with its frames pooled over time, or as it is where `pool` is None.

    Raises
    ------
    UsageError
        Where the network has no frames.
    """
    if pool is None:
        return network
    if not hasattr(network, "frames") and _has_maps(network):
        network = TimmFrames(network)
    if not hasattr(network, "frames"):
        raise UsageError(
            f"--pool {pool}: {name} gives no sequence over time to pool; leave it out, or take a "
            "convolutional network of log-mels"
        )
    return Pooled(network, pool, n_classes)


def _has_maps(network: Any) -> bool:
    """Whether a timm backbone ends in maps, `[n, channels, height, width]`."""
    if not hasattr(network, "forward_features") or not hasattr(network, "num_features"):
        return False
    with torch.no_grad():
        was_training = network.training
        try:
            maps = network.eval().forward_features(torch.zeros(1, 1, 64, 64))
        except (AssertionError, RuntimeError):  # of one that takes images of one size alone
            return False
        finally:
            network.train(was_training)
    return bool(maps.ndim == 4 and maps.shape[1] == network.num_features)


def _first_width(head: nn.Module) -> int:
    """Return the width of what a head takes: that of its first linear layer."""
    return next(int(one.in_features) for one in head.modules() if isinstance(one, nn.Linear))
