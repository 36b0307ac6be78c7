"""A network with its embedding, what its last layers see, as a second output."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn


class EmbeddingHook:
    """A hook that keeps what a layer is given, until it is taken.

    It is an object and no function, so that a deep copy of a network has a hook of its own; and it
    knows no network, as a circle would keep the weights for long.
    """

    def __init__(self) -> None:
        self.seen: list[Tensor] = []

    def __call__(self, _: nn.Module, inputs: tuple[Tensor, ...]) -> None:
        """Keep what goes into the head, once."""
        self.seen.append(inputs[0])

    def take(self) -> list[Tensor]:
        """Return the last vectors that were seen, `[n, n_features]`, if any, and forget them."""
        found = [values for values in self.seen[-1:] if values.ndim == 2]
        self.seen.clear()  # as it was: torch.compile would compile anew for another length
        return found


def embedding_hook(network: nn.Module) -> EmbeddingHook:
    """Return a hook on a network's embedding; it sees nothing where there is none."""
    hook = EmbeddingHook()
    if (layer := embedding_layer(network)) is not None:
        layer.register_forward_pre_hook(hook)
    return hook


class Outputs(nn.Module):
    """A network that gives, beside its logits, its embedding, where it has one."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network
        self._hook = embedding_hook(network)

    def forward(self, prepared: Tensor) -> tuple[Tensor, ...]:
        """Return logits, `[n, n_classes]`, and embeddings, `[n, n_features]`, if there are such."""
        logits = self.network(prepared)
        return (logits, *self._hook.take())


def embedding_layer(network: Any) -> nn.Module | None:
    """Return the layer whose input is the embedding: the last linear one, if none is named."""
    if (named := named_layer(network)) is not None:
        return named
    head = network.get_classifier() if hasattr(network, "get_classifier") else network
    layers = head.modules() if isinstance(head, nn.Module) else []
    return next((one for one in reversed(list(layers)) if isinstance(one, nn.Linear)), None)


def named_layer(network: Any) -> nn.Module | None:
    """Return the layer that a network itself names (`embedding_layer`); None where it does not."""
    named: nn.Module | None = getattr(network, "embedding_layer", lambda: None)()
    return named
