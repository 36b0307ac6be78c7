"""The triplet loss: embeddings of windows that share a class lie nearer than of those that do not.

Schroff, Kalenichenko and Philbin, "FaceNet", CVPR 2015, section 3.1: embeddings of length 1, their
squared distances, a margin of 0.2. A batch's triplets are all there are, and the mean is over those
that the margin does not hold of (Hermans, Beyer and Leibe, "In defense of the triplet loss", 2017,
section 2: "batch all", nonzero).
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from pipeline.models.model import Tagger
from pipeline.models.networks.parts.embedding import EmbeddingHook, embedding_layer

MARGIN = 0.2
"""By how much another class must be further away, in squared distance of 0 to 4."""


def triplet_losses(embeddings: Tensor, targets: Tensor) -> Tensor:
    """Return the triplet loss of each window as the anchor, `[n]`.

    Parameters
    ----------
    embeddings
        `[n, n_features]`; they are brought to length 1 here.
    targets
        `[n, n_classes]`, 0, 1 or NaN (unknown). Two windows are alike where they share a class that
        both have, and differ where they may share none.

    Returns
    -------
    Tensor
        The mean over an anchor's triplets with a loss; 0 where it has none. Memory grows with the
        cube of the batch.
    """
    points = nn.functional.normalize(embeddings.float(), dim=1)
    distances = 2 - 2 * points @ points.T
    alike, differ = relations(targets)
    hinges = (distances[:, :, None] - distances[:, None, :] + MARGIN).clamp(min=0)
    hinges = torch.where(alike[:, :, None] & differ[:, None, :], hinges, 0.0)
    n_active = hinges.gt(0).sum(dim=(1, 2))
    return hinges.sum(dim=(1, 2)) / n_active.clamp(min=1)


def relations(targets: Tensor) -> tuple[Tensor, Tensor]:
    """Return which pairs of windows are alike, and which differ, both `[n, n]` of bools.

    A window is not alike to itself. Pairs whose unknown classes may be shared are neither.
    """
    there, possible = targets.nan_to_num(0.0), targets.nan_to_num(1.0)
    shared = there @ there.T > 0
    alike = shared & ~torch.eye(len(targets), dtype=torch.bool, device=targets.device)
    return alike, possible @ possible.T == 0


def with_embeddings(network: nn.Module, model: Tagger, windows: Tensor) -> tuple[Tensor, Tensor]:
    """Return logits and embeddings of windows, both with gradients.

    `network` is the model, or what shares it between ranks; the embedding is what the model's last
    layer sees, as everywhere else.
    """
    layer, hook = embedding_layer(model.backbone), EmbeddingHook()
    assert layer is not None  # `TrainingData.check_model` has looked
    handle = layer.register_forward_pre_hook(hook)
    try:
        logits = network(windows)
    finally:
        handle.remove()
    (embeddings,) = hook.take()
    return logits, embeddings
