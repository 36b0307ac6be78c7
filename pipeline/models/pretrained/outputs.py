"""What a pretrained tagger's outputs mean to us: AudioSet ids in, classes of a vocabulary out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from pipeline.errors import UsageError
from pipeline.models.networks.parts.embedding import named_layer
from pipeline.selection.vocabulary import Vocabulary

OutputMap = tuple[tuple[int, ...], ...]
"""The outputs of each class, by number."""


def output_map(vocabulary: Vocabulary, mids: Sequence[str], *, model: str) -> OutputMap:
    """Return the outputs of each class: those of its `any_of`.

    `none_of` and `unknown_if` say what labels mean, not what a network hears: they play no part.
    UsageError names a class of which the model has no output.
    """
    number = {mid: k for k, mid in enumerate(mids)}
    found = tuple(
        tuple(number[mid] for mid in one.any_of if mid in number) for one in vocabulary.instruments
    )
    if none := [code for code, own in zip(vocabulary.codes, found, strict=True) if not own]:
        raise UsageError(f"{model} has no output for {', '.join(none)}; leave these classes out")
    return found


class MappedNetwork(nn.Module):
    """A network whose outputs are many, with the logit of a class the largest of its outputs'."""

    def __init__(self, network: nn.Module, outputs: OutputMap) -> None:
        super().__init__()
        self.network = network
        most = max(map(len, outputs))
        # As long as the longest: a class's first output stands again where it has fewer.
        index = [[*own, *[own[0]] * (most - len(own))] for own in outputs]
        self.register_buffer("index", torch.tensor(index), persistent=False)

    def forward(self, prepared: Tensor) -> Tensor:
        """Return the logits of the classes, `[n, n_classes]`."""
        logits: Tensor = self.network(prepared)
        return logits[:, self.get_buffer("index")].amax(dim=2)

    def get_classifier(self) -> nn.Module:
        """Return the layer of the network that gives its outputs."""
        head: nn.Module = self.network.get_classifier()  # type: ignore[operator]
        return head

    def embedding_layer(self) -> nn.Module | None:
        """Return the layer that sees the embedding, where the network names one."""
        return named_layer(self.network)
