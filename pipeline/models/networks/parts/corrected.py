"""A network whose logits are corrected by what people said: a linear layer on its embedding."""

from __future__ import annotations

from torch import Tensor, nn

from pipeline.models.networks.parts.embedding import embedding_hook, embedding_layer


class Corrected(nn.Module):
    """A network and its correction.

    Parameters
    ----------
    network
        It has an embedding.
    n_features
        How wide that is.
    n_classes
        Logits a window.
    """

    def __init__(self, network: nn.Module, n_features: int, n_classes: int) -> None:
        super().__init__()
        self.network = network
        self.correction = nn.Linear(n_features, n_classes)
        self._hook = embedding_hook(network)

    def forward(self, prepared: Tensor) -> Tensor:
        """Return logits, `[n, n_classes]`, for what the network takes."""
        logits: Tensor = self.network(prepared)
        corrected: Tensor = logits + self.correction(self._hook.take()[0])
        return corrected

    def embedding_layer(self) -> nn.Module | None:
        """Return the network's own: the correction is of that embedding."""
        return embedding_layer(self.network)

    def get_classifier(self) -> nn.Module:
        """Return the layer of the correction, which alone is fitted."""
        return self.correction
